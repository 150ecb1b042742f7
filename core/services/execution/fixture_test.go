package execution_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/execution"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that the test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// ids generates numbered ids.
type ids struct {
	mu sync.Mutex
	n  int
}

func (i *ids) New(prefix string) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.n++
	return fmt.Sprint(prefix, i.n)
}
func (i *ids) Random([]byte)    {}
func (i *ids) Float64() float64 { return 0 }

// plane is a scripted coordinator that records the calls.
type plane struct {
	mu          sync.Mutex
	sessions    []domain.Registration
	beats       []ports.Heartbeat
	reports     []ports.Report
	checkpoints []ports.CheckpointUpload
	stored      map[domain.WorkloadID]ports.CheckpointData
	ends        []domain.SessionEnd
	// loads, if set, returns what the n-th LoadCheckpoint delivers.
	loads  func(n int) io.ReadCloser
	loaded int
	// refuse, if set, returns what LoadCheckpoint fails with.
	refuse func() error

	register  func(domain.Registration) error
	heartbeat func(ports.Heartbeat) ([]ports.Command, error)
	report    func([]ports.Report) ([]ports.ReportAnswer, error)
	save      func(ports.CheckpointUpload) (domain.Outcome, error)
	commands  chan ports.Command
	interval  time.Duration // between heartbeats; 0 means 5 s

	// beating and reporting are called first, without mu, so that they may block.
	beating   func(ctx context.Context, h ports.Heartbeat) error
	reporting func(ctx context.Context, rs []ports.Report) error
}

const (
	leaseTime = 20 * time.Second
	margin    = 4 * time.Second
)

func (p *plane) Register(_ context.Context, r domain.Registration) (ports.Grant, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.register != nil {
		if err := p.register(r); err != nil {
			return ports.Grant{}, err
		}
	}
	p.sessions = append(p.sessions, r)
	return ports.Grant{LeaseMS: leaseTime.Milliseconds(),
		HeartbeatIntervalMS: cmp.Or(p.interval, 5*time.Second).Milliseconds()}, nil
}

func (p *plane) Heartbeat(ctx context.Context, h ports.Heartbeat) (ports.HeartbeatAnswer, error) {
	if p.beating != nil {
		if err := p.beating(ctx, h); err != nil {
			return ports.HeartbeatAnswer{}, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var commands []ports.Command
	if p.heartbeat != nil {
		var err error
		if commands, err = p.heartbeat(h); err != nil {
			return ports.HeartbeatAnswer{}, err
		}
	}
	p.beats = append(p.beats, h)
	return ports.HeartbeatAnswer{LeaseMS: leaseTime.Milliseconds(), Commands: commands}, nil
}

func (p *plane) Poll(ctx context.Context, _ ports.SessionRef, wait time.Duration) ([]ports.Command, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	select {
	case c := <-p.commands:
		commands := []ports.Command{c}
		for range len(p.commands) {
			commands = append(commands, <-p.commands)
		}
		return commands, nil
	case <-ctx.Done():
		return nil, nil
	}
}

func (p *plane) Report(ctx context.Context, _ ports.SessionRef, rs []ports.Report) ([]ports.ReportAnswer, error) {
	if p.reporting != nil {
		if err := p.reporting(ctx, rs); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.report != nil {
		if as, err := p.report(rs); as != nil || err != nil {
			return as, err
		}
	}
	p.reports = append(p.reports, rs...)
	as := make([]ports.ReportAnswer, len(rs))
	for i := range as {
		as[i] = ports.ReportAnswer{ReportID: rs[i].ID, Outcome: domain.OutcomeApplied}
	}
	return as, nil
}

func (p *plane) SaveCheckpoint(
	_ context.Context, _ ports.SessionRef, c ports.CheckpointUpload,
) (ports.ReportAnswer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := domain.OutcomeApplied
	if p.save != nil {
		var err error
		if out, err = p.save(c); err != nil {
			return ports.ReportAnswer{}, err
		}
	}
	if out.OK() {
		p.checkpoints = append(p.checkpoints, c)
	}
	return ports.ReportAnswer{Outcome: out}, nil
}

func (p *plane) End(_ context.Context, e domain.SessionEnd) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends = append(p.ends, e)
	return nil
}

func (p *plane) LoadCheckpoint(
	_ context.Context, _ ports.SessionRef, id domain.WorkloadID, _, _ int64,
) (ports.CheckpointData, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse != nil {
		if err := p.refuse(); err != nil {
			return ports.CheckpointData{}, err
		}
	}
	if p.loads != nil {
		p.loaded++
		return ports.CheckpointData{Sequence: 1, Body: p.loads(p.loaded)}, nil
	}
	if c, ok := p.stored[id]; ok {
		return c, nil
	}
	return ports.CheckpointData{}, domain.NotFound("checkpoint")
}

// events returns the reported events of a workload, in order.
func (p *plane) events(id domain.WorkloadID) []domain.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	var es []domain.Event
	for _, r := range p.reports {
		if r.WorkloadID == id {
			es = append(es, r.Event)
		}
	}
	return es
}

// linesOf returns the reported log lines of a workload, in order.
func (p *plane) linesOf(id domain.WorkloadID) []ports.LogEntry {
	p.mu.Lock()
	defer p.mu.Unlock()
	var lines []ports.LogEntry
	for _, r := range p.reports {
		if r.WorkloadID == id {
			lines = append(lines, r.Lines...)
		}
	}
	return lines
}

func (p *plane) last(id domain.WorkloadID) ports.Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	var last ports.Report
	for _, r := range p.reports {
		if r.WorkloadID == id {
			last = r
		}
	}
	return last
}

// script is a workload that does what the test says.
type script struct {
	init     func(ports.Task) error
	prepare  func(context.Context) error // instead of init
	execute  func(ctx context.Context, p ports.Progress) (domain.JSON, error)
	snapshot func() ([]byte, error)
	close    func() error
	closed   chan struct{}
}

func (s *script) Init(ctx context.Context, t ports.Task) error {
	if s.prepare != nil {
		return s.prepare(ctx)
	}
	if s.init != nil {
		return s.init(t)
	}
	return nil
}

func (s *script) Execute(ctx context.Context, p ports.Progress) (domain.JSON, error) {
	if s.execute != nil {
		return s.execute(ctx, p)
	}
	return `{"ok":true}`, nil
}

func (s *script) Checkpoint(context.Context) ([]byte, error) {
	if s.snapshot != nil {
		return s.snapshot()
	}
	return nil, ports.ErrNoCheckpoint
}

func (s *script) Close() error {
	if s.closed != nil {
		close(s.closed)
	}
	if s.close != nil {
		return s.close()
	}
	return nil
}

// untilCancelled runs until its context ends.
func untilCancelled(ctx context.Context, _ ports.Progress) (domain.JSON, error) {
	<-ctx.Done()
	return "", context.Cause(ctx)
}

// bench is an agent with a session on a scripted plane. The test waits for the goroutines that the
// agent spawns.
type bench struct {
	*testing.T
	*execution.Agent
	plane *plane
	clock *clock
	spool *spool
	runs  sync.WaitGroup
	busy  atomic.Int32 // how many spawned functions have not returned
	stop  context.CancelFunc
}

func newBench(t *testing.T, slots int, types map[string]func() *script, change ...func(*execution.Config)) *bench {
	t.Helper()
	b := &bench{T: t, plane: &plane{stored: map[domain.WorkloadID]ports.CheckpointData{}},
		clock: &clock{now: time.Unix(1_700_000_000, 0)}, spool: &spool{Spool: system.Spool{Folder: t.TempDir()}}}
	ctx, stop := context.WithCancel(t.Context())
	b.stop = stop
	cfg := config(slots, types)
	for _, c := range change {
		c(&cfg)
	}
	agent, err := execution.NewAgent(ctx, cfg, execution.Deps{
		Plane: b.plane, Clock: b.clock, IDs: &ids{}, Log: slog.New(slog.DiscardHandler),
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		Spawn: func(f func()) {
			b.busy.Add(1)
			b.runs.Go(func() { defer b.busy.Add(-1); f() })
		},
		Spool: b.spool,
	})
	require.NoError(t, err)
	b.Agent = agent
	require.NoError(t, b.Connect(t.Context()))
	t.Cleanup(func() { stop(); b.runs.Wait() })
	return b
}

func config(slots int, types map[string]func() *script) execution.Config {
	cfg := execution.Config{
		WorkerID: "w", Slots: slots, Types: map[string]ports.WorkloadFactory{},
	}
	for name, make := range types {
		cfg.Types[name] = func() ports.Workload {
			if s := make(); s != nil {
				return s
			}
			return nil
		}
	}
	return cfg
}

func one(s *script) map[string]func() *script {
	return map[string]func() *script{"t": func() *script { return s }}
}

func (b *bench) session() domain.SessionID {
	ref, _, _ := b.Session()
	return ref.SessionID
}

// assign gives the agent an assignment.
func (b *bench) assign(id domain.WorkloadID, generation int64, change ...func(*ports.Assignment)) {
	a := &ports.Assignment{WorkloadID: id, CustomerID: "cust_a", Type: "t", Generation: generation, Input: "{}"}
	for _, c := range change {
		c(a)
	}
	b.Handle(ports.Command{Kind: ports.CommandAssign, SessionID: b.session(), WorkloadID: id, Generation: generation,
		Assignment: a})
}

func (b *bench) command(kind ports.CommandKind, id domain.WorkloadID, generation int64) {
	b.Handle(ports.Command{Kind: kind, SessionID: b.session(), WorkloadID: id, Generation: generation})
}

func (b *bench) flush() {
	b.Helper()
	require.NoError(b, b.Flush(b.Context()))
}

// settle waits until nothing runs, and sends the reports.
func (b *bench) settle() {
	b.Helper()
	b.runs.Wait()
	b.flush()
}

// settleBut waits until n spawned functions are left, and sends the reports.
func (b *bench) settleBut(n int32) {
	b.Helper()
	require.Eventually(b, func() bool { return b.busy.Load() <= n }, 20*time.Second, time.Millisecond)
	b.flush()
}

// onlyLetGo asserts that a workload's reports after the first n only say that stopped runs have
// returned.
func (b *bench) onlyLetGo(id domain.WorkloadID, n int) {
	b.Helper()
	b.plane.mu.Lock()
	defer b.plane.mu.Unlock()
	var rest []ports.Report
	for _, r := range b.plane.reports {
		if r.WorkloadID == id {
			rest = append(rest, r)
		}
	}
	require.Greater(b, len(rest), n)
	for _, r := range rest[n:] {
		assert.Equal(b, domain.EventRelease, r.Event)
		assert.Equal(b, "the run was stopped", r.Reason)
		assert.Nil(b, r.RetryAfterMS)
	}
}

var errDisconnected = errors.New("the coordinator is disconnected")
