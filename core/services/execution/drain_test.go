package execution_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/execution"
)

// working is a running engine with a session.
type working struct {
	*testing.T
	plane   *plane
	session domain.SessionID
	term    context.CancelFunc // as the first signal does
	kill    context.CancelFunc // as the second signal does
	ended   chan error
}

// work starts an engine. change may set what it offers and how long runs may take to stop.
func work(t *testing.T, p *plane, drainTimeout time.Duration, change func(*execution.Config)) *working {
	t.Helper()
	p.commands = make(chan ports.Command, 1000)
	cfg := execution.Config{
		WorkerID: "w", Slots: 3, StopGrace: 10 * time.Second,
		Types: map[string]ports.WorkloadFactory{"t": func() ports.Workload { return &script{execute: untilCancelled} }},
	}
	change(&cfg)
	hard, kill := context.WithCancel(context.Background())
	e, err := execution.New(hard, cfg, realDeps(p))
	require.NoError(t, err)
	ctx, term := context.WithCancel(context.Background())
	w := &working{T: t, plane: p, term: term, kill: kill, ended: make(chan error, 1)}
	go func() { w.ended <- e.Run(ctx, drainTimeout) }()
	t.Cleanup(func() { term(); kill() })
	require.Eventually(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.sessions) == 1 },
		20*time.Second, time.Millisecond)
	w.session = p.sessions[0].SessionID
	return w
}

func (w *working) assign(id domain.WorkloadID, workloadType string) {
	w.plane.commands <- ports.Command{
		Kind: ports.CommandAssign, SessionID: w.session, WorkloadID: id, Generation: 1,
		Assignment: &ports.Assignment{WorkloadID: id, Type: workloadType, Generation: 1},
	}
}

// ends waits up to d for the end of Run.
func (w *working) ends(d time.Duration, msg string) error {
	w.Helper()
	select {
	case err := <-w.ended:
		return err
	case <-time.After(d):
		require.FailNow(w, "the engine does not end", msg)
		return nil
	}
}

func has(rs []ports.Report, e domain.Event) bool {
	for _, r := range rs {
		if r.Event == e {
			return true
		}
	}
	return false
}

func TestDrain_WhileADeclineIsInFlight_EndsWithItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		declining, answer := make(chan struct{}), make(chan struct{})
		p := &plane{reporting: func(ctx context.Context, rs []ports.Report) error {
			if has(rs, domain.EventDecline) {
				close(declining)
				select {
				case <-answer:
				case <-ctx.Done():
				}
			}
			return ctx.Err()
		}}
		w := work(t, p, time.Hour, func(*execution.Config) {})
		w.assign("wl_1", "unknown")
		<-declining
		w.term()
		select {
		case err := <-w.ended:
			require.FailNow(t, "ended before the decline was answered", err)
		case <-time.After(50 * time.Millisecond): // nothing happens
		}
		close(answer)
		require.NoError(t, w.ends(20*time.Second, "the decline was answered"))
		assert.Equal(t, []domain.Event{domain.EventDecline}, p.events("wl_1"))
	})
}

func TestDrain_WhileADeclineWaitsInTheOutbox_EndsWhenItHasLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var disconnected atomic.Bool
		disconnected.Store(true)
		tried := make(chan struct{}, 1000)
		p := &plane{reporting: func(context.Context, []ports.Report) error {
			tried <- struct{}{}
			if disconnected.Load() {
				return errDisconnected
			}
			return nil
		}}
		w := work(t, p, time.Hour, func(*execution.Config) {})
		w.assign("wl_1", "unknown")
		<-tried
		w.term()
		<-tried // again, while it drains
		disconnected.Store(false)
		require.NoError(t, w.ends(20*time.Second, "nothing is left in the outbox"))
		assert.Equal(t, []domain.Event{domain.EventDecline}, p.events("wl_1"))
	})
}

// The assignments were under way when the drain was announced.
func TestDrain_WithAssignmentsDuringTheAnnouncement_Ends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n := range 30 {
			var w *working
			announced := make(chan struct{})
			var once sync.Once
			p := &plane{
				reporting: func(ctx context.Context, _ []ports.Report) error { return realSleep(ctx, 5*time.Millisecond) },
				beating: func(_ context.Context, h ports.Heartbeat) error {
					if h.Draining {
						once.Do(func() {
							for i := range 3 {
								time.Sleep(time.Duration(1+(n+i)%3) * time.Millisecond)
								w.assign(domain.WorkloadID(fmt.Sprint("wl_", i)), "t")
							}
							time.Sleep(time.Duration(n%4) * time.Millisecond / 2)
							close(announced)
						})
					}
					return nil
				},
			}
			w = work(t, p, time.Hour, func(*execution.Config) {})
			w.term()
			require.NoError(t, w.ends(20*time.Second, "nothing runs"))
			<-announced
			for i := range 3 {
				id := domain.WorkloadID(fmt.Sprint("wl_", i))
				if es := p.events(id); len(es) > 0 { // otherwise it was never received
					assert.Equal(t, []domain.Event{domain.EventDecline}, es)
				}
			}
		}
	})
}

func TestDrain_WhenItsSessionEnds_EndsWithItsRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var over atomic.Bool
		running := make(chan struct{})
		p := &plane{
			interval: 50 * time.Millisecond,
			beating: func(context.Context, ports.Heartbeat) error {
				if over.Load() {
					return domain.NewError(domain.CodeFenced, "the session has ended")
				}
				return nil
			},
			reporting: func(ctx context.Context, rs []ports.Report) error {
				if has(rs, domain.EventRelease) { // the coordinator that received it is lost, and the session is over
					over.Store(true)
					<-ctx.Done()
					return ctx.Err()
				}
				return nil
			},
		}
		w := work(t, p, time.Hour, func(c *execution.Config) {
			c.Types["t"] = func() ports.Workload {
				return &script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
					close(running)
					return untilCancelled(ctx, p)
				}}
			}
		})
		w.assign("wl_1", "t")
		<-running
		require.Eventually(t, func() bool { return len(p.events("wl_1")) == 1 }, 20*time.Second, time.Millisecond)
		w.term()
		require.NoError(t, w.ends(30*time.Second, "the session is over and nothing runs"))
		assert.Len(t, p.sessions, 1, "a process that ends needs no new session")
	})
}

// stuckAndPolite is an engine with a run that ignores the end of its context and a run that obeys.
func stuckAndPolite(t *testing.T, p *plane, drainTimeout, grace time.Duration) (w *working, release func()) {
	t.Helper()
	free := make(chan struct{})
	release = sync.OnceFunc(func() { close(free) })
	t.Cleanup(release)
	var running sync.WaitGroup
	running.Add(2)
	w = work(t, p, drainTimeout, func(c *execution.Config) {
		c.StopGrace = grace
		c.Types["stuck"] = func() ports.Workload {
			return &script{execute: func(context.Context, ports.Progress) (domain.JSON, error) {
				running.Done()
				<-free
				return `"late"`, nil
			}}
		}
		c.Types["t"] = func() ports.Workload {
			return &script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
				running.Done()
				return untilCancelled(ctx, p)
			}}
		}
	})
	w.assign("wl_stuck", "stuck")
	w.assign("wl_ok", "t")
	running.Wait()
	require.Eventually(t, func() bool { return len(p.events("wl_stuck"))+len(p.events("wl_ok")) == 2 },
		20*time.Second, time.Millisecond)
	return w, release
}

func TestDrain_WithARunThatIgnoresIt_ReleasesTheOthersAndLeavesWithinItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 2 * time.Second
		var beats atomic.Int64
		var lastBeat atomic.Int64
		p := &plane{beating: func(context.Context, ports.Heartbeat) error {
			beats.Add(1)
			lastBeat.Store(time.Now().UnixNano())
			return nil
		}}
		p.interval = 50 * time.Millisecond
		w, _ := stuckAndPolite(t, p, timeout, 10*time.Second)
		began := time.Now()
		w.term()
		require.Eventually(t, func() bool { return p.last("wl_ok").Event == domain.EventRelease }, timeout*3/4,
			time.Millisecond,
			"what can be released is released first")
		err := w.ends(timeout+5*time.Second, "a run is stuck")
		require.ErrorContains(t, err, "wl_stuck did not return")
		assert.NotContains(t, err.Error(), "wl_ok")
		assert.Less(t, time.Since(began), timeout+time.Second, "it leaves within its timeout, not a grace later")
		assert.Greater(t, lastBeat.Load(), began.Add(timeout*3/4).UnixNano(), "the session is kept alive to the end")
		assert.Equal(t, []domain.Event{domain.EventStart}, p.events("wl_stuck"), "what still runs is not given back")
		p.mu.Lock()
		defer p.mu.Unlock()
		assert.Empty(t, p.ends, "the session ends when the process is gone, not by the worker's word")
	})
}

func TestDrain_WhenTheRunReturnsLate_ReportsItAndEndsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		w, release := stuckAndPolite(t, p, time.Minute, 20*time.Millisecond)
		w.term()
		require.Eventually(t, func() bool { return p.last("wl_ok").Event == domain.EventRelease }, 20*time.Second,
			time.Millisecond)
		release()
		require.NoError(t, w.ends(20*time.Second, "everything has returned"))
		assert.Equal(t, domain.EventComplete, p.last("wl_stuck").Event)
	})
}

func TestDrain_WithASecondSignal_SkipsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		w, _ := stuckAndPolite(t, p, time.Hour, 50*time.Millisecond)
		w.term()
		require.Eventually(t, func() bool { return p.last("wl_ok").Event == domain.EventRelease }, 20*time.Second,
			time.Millisecond)
		w.kill()
		require.ErrorContains(t, w.ends(20*time.Second, "the second signal"), "cut short")
	})
}

// A Checkpoint that never returns must not keep the run from being stopped.
func TestDrain_WhenACheckpointHangs_StopsTheRunAllTheSame(t *testing.T) {
	hang, asked := make(chan struct{}), make(chan struct{})
	b := newBench(t, 1, one(&script{execute: untilCancelled, snapshot: func() ([]byte, error) {
		close(asked)
		<-hang
		return nil, ports.ErrNoCheckpoint
	}}))
	defer b.runs.Wait()
	defer close(hang)
	b.assign("wl_1", 1)
	waitRunning(t, b)
	b.Drain()
	<-asked
	require.Eventually(t, func() bool {
		b.clock.advance(time.Second)
		require.NoError(t, b.Beat(t.Context()))
		b.Tick()
		b.flush()
		return b.Idle()
	}, 20*time.Second, time.Millisecond)
	assert.Equal(t, domain.EventRelease, b.plane.last("wl_1").Event)
}
