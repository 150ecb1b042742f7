package execution_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/execution"
)

// A run that ignores its end keeps a drain until its timeout, here an hour.
func TestDrain_WhenPreempted_EndsWithinTheNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, release := make(chan struct{}), make(chan struct{})
		defer close(release)
		p := &plane{commands: make(chan ports.Command, 10)}
		e, err := execution.New(t.Context(), execution.Config{
			WorkerID: "w", Slots: 1, StopGrace: 100 * time.Millisecond,
			Types: map[string]ports.WorkloadFactory{"t": func() ports.Workload {
				return &script{execute: func(context.Context, ports.Progress) (domain.JSON, error) {
					close(began)
					<-release
					return "{}", nil
				}}
			}},
		}, realDeps(p))
		require.NoError(t, err)
		ctx, end := context.WithCancelCause(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx, time.Hour) }()
		require.Eventually(t, func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.sessions) == 1 },
			20*time.Second, time.Millisecond)
		w := &working{T: t, plane: p, session: p.sessions[0].SessionID}
		w.assign("w1", "t")
		<-began
		asked := time.Now()
		end(&execution.Preempted{Within: time.Second})
		select {
		case err := <-ended:
			require.Error(t, err, "a run did not end")
		case <-time.After(20 * time.Second):
			require.Fail(t, "the drain goes on after the notice")
		}
		assert.Less(t, time.Since(asked), 5*time.Second)
	})
}
