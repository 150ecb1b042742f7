package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// fault is a kind of fault.
type fault struct {
	name string
	// do injects the fault. It returns when the fault is over, or will end by itself. victim is a
	// random worker, and hit one of parts. Faults of coordinators and servers ignore both.
	do func(m *monkey, victim *process, hit part)
	// takesWork reports whether the victim loses its work. Then the system has recovered when all
	// workloads that the victim held go on elsewhere. Otherwise, it has recovered when a workload
	// that was submitted after the fault is done.
	takesWork bool
	// parts lists the parts of the victim that the fault can hit. Each time, one is drawn.
	parts []part
}

// named returns the name of the fault with the part that it hits.
func (f fault) named(hit part) string {
	if len(f.parts) == 0 {
		return f.name
	}
	return f.name + ", " + hit.name
}

// monkey injects faults and measures recovery.
type monkey struct {
	*fleet
	rng    *rand.Rand
	ctx    context.Context
	lease  time.Duration
	ttl    time.Duration
	watch  sync.WaitGroup
	probes atomic.Int64
	struck func() // called when the fault has begun; recovery is measured from then

	mu       sync.Mutex
	took     map[string][]time.Duration
	never    []string
	sequence []string
}

// recoveryTimeout is the timeout of a recovery.
const recoveryTimeout = 2 * time.Minute

// exhausted is the name of a fault that begins only after some time in do.
const exhausted = "all connections of PostgreSQL taken"

var (
	killable  = []part{workerOnly, machine, supervisorOnly}
	freezable = []part{workerOnly, machine}
)

var faults = []fault{
	{"worker SIGKILL, back at once", func(_ *monkey, v *process, hit part) { v.end(syscall.SIGKILL, hit, 0) }, true,
		killable},
	{"worker SIGKILL, back later", func(m *monkey, v *process, hit part) {
		v.end(syscall.SIGKILL, hit, m.lease*3/2)
	}, true, killable},
	{"worker frozen beyond its lease", func(m *monkey, v *process, hit part) {
		v.signal(syscall.SIGSTOP, hit)
		m.later(m.lease*3/2, func() { v.signal(syscall.SIGCONT, machine) })
	}, true, freezable},
	{"worker drained under load", func(_ *monkey, v *process, _ part) { v.end(syscall.SIGTERM, supervisorOnly, 0) },
		true, nil},
	{"leader SIGKILL", func(m *monkey, _ *process, _ part) { m.leaderDies(syscall.SIGKILL) }, false, nil},
	{"leader SIGTERM", func(m *monkey, _ *process, _ part) { m.leaderDies(syscall.SIGTERM) }, false, nil},
	{"leader frozen beyond its lease", func(m *monkey, _ *process, _ part) {
		c := m.coordinators[max(m.leader(), 0)]
		c.signal(syscall.SIGSTOP, machine)
		m.later(m.ttl*3/2, func() { c.signal(syscall.SIGCONT, machine) })
	}, false, nil},
	{"leader and worker SIGKILL together", func(m *monkey, v *process, hit part) {
		v.keepDown()
		v.signal(syscall.SIGKILL, hit)
		m.leaderDies(syscall.SIGKILL)
		v.awaitEnd(m.lease * 3 / 2)
	}, true, killable},
	{"the other coordinator SIGKILL", func(m *monkey, _ *process, _ part) {
		m.coordinators[1-max(m.leader(), 0)].end(syscall.SIGKILL, machine, time.Second)
	}, false, nil},
	{"PostgreSQL crash", func(m *monkey, _ *process, _ part) {
		m.pg.Stop(true)
		sleep(m.ctx, 500*time.Millisecond)
		m.must(m.pg.Start())
	}, false, nil},
	{"NATS restart", func(m *monkey, _ *process, _ part) {
		m.nats.Stop()
		sleep(m.ctx, 3*time.Second)
		m.must(m.nats.Start())
	}, false, nil},
	{"Redis restart", func(m *monkey, _ *process, _ part) {
		m.redis.Stop()
		sleep(m.ctx, 2*time.Second)
		m.must(m.redis.Start())
	}, false, nil},
	{"connections to PostgreSQL cut", func(m *monkey, _ *process, _ part) { m.pgProxy.Cut() }, false, nil},
	{"connections to PostgreSQL hang", func(m *monkey, _ *process, _ part) {
		m.pgProxy.Hold()
		sleep(m.ctx, 3*time.Second)
		m.pgProxy.Release()
	}, false, nil},
	{"answer to a commit lost", func(m *monkey, _ *process, _ part) { m.pgProxy.CutAnswer("COMMIT\x00") }, false, nil},
	{"tables locked for seconds", func(m *monkey, _ *process, _ part) { m.lockTables(2 * time.Second) }, false, nil},
	{exhausted, func(m *monkey, _ *process, _ part) { m.exhaust(3 * time.Second) }, false, nil},
}

// must fails the test if a server could not be started again.
func (m *monkey) must(err error) {
	if err != nil {
		m.t.Errorf("a server does not start again: %v", err)
	}
}

// later calls f after d, in the background.
func (m *monkey) later(d time.Duration, f func()) {
	m.watch.Go(func() { sleep(m.ctx, d); f() })
}

// leaderDies ends the leader's process.
func (m *monkey) leaderDies(s syscall.Signal) {
	m.coordinators[max(m.leader(), 0)].end(s, machine, 2*time.Second)
}

// lockTables locks the hot tables for d.
func (m *monkey) lockTables(d time.Duration) {
	_ = pgx.BeginFunc(m.ctx, m.direct, func(tx pgx.Tx) error {
		if _, err := tx.Exec(m.ctx,
			"LOCK TABLE workloads, waiting, held, worker_leases IN ACCESS EXCLUSIVE MODE"); err != nil {
			return err
		}
		sleep(m.ctx, d)
		return nil
	})
}

// exhaust opens all connections that the server has left, and cuts those of the coordinators. They
// cannot connect again for d.
func (m *monkey) exhaust(d time.Duration) {
	var taken []*pgx.Conn
	for range 400 {
		c, err := pgx.Connect(m.ctx, m.pg.SocketURL("postgres"))
		if err != nil {
			break
		}
		taken = append(taken, c)
	}
	m.pgProxy.Cut()
	m.struck()
	sleep(m.ctx, d)
	for _, c := range taken {
		_ = c.Close(context.WithoutCancel(m.ctx)) // the server notices either way
	}
}

// holding returns the workloads that a worker runs, with their generations.
func (m *monkey) holding(worker string) map[string]int64 {
	out := map[string]int64{}
	rows, err := m.direct.Query(m.ctx,
		"SELECT workload_id, generation FROM workloads WHERE workload_id IN (SELECT workload_id FROM held WHERE "+
			"worker_id = $1)", worker)
	if err != nil {
		return out
	}
	var id string
	var g int64
	// after an error, fewer workloads are waited for
	_, _ = pgx.ForEachRow(rows, []any{&id, &g}, func() error { out[id] = g; return nil })
	return out
}

// elsewhere waits until each workload runs at a newer generation, is paused, has ended, or waits
// for a retry. It reports whether that happened before ctx ended.
func (m *monkey) elsewhere(ctx context.Context, before map[string]int64) bool {
	for ctx.Err() == nil {
		if len(before) == 0 {
			return true
		}
		m.arrived(ctx, before)
		sleep(ctx, 50*time.Millisecond)
	}
	return false
}

// arrived removes from before the workloads that do.
func (m *monkey) arrived(ctx context.Context, before map[string]int64) {
	ids := make([]string, 0, len(before))
	for id := range before {
		ids = append(ids, id)
	}
	rows, err := m.direct.Query(ctx,
		"SELECT workload_id, generation, status FROM workloads WHERE workload_id = ANY($1)", ids)
	if err != nil {
		return
	}
	var id, status string
	var g int64
	_, _ = pgx.ForEachRow(rows, []any{&id, &g, &status}, func() error {
		if g > before[id] && status == "RUNNING" || slices.Contains([]string{"COMPLETED", "FAILED", "CANCELLED",
			"PAUSED", "PENDING"}, status) {
			delete(before, id)
		}
		return nil
	})
}

// probe submits workloads that do nothing until one of them is done. It reports whether one was
// done before ctx ended.
func (m *monkey) probe(ctx context.Context) bool {
	for ctx.Err() == nil {
		if m.probeOnce(ctx, fmt.Sprint("probe-", m.probes.Add(1))) {
			return true
		}
		sleep(ctx, 20*time.Millisecond)
	}
	return false
}

// probeOnce submits one workload, and reports whether it is done within the timeout of a call.
func (m *monkey) probeOnce(ctx context.Context, key string) bool {
	ctx, cancel := call(ctx)
	defer cancel()
	a, err := m.client.Submit(ctx, submission("sleep", `{"duration_ms":0}`), key)
	for err == nil && ctx.Err() == nil {
		var status string
		if m.direct.QueryRow(ctx, "SELECT status FROM workloads WHERE workload_id = $1",
			a.WorkloadID).Scan(&status) == nil && status == "COMPLETED" {
			return true
		}
		sleep(ctx, 5*time.Millisecond)
	}
	return false
}

// apply injects one fault, and measures how long recovery takes.
func (m *monkey) apply(f fault) {
	victim := m.workers[m.rng.IntN(len(m.workers))]
	var hit part
	if len(f.parts) > 0 {
		hit = f.parts[m.rng.IntN(len(f.parts))]
	}
	name := f.named(hit)
	m.sequence = append(m.sequence, name)
	recovered := m.probe
	if f.takesWork {
		held := m.holding(victim.id)
		if len(held) == 0 { // there is nothing to measure, but the fault is injected
			f.do(m, victim, hit)
			return
		}
		recovered = func(ctx context.Context) bool { return m.elsewhere(ctx, held) }
	}
	began := make(chan time.Time, 1)
	m.struck = sync.OnceFunc(func() { began <- time.Now() })
	if f.name != exhausted {
		m.struck()
	}
	m.watch.Go(func() {
		begin := <-began
		ctx, cancel := context.WithTimeout(m.ctx, recoveryTimeout)
		defer cancel()
		if !f.takesWork {
			sleep(ctx, 10*time.Millisecond) // a probe that was submitted before the fault proves nothing
		}
		ok := recovered(ctx)
		m.mu.Lock()
		defer m.mu.Unlock()
		if !ok && m.ctx.Err() == nil {
			m.never = append(m.never, name)
		}
		m.took[name] = append(m.took[name], time.Since(begin))
	})
	f.do(m, victim, hit)
}
