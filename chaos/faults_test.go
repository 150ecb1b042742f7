package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func asError(err error) (*niyanta.Error, bool) {
	var e *niyanta.Error
	return e, errors.As(err, &e)
}

// fault is something that goes wrong. do returns when it is mended, or when its mending is under way. watch, if set, is what recovery
// means; it begins before do.
type fault struct {
	name  string
	do    func(m *monkey)
	watch func(m *monkey, ctx context.Context) bool
}

// monkey applies faults and measures recovery.
type monkey struct {
	*fleet
	rng    *rand.Rand
	ctx    context.Context //nolint:containedctx // the life of the run
	lease  time.Duration
	ttl    time.Duration
	victim *process // the worker that the fault is about
	watch  sync.WaitGroup

	mu       sync.Mutex
	took     map[string][]time.Duration
	never    []string
	probes   int
	sequence []string
}

// recoverMax is when recovery is given up on.
const recoverMax = 2 * time.Minute

var faults = []fault{
	{"worker SIGKILL, back at once", func(m *monkey) { m.victim.end(syscall.SIGKILL); m.restart(m.victim, 0) }, elsewhere},
	{"worker SIGKILL, back later", func(m *monkey) { m.victim.end(syscall.SIGKILL); m.restart(m.victim, m.lease*3/2) }, elsewhere},
	{"worker frozen beyond its lease", func(m *monkey) {
		v := m.victim
		v.signal(syscall.SIGSTOP)
		m.later(m.lease*3/2, func() { v.signal(syscall.SIGCONT) })
	}, elsewhere},
	{"worker drained under load", func(m *monkey) { m.victim.end(syscall.SIGTERM); m.restart(m.victim, 0) }, elsewhere},
	{"leader SIGKILL", func(m *monkey) { m.leaderDies(syscall.SIGKILL) }, nil},
	{"leader SIGTERM", func(m *monkey) { m.leaderDies(syscall.SIGTERM) }, nil},
	{"leader frozen beyond its lease", func(m *monkey) {
		c := m.coordinators[max(m.leader(), 0)]
		c.signal(syscall.SIGSTOP)
		m.later(m.ttl*3/2, func() { c.signal(syscall.SIGCONT) })
	}, nil},
	{"leader and worker SIGKILL together", func(m *monkey) {
		m.victim.signal(syscall.SIGKILL)
		m.leaderDies(syscall.SIGKILL)
		_ = m.victim.cmd.Wait()
		m.restart(m.victim, m.lease*3/2)
	}, elsewhere},
	{"the other coordinator SIGKILL", func(m *monkey) {
		c := m.coordinators[1-max(m.leader(), 0)]
		c.end(syscall.SIGKILL)
		m.restart(c, time.Second)
	}, nil},
	{"PostgreSQL crash", func(m *monkey) { m.pg.Stop(true); sleep(m.ctx, 500*time.Millisecond); m.must(m.pg.Start()) }, nil},
	{"NATS restart", func(m *monkey) { m.nats.Stop(); sleep(m.ctx, 3*time.Second); m.must(m.nats.Start()) }, nil},
	{"Redis restart", func(m *monkey) { m.redis.Stop(); sleep(m.ctx, 2*time.Second); m.must(m.redis.Start()) }, nil},
	{"connections to PostgreSQL cut", func(m *monkey) { m.pgProxy.Cut() }, nil},
	{"connections to PostgreSQL hang", func(m *monkey) { m.pgProxy.Hold(); sleep(m.ctx, 3*time.Second); m.pgProxy.Release() }, nil},
	{"answer to a commit lost", func(m *monkey) { m.pgProxy.CutAnswer("COMMIT\x00") }, nil},
	{"tables locked for seconds", func(m *monkey) { m.lockTables(2 * time.Second) }, nil},
	{"all connections of PostgreSQL taken", func(m *monkey) { m.exhaust(3 * time.Second) }, nil},
}

func (m *monkey) must(err error) {
	if err != nil {
		m.t.Errorf("a server does not come back: %v", err)
	}
}

func (m *monkey) later(d time.Duration, f func()) {
	m.watch.Go(func() { sleep(m.ctx, d); f() })
}

// restart starts a process again that has ended.
func (m *monkey) restart(p *process, after time.Duration) {
	m.later(after, func() { m.must(p.start()) })
}

func (m *monkey) leaderDies(s syscall.Signal) {
	c := m.coordinators[max(m.leader(), 0)]
	c.end(s)
	m.restart(c, 2*time.Second)
}

func (m *monkey) lockTables(d time.Duration) {
	_ = pgx.BeginFunc(m.ctx, m.direct, func(tx pgx.Tx) error {
		if _, err := tx.Exec(m.ctx, "LOCK TABLE workloads, waiting, held, worker_leases IN ACCESS EXCLUSIVE MODE"); err != nil {
			return err
		}
		sleep(m.ctx, d)
		return nil
	})
}

func (m *monkey) exhaust(d time.Duration) {
	var taken []*pgx.Conn
	for range 400 {
		c, err := pgx.Connect(m.ctx, m.pg.SocketURL("postgres"))
		if err != nil {
			break
		}
		taken = append(taken, c)
	}
	m.pgProxy.Cut() // what is connected must connect anew
	sleep(m.ctx, d)
	for _, c := range taken {
		_ = c.Close(context.WithoutCancel(m.ctx)) // the server notices either way
	}
}

// holding are the workloads that a worker runs, with their generations.
func (m *monkey) holding(worker string) map[string]int64 {
	out := map[string]int64{}
	rows, err := m.direct.Query(m.ctx, "SELECT workload_id, generation FROM workloads WHERE workload_id IN (SELECT workload_id FROM held WHERE worker_id = $1)", worker)
	if err != nil {
		return out
	}
	var id string
	var g int64
	_, _ = pgx.ForEachRow(rows, []any{&id, &g}, func() error { out[id] = g; return nil }) // an empty answer watches nothing
	return out
}

// elsewhere waits until all that the victim ran runs at a newer generation, or has ended, or waits for a retry of its own.
func elsewhere(m *monkey, ctx context.Context) bool {
	before := m.holding("w" + m.victim.name[len("worker "):])
	return func() bool {
		for ctx.Err() == nil {
			if len(before) == 0 {
				return true
			}
			m.arrived(ctx, before)
			sleep(ctx, 50*time.Millisecond)
		}
		return false
	}()
}

// arrived forgets those that have.
func (m *monkey) arrived(ctx context.Context, before map[string]int64) {
	ids := make([]string, 0, len(before))
	for id := range before {
		ids = append(ids, id)
	}
	rows, err := m.direct.Query(ctx, "SELECT workload_id, generation, status FROM workloads WHERE workload_id = ANY($1)", ids)
	if err != nil {
		return
	}
	var id, status string
	var g int64
	_, _ = pgx.ForEachRow(rows, []any{&id, &g, &status}, func() error {
		if g > before[id] && status == "RUNNING" || slices.Contains([]string{"COMPLETED", "FAILED", "CANCELLED", "PAUSED", "PENDING"}, status) {
			delete(before, id)
		}
		return nil
	})
}

// probe submits workloads that do nothing until one of them is done.
func probe(m *monkey, ctx context.Context) bool {
	for ctx.Err() == nil {
		one, cancel := context.WithTimeout(ctx, 5*time.Second)
		m.mu.Lock()
		m.probes++
		key := fmt.Sprint("probe-", m.probes)
		m.mu.Unlock()
		a, err := m.client.Submit(one, submission("sleep", `{"duration_ms":0}`), key)
		for err == nil && one.Err() == nil {
			var status string
			if m.direct.QueryRow(one, "SELECT status FROM workloads WHERE workload_id = $1", a.WorkloadID).Scan(&status) == nil && status == "COMPLETED" {
				cancel()
				return true
			}
			sleep(one, 5*time.Millisecond)
		}
		cancel()
		sleep(ctx, 20*time.Millisecond)
	}
	return false
}

// apply applies one fault and measures how long it takes until things go on.
func (m *monkey) apply(f fault) {
	m.victim = m.workers[m.rng.IntN(len(m.workers))]
	m.sequence = append(m.sequence, f.name)
	watch := f.watch
	if watch == nil {
		watch = probe
	}
	begin := time.Now()
	measured := &monkey{fleet: m.fleet, ctx: m.ctx, victim: m.victim}
	started := make(chan struct{})
	m.watch.Go(func() {
		ctx, cancel := context.WithTimeout(m.ctx, recoverMax)
		defer cancel()
		if f.watch == nil {
			<-started // what is submitted before the fault does not count
			begin = time.Now()
			time.Sleep(10 * time.Millisecond)
		}
		measured.mu.Lock()
		measured.probes = int(time.Now().UnixMicro() % 1e12)
		measured.mu.Unlock()
		recovered := watch(measured, ctx)
		m.mu.Lock()
		defer m.mu.Unlock()
		if !recovered && m.ctx.Err() == nil {
			m.never = append(m.never, f.name)
		}
		m.took[f.name] = append(m.took[f.name], time.Since(begin))
	})
	if f.watch != nil {
		time.Sleep(20 * time.Millisecond) // what the victim holds is known
	} else {
		close(started)
	}
	f.do(m)
}
