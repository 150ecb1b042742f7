package execution_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/execution"
)

type realClock struct{}

func (realClock) Now() time.Time { return time.Now() }

func realSleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// realDeps are dependencies for an engine in real time.
func realDeps(p *plane) execution.Deps {
	return execution.Deps{Plane: p, Clock: realClock{}, IDs: &ids{}, Log: slog.New(slog.DiscardHandler),
		Sleep: realSleep}
}

func newEngine(t *testing.T, p *plane, s *script) *execution.Engine {
	t.Helper()
	p.commands = make(chan ports.Command, 100)
	e, err := execution.New(context.Background(), execution.Config{
		WorkerID: "w", Slots: 3,
		Types: map[string]ports.WorkloadFactory{"t": func() ports.Workload { c := *s; return &c }},
	}, realDeps(p))
	require.NoError(t, err)
	return e
}

// registerAndStop runs an engine until it has registered, and stops it.
func registerAndStop(t *testing.T, p *plane) {
	t.Helper()
	e := newEngine(t, p, &script{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx, time.Minute) }()
	require.Eventually(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.sessions) == 1 },
		30*time.Second, time.Millisecond)
	cancel()
	require.NoError(t, <-done)
}

func TestEngine_WhenStoppedAtOnce_EndsAHundredTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			e := newEngine(t, &plane{}, &script{})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- e.Run(ctx, time.Minute) }()
			cancel()
			require.NoError(t, <-done)
		}
	})
}

func TestEngine_WithAssignments_RunsThemAndDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		stopped, early := make(chan struct{}), false
		p.heartbeat = func(h ports.Heartbeat) ([]ports.Command, error) {
			if h.Draining {
				select {
				case <-stopped:
					early = true
				case <-time.After(20 * time.Millisecond): // a run that was told to stop has returned by then
				}
				p.heartbeat = nil
			}
			return nil, nil
		}
		run := &script{execute: func(ctx context.Context, pr ports.Progress) (domain.JSON, error) {
			defer close(stopped)
			return untilCancelled(ctx, pr)
		}}
		e := newEngine(t, p, run)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx, time.Minute) }()
		require.Eventually(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.sessions) == 1 },
			5*time.Second, time.Millisecond)
		p.commands <- ports.Command{
			Kind: ports.CommandAssign, SessionID: p.sessions[0].SessionID, WorkloadID: "wl_1", Generation: 1,
			Assignment: &ports.Assignment{WorkloadID: "wl_1", Type: "t", Generation: 1},
		}
		require.Eventually(t, func() bool { return len(p.events("wl_1")) == 1 }, 5*time.Second, time.Millisecond)
		cancel()
		require.NoError(t, <-done)
		assert.Equal(t, []domain.Event{domain.EventStart, domain.EventRelease}, p.events("wl_1"))
		assert.False(t, early,
			"stopped before the coordinator knew of the drain: what it released would be placed here again")
	})
}

func TestEngine_WhenAnotherProcessOwnsItsID_Ends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		p := &plane{register: func(domain.Registration) error { tries++; return taken(50) }}
		err := newEngine(t, p, &script{}).Run(t.Context(), time.Minute)
		require.ErrorContains(t, err, "taken")
		assert.Greater(t, tries, 2, "it tries each interval for one lease")
		assert.Empty(t, p.ends, "there is no session of its own")
	})
}

// taken is the refusal of an id that another process holds.
func taken(leaseMS int64) error {
	return domain.NewError(domain.CodeConflict, "taken").With("lease_ms", leaseMS).With("heartbeat_interval_ms",
		leaseMS/5)
}

func TestEngine_WhenTheHolderOfItsIDHasDied_RegistersAfterTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		p := &plane{register: func(domain.Registration) error {
			if tries++; tries < 4 {
				return taken(1500)
			}
			return nil
		}}
		registerAndStop(t, p)
		assert.Equal(t, 4, tries)
	})
}

func TestEngine_WhenItHasDrained_Deregisters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		e := newEngine(t, p, &script{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx, time.Minute) }()
		require.Eventually(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.sessions) == 1 },
			5*time.Second, time.Millisecond)
		cancel()
		require.NoError(t, <-done)
		assert.Equal(t, []domain.SessionEnd{{WorkerID: "w", SessionID: p.sessions[0].SessionID}}, p.ends)
	})
}

func TestEngine_WhenARunIgnoresItsEnd_DoesNotDeregister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &plane{}
		forever := make(chan struct{})
		defer close(forever)
		p.commands = make(chan ports.Command, 1)
		e, err := execution.New(context.Background(), execution.Config{
			WorkerID: "w", Slots: 1, StopGrace: 50 * time.Millisecond,
			Types: map[string]ports.WorkloadFactory{"t": func() ports.Workload {
				return &script{execute: func(context.Context, ports.Progress) (domain.JSON, error) {
					<-forever
					return "", nil
				}}
			}},
		}, realDeps(p))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx, 50*time.Millisecond) }()
		require.Eventually(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.sessions) == 1 },
			5*time.Second, time.Millisecond)
		p.commands <- ports.Command{
			Kind: ports.CommandAssign, SessionID: p.sessions[0].SessionID, WorkloadID: "wl_1", Generation: 1,
			Assignment: &ports.Assignment{WorkloadID: "wl_1", Type: "t", Generation: 1},
		}
		require.Eventually(t, func() bool { return len(p.events("wl_1")) == 1 }, 5*time.Second, time.Millisecond)
		cancel()
		require.Error(t, <-done)
		assert.Empty(t, p.ends, "it still does what another worker would start")
	})
}

func TestEngine_WhenItCannotRegister_KeepsTrying(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		p := &plane{register: func(domain.Registration) error {
			if tries++; tries < 4 {
				return errDisconnected
			}
			return nil
		}}
		registerAndStop(t, p)
		assert.Equal(t, 4, tries)
	})
}

func TestDrain_WhenItTakesTooLong_EndsWithAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reported := make(chan struct{}, 100)
		p := &plane{report: func(rs []ports.Report) ([]ports.ReportAnswer, error) {
			reported <- struct{}{}
			return nil, errDisconnected
		}}
		e := newEngine(t, p, &script{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx, 50*time.Millisecond) }()
		require.Eventually(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.sessions) == 1 },
			5*time.Second, time.Millisecond)
		p.commands <- ports.Command{
			Kind: ports.CommandAssign, SessionID: p.sessions[0].SessionID, WorkloadID: "wl_1", Generation: 1,
			Assignment: &ports.Assignment{WorkloadID: "wl_1", Type: "t", Generation: 1},
		}
		<-reported
		cancel()
		require.ErrorContains(t, <-done, "did not finish")
	})
}
