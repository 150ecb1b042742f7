// Counts: a whole worker in plain Node.js, with nothing but its standard library. It follows
// docs/protocol; the line comments name the section.
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

const { NIYANTA_COORDINATOR_URL: url, NIYANTA_WORKER_KEY: key } = process.env
const worker = process.env.NIYANTA_WORKER_ID ?? `count-${randomUUID()}`
const processID = `proc_${randomUUID()}`
const slots = 2
const now = () => performance.now() // monotonic
let leaving = false
let hurry = () => {}

class Over extends Error {} // the session is over
class Stopped extends Error {} // the run has to end

// One try. Throws Over for 409, Refused for other answers that will not change, Error for the rest.
class Refused extends Error {}
async function call(method, path, body, { timeout = 2000, signal } = {}) {
  const bytes = Buffer.isBuffer(body)
  const response = await fetch(url + path, {
    method, body: bytes || body === undefined ? body : JSON.stringify(body),
    headers: { authorization: `Bearer ${key}`, 'content-type': bytes ? 'application/octet-stream' : 'application/json' },
    redirect: 'manual', // another address must not get the key
    signal: AbortSignal.any([AbortSignal.timeout(timeout), ...(signal ? [signal] : [])]),
  })
  const text = await response.text()
  if (response.ok) return text && JSON.parse(text)
  let code // of a coordinator; what stands before one has none
  try { code = JSON.parse(text).error.code } catch { /* it has none */ }
  const { status } = response
  if ([408, 429].includes(status) || status >= 500 || !code && status !== 413) throw new Error(text)
  if (status === 409) throw new Over(text)
  throw Object.assign(new Refused(text), { code })
}

class Session {
  runs = new Map()
  ended = new Set()
  end = new AbortController() // aborted when the session is over
  number = 0
  draining = false

  constructor(id) { this.id = id }

  get ref() { return { worker_id: worker, session_id: this.id } }
  get over() { return this.end.signal.aborted }

  async register(previous) { // "Registering"
    this.answered = now()
    const grant = await call('POST', '/v1/worker/register', {
      ...this.ref, previous_session_id: previous, process_id: processID, capabilities: ['count'], slots, draining: leaving,
    })
    this.lease = grant.lease_ms
    this.interval = grant.heartbeat_interval_ms
  }

  check() { // "The fence"
    if (!this.over && now() - this.answered >= this.lease * 0.8) this.finish()
    if (this.over) throw new Over('the session is over')
  }

  finish() {
    this.end.abort()
    for (const run of this.runs.values()) run.stop('lost')
  }

  async request(method, path, body, options) { // until there is an answer or the session is over
    for (let pause = 100; ; pause = Math.min(2 * pause, 2000)) {
      this.check()
      try {
        return await call(method, path, body, { ...options, signal: this.end.signal })
      } catch (e) {
        if (e instanceof Over) this.finish()
        const key = ['UNAUTHORIZED', 'FORBIDDEN'].includes(e.code) // is refused: no failure of a run
        if (e instanceof Over || e instanceof Refused && !key) throw e
        await sleep(pause)
      }
    }
  }

  async beat() { // "Heartbeats and the fence"
    const number = ++this.number
    for (;;) {
      this.check()
      const sent = now()
      const inventory = [...this.runs.values()].map((r) => ({ workload_id: r.id, generation: r.generation, state: r.state }))
      try {
        const answer = await call('POST', '/v1/worker/heartbeat', {
          ...this.ref, number, inventory, free_slots: Math.max(0, slots - inventory.length), draining: leaving,
          drained: this.draining && !leaving,
        })
        this.answered = sent
        this.lease = answer.lease_ms
        answer.commands?.forEach((c) => this.obey(c))
        return
      } catch (e) {
        if (e instanceof Over || e instanceof Refused) { this.finish(); throw e }
        await sleep(200)
      }
    }
  }

  async beats() {
    while (!this.over) {
      await this.beat()
      await Promise.race([sleep(this.interval), new Promise((wake) => { hurry = wake })])
    }
  }

  async polls() {
    while (!this.over) {
      const { commands } = await this.request('POST', '/v1/worker/poll', { ...this.ref, wait_ms: 1000 }, { timeout: 3000 })
      commands.forEach((c) => this.obey(c))
    }
  }

  obey(c) { // "Commands"
    if (c.session_id !== this.id) return
    const run = this.runs.get(`${c.workload_id}@${c.generation}`)
    if (c.kind === 'workload.assign') this.take(c.assignment)
    else if (c.kind === 'worker.drain') this.drain()
    else if (c.kind === 'worker.undrain') this.draining = false
    else if (c.kind === 'workload.checkpoint') run?.save()
    else if (/^workload\.(cancel|drop|pause|preempt)$/.test(c.kind)) run?.stop(c.kind.slice('workload.'.length))
  }

  drain() {
    this.draining = true
    for (const run of this.runs.values()) run.stop('drain')
  }

  take(a) {
    const name = `${a.workload_id}@${a.generation}`
    if (this.runs.has(name) || this.ended.has(name)) return // told again
    for (const old of this.runs.values()) if (old.id === a.workload_id && old.generation < a.generation) old.stop('drop')
    const busy = [...this.runs.values()].filter((r) => r.id !== a.workload_id).length
    const reason = a.workload_type !== 'count' ? 'unknown type' : this.draining || leaving ? 'draining' : busy >= slots ? 'full' : ''
    const run = new Run(this, a)
    if (reason) {
      this.ended.add(name)
      run.report('decline', { reason }).catch(() => {})
      return
    }
    this.runs.set(name, run)
    run.live().catch(() => {}).finally(() => { this.runs.delete(name); this.ended.add(name) })
  }
}

class Run {
  state = 'starting'
  wanted = new AbortController() // aborted when the run has to do something: stop, or save

  constructor(session, assignment) {
    Object.assign(this, { session, assignment, id: assignment.workload_id, generation: assignment.generation })
    this.sequence = assignment.checkpoint_sequence ?? 0
  }

  stop(why) {
    if (!['cancel', 'drop', 'lost'].includes(this.why)) this.why = why // these win
    this.wanted.abort()
  }

  save() { this.saving = true; this.wanted.abort() }

  async report(event, more) { // "Reports"
    const report = { report_id: randomUUID(), workload_id: this.id, generation: this.generation, event, ...more }
    const { answers: [a] } = await this.session.request('POST', '/v1/worker/report', { ...this.session.ref, reports: [report] })
    if (['fenced', 'not_found'].includes(a.outcome)) { this.stop('drop'); throw new Stopped(a.outcome) }
  }

  path(sequence) {
    return `/v1/worker/workloads/${this.id}/checkpoints/${sequence}` +
      `?worker_id=${worker}&session_id=${this.session.id}&generation=${this.generation}`
  }

  async checkpoint(state, percent) { // "Checkpoints"
    this.saving = false
    const a = await this.session.request('PUT', `${this.path(this.sequence + 1)}&progress_percent=${percent}`,
      Buffer.from(JSON.stringify(state)), { timeout: 30_000 })
    if (!['applied', 'already'].includes(a.outcome)) { this.stop('drop'); throw new Stopped(a.outcome) }
    this.sequence++
  }

  async live() {
    try {
      await this.report('start')
      this.state = 'running'
      const result = await this.count(this.assignment.input_params)
      this.state = 'reporting'
      await this.report('complete', { result })
    } catch (e) {
      this.state = 'reporting'
      if (e instanceof Over || this.why === 'lost') return // say nothing
      if (!(e instanceof Stopped)) await this.report('fail', { failure: { type: e.type ?? e.name, message: e.message } })
      else if (this.why === 'pause') await this.report('paused')
      else if (this.why === 'preempt') await this.report('release', { reason: 'preempted', retry_after_ms: 5000 })
      else await this.report('release', { reason: 'the run was stopped' })
    }
  }

  async count({ to, step_ms: step = 100, fail_at: failAt, bytes = 0 }) { // the workload itself
    const over = this.assignment.timeout_ms ? now() + this.assignment.timeout_ms : Infinity
    const state = await this.load() ?? { at: 0, padding: 'x'.repeat(bytes) }
    while (state.at < to) {
      this.wanted = this.why || this.saving ? this.wanted : new AbortController()
      await sleep(step, null, { signal: this.wanted.signal }).catch(() => {})
      this.session.check()
      if (now() >= over) throw Object.assign(new Error('it took too long'), { type: 'timeout' })
      if (['cancel', 'drop', 'lost'].includes(this.why)) throw new Stopped(this.why)
      const woken = this.why || this.saving
      if (!woken && ++state.at === failAt) throw Object.assign(new Error(`${failAt} is a bad number`), { type: 'bad_number' })
      if (woken || state.at % 10 === 0) await this.checkpoint(state, Math.round(100 * state.at / to))
      if (this.why) throw new Stopped(this.why)
    }
    return { counted: state.at }
  }

  async load() {
    if (this.sequence === 0) return null
    return this.session.request('GET', this.path(this.sequence), undefined, { timeout: 30_000 })
      .catch((e) => { if (e.code === 'NOT_FOUND') return null; throw e }) // none is left
  }
}

async function leave(session) { // "When your process is to end"
  hurry()
  const announced = session.number + 1
  while (session.number <= announced && !session.over) { hurry(); await sleep(20) }
  session.drain()
  while (session.runs.size > 0 && !session.over) await sleep(20)
  if (!session.over) await call('POST', '/v1/worker/end', session.ref)
  process.exit(0)
}

process.on('SIGTERM', () => { leaving = true })
const fresh = () => `sess_${randomUUID()}`
for (let previous = '', next = fresh(), taken; ;) {
  const session = new Session(next) // the same until it is answered: a registration may be executed late
  try {
    await session.register(previous)
  } catch (e) {
    if (leaving) process.exit(0)
    if (e instanceof Refused) { console.error(e.message); process.exit(1) }
    const { code, details } = e instanceof Over ? JSON.parse(e.message).error : {}
    const { lease_ms: lease, heartbeat_interval_ms: interval = 1000 } = details ?? {}
    if (code === 'FENCED') next = fresh() // it has begun, and ended
    if (code === 'CONFLICT') taken ??= now()
    if (now() - taken > lease) { console.error('another process has the id', worker); process.exit(1) }
    await sleep(interval)
    continue
  }
  previous = session.id
  next = fresh()
  taken = undefined
  const quiet = () => session.finish()
  session.beats().catch(quiet)
  session.polls().catch(quiet)
  while (!session.over && !leaving) {
    await sleep(50)
    try { session.check() } catch { /* it is over */ }
  }
  if (leaving) await leave(session)
  while (session.runs.size > 0) await sleep(20) // nothing of an old session may still run
}
