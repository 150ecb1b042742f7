package execution_test

import (
	"context"
	"fmt"
	"slices"
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

// soon is within what a lost coordinator or a flood of output may delay the report of another run.
const soon = time.Second

// reported waits until a workload's event has arrived and returns how long that took.
func (w *working) reported(id domain.WorkloadID, e domain.Event) time.Duration {
	w.Helper()
	began := time.Now()
	require.Eventually(w, func() bool { return slices.Contains(w.plane.events(id), e) }, 20*time.Second,
		time.Millisecond, "%s of %s", e, id)
	return time.Since(began)
}

// flood is a run that writes as fast as it can until its context ends.
func flood(ctx context.Context, p ports.Progress) (domain.JSON, error) {
	for i := 0; ctx.Err() == nil; i++ {
		p.Log(ports.LogEntry{Message: fmt.Sprint("line ", i)})
		if i%100 == 0 {
			_ = realSleep(ctx, time.Millisecond) // and leaves the test's machine some room
		}
	}
	return "", context.Cause(ctx)
}

func TestReports_WhileARunFloodsItsOutput_AreNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := make(chan struct{}, 1)
		p := &plane{reporting: func(ctx context.Context, rs []ports.Report) error {
			if has(rs, domain.EventLog) {
				select {
				case lines <- struct{}{}:
				default:
				}
				return realSleep(ctx, 2*time.Second) // a store that is slow with lines
			}
			return nil
		}}
		w := work(t, p, time.Minute, func(c *execution.Config) {
			c.Types["flood"] = func() ports.Workload { return &script{execute: flood} }
			c.Types["quick"] = func() ports.Workload { return &script{} }
		})
		w.assign("wl_flood", "flood")
		<-lines
		for i := range 10 {
			id := domain.WorkloadID(fmt.Sprint("wl_", i))
			w.assign(id, "quick")
			assert.Less(t, w.reported(id, domain.EventComplete), soon)
		}
		w.term()
		require.NoError(t, w.ends(30*time.Second, "the flood ends"))
		assert.Equal(t, domain.EventRelease, p.last("wl_flood").Event)
	})
}

func TestReports_WhenACallIsLost_OthersGoBesideIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lost atomic.Int32
		p := &plane{reporting: func(ctx context.Context, rs []ports.Report) error {
			for _, r := range rs {
				if r.WorkloadID == "wl_lost" && lost.CompareAndSwap(0, 1) {
					_ = realSleep(ctx, 3*time.Second) // the coordinator that got it is gone
					return errDisconnected
				}
			}
			return nil
		}}
		w := work(t, p, time.Minute, func(c *execution.Config) {
			c.Types["quick"] = func() ports.Workload { return &script{} }
		})
		w.assign("wl_lost", "t")
		require.Eventually(t, func() bool { return lost.Load() == 1 }, 20*time.Second, time.Millisecond)
		for i := range 10 {
			id := domain.WorkloadID(fmt.Sprint("wl_", i))
			w.assign(id, "quick")
			assert.Less(t, w.reported(id, domain.EventComplete), soon)
		}
		assert.Empty(t, p.events("wl_lost"))
		w.reported("wl_lost", domain.EventStart) // it is not lost for good
		w.term()
		require.NoError(t, w.ends(30*time.Second, "everything is released"))
		assert.Equal(t, []domain.Event{domain.EventStart, domain.EventRelease}, p.events("wl_lost"))
	})
}

// However calls fail and overtake each other, the reports of one run arrive in their order.
func TestReports_WhateverCallsFail_ArriveInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		n := 0
		p := &plane{reporting: func(ctx context.Context, _ []ports.Report) error {
			mu.Lock()
			n++
			k := n
			mu.Unlock()
			switch k % 5 {
			case 0:
				return errDisconnected
			case 1, 2:
				return realSleep(ctx, time.Duration(k%7)*50*time.Millisecond)
			}
			return nil
		}}
		const runs, each = 20, 1000
		w := work(t, p, time.Minute, func(c *execution.Config) {
			c.Slots = runs
			c.Types["chatty"] = func() ports.Workload {
				return &script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
					for i := range each {
						p.Log(ports.LogEntry{Message: fmt.Sprint(i)})
						if i%100 == 0 {
							p.Report(float64(i)/each*100, "")
							_ = realSleep(ctx, 5*time.Millisecond)
						}
					}
					return "{}", nil
				}}
			}
		})
		for i := range runs {
			w.assign(domain.WorkloadID(fmt.Sprint("wl_", i)), "chatty")
		}
		for i := range runs {
			id := domain.WorkloadID(fmt.Sprint("wl_", i))
			w.reported(id, domain.EventComplete)
			es := p.events(id)
			assert.Equal(t, domain.EventStart, es[0])
			assert.Equal(t, domain.EventComplete, es[len(es)-1])
			lines := p.linesOf(id)
			require.Len(t, lines, each)
			for k, l := range lines {
				require.Equal(t, fmt.Sprint(k), l.Message)
			}
		}
		w.term()
		require.NoError(t, w.ends(30*time.Second, "nothing is left"))
	})
}

func TestReports_WhileTheControlPlaneIsAway_StayBounded(t *testing.T) {
	calls := 0
	b := newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
		<-ctx.Done()
		return "", context.Cause(ctx)
	}}))
	b.plane.report = func(rs []ports.Report) ([]ports.ReportAnswer, error) {
		calls++
		assert.LessOrEqual(t, len(rs), 2, "a start, and the newest progress")
		return nil, errDisconnected
	}
	b.assign("wl_1", 1)
	for range 100 {
		b.clock.advance(time.Second)
		require.NoError(t, b.Beat(t.Context()))
		require.Error(t, b.Flush(t.Context()))
	}
	assert.Equal(t, 100, calls)
}

// A batch that was refused is sent in parts; when one of them is not answered, the rest still comes
// after it.
func TestReports_WhenPartOfARefusedBatchIsNotAnswered_KeepTheirOrder(t *testing.T) {
	b := newBench(t, 3, one(&script{}))
	calls := 0
	b.plane.report = func(rs []ports.Report) ([]ports.ReportAnswer, error) {
		if len(rs) > 1 {
			return nil, domain.Invalid("reports", "one of them is bad")
		}
		if calls++; calls%3 == 0 {
			return nil, errDisconnected
		}
		return nil, nil
	}
	ids := []domain.WorkloadID{"wl_1", "wl_2", "wl_3"}
	for _, id := range ids {
		b.assign(id, 1)
	}
	b.runs.Wait()
	for !b.Idle() {
		_ = b.Flush(t.Context())
	}
	for _, id := range ids {
		assert.Equal(t, []domain.Event{domain.EventStart, domain.EventComplete}, b.plane.events(id))
	}
}

// The end of a short run is committed with its start: an idle worker reports it once.
func TestReports_WhenAShortRunBegins_CarryItsStartAndEndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := make(chan []domain.Event, 10)
		p := &plane{reporting: func(_ context.Context, rs []ports.Report) error {
			var events []domain.Event
			for _, r := range rs {
				events = append(events, r.Event)
			}
			calls <- events
			return nil
		}}
		p.commands = make(chan ports.Command, 1)
		p.register = func(r domain.Registration) error {
			p.commands <- ports.Command{
				Kind: ports.CommandAssign, SessionID: r.SessionID, WorkloadID: "wl", Generation: 1,
				Assignment: &ports.Assignment{WorkloadID: "wl", Type: "t", Generation: 1},
			}
			return nil
		}
		glanced, closed := make(chan struct{}), make(chan struct{})
		deps := realDeps(p)
		deps.Sleep = func(ctx context.Context, d time.Duration) error {
			if d < time.Millisecond {
				close(glanced)
				<-closed
				d = 500 * time.Millisecond // the run posts its end right after it has closed the handler
			}
			return realSleep(ctx, d)
		}
		e, err := execution.New(context.Background(), execution.Config{
			WorkerID: "w", Slots: 1, Types: map[string]ports.WorkloadFactory{"t": func() ports.Workload {
				return &script{
					execute: func(context.Context, ports.Progress) (domain.JSON, error) {
						<-glanced
						return "{}", nil
					},
					closed: closed,
				}
			}},
		}, deps)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx, time.Second) }()
		require.Equal(t, []domain.Event{domain.EventStart, domain.EventComplete}, <-calls)
		stop()
		require.NoError(t, <-done)
	})
}

func TestReports_WhenManyShortRunsBegin_CarryStartAndEndTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const runs = 100
		var mu sync.Mutex
		together := 0
		p := &plane{reporting: func(_ context.Context, rs []ports.Report) error {
			mu.Lock()
			defer mu.Unlock()
			starts := map[domain.WorkloadID]bool{}
			for _, r := range rs {
				if r.Event == domain.EventStart {
					starts[r.WorkloadID] = true
				} else if starts[r.WorkloadID] {
					together++
				}
			}
			return nil
		}}
		// All commands arrive in one poll: a slow machine would otherwise report the first starts alone.
		p.commands = make(chan ports.Command, runs)
		p.register = func(r domain.Registration) error {
			for n := range runs {
				id := domain.WorkloadID(fmt.Sprint("wl_", n))
				p.commands <- ports.Command{
					Kind: ports.CommandAssign, SessionID: r.SessionID, WorkloadID: id, Generation: 1,
					Assignment: &ports.Assignment{WorkloadID: id, Type: "t", Generation: 1},
				}
			}
			return nil
		}
		var ended sync.WaitGroup
		ended.Add(runs)
		looked := make(chan struct{})
		look := sync.OnceFunc(func() { close(looked) })
		deps := realDeps(p)
		deps.Sleep = func(ctx context.Context, d time.Duration) error {
			if d == time.Millisecond { // reports gather
				look()
				ended.Wait()
			}
			return realSleep(ctx, d)
		}
		e, err := execution.New(context.Background(), execution.Config{
			WorkerID: "w", Slots: runs, Types: map[string]ports.WorkloadFactory{"t": func() ports.Workload {
				return &script{execute: func(context.Context, ports.Progress) (domain.JSON, error) {
					defer ended.Done()
					select {
					case <-looked:
					case <-time.After(5 * time.Second):
					}
					return "{}", nil
				}}
			}},
		}, deps)
		require.NoError(t, err)
		ctx, term := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx, time.Minute) }()
		require.Eventually(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.reports) == 2*runs },
			20*time.Second, time.Millisecond)
		mu.Lock()
		assert.Greater(t, together, runs/2)
		mu.Unlock()
		term()
		require.NoError(t, <-done)
	})
}
