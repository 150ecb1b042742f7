package execution_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Whatever a run does first counts as part of it: otherwise a workload whose checkpoint does not come
// would hold its slot until the leader's backstop.
func TestRun_BeforeItExecutes_IsEndedAtItsTimeout(t *testing.T) {
	for name, c := range map[string]struct {
		w       *script
		prepare func(*bench)
	}{
		"while no coordinator gives it its checkpoint": {
			w: &script{}, prepare: func(b *bench) { b.plane.refuse = func() error { return errDisconnected } },
		},
		"while it prepares": {w: &script{prepare: func(ctx context.Context) error {
			<-ctx.Done()
			return context.Cause(ctx)
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			c.w.execute = func(context.Context, ports.Progress) (domain.JSON, error) {
				t.Error("it must not begin")
				return "", nil
			}
			b := newBench(t, 1, one(c.w))
			if c.prepare != nil {
				c.prepare(b)
			}
			b.assign("wl_1", 1, func(a *ports.Assignment) { a.TimeoutMS, a.CheckpointSequence = 5000, 1 })
			b.clock.advance(4 * time.Second)
			require.NoError(t, b.Beat(t.Context()))
			b.Tick()
			b.flush()
			require.Equal(t, []domain.Event{domain.EventStart}, b.plane.events("wl_1"), "its time is not over")
			b.clock.advance(time.Second)
			b.Tick()
			b.settle()
			last := b.plane.last("wl_1")
			require.NotNil(t, last.Failure)
			assert.Equal(t, domain.Failure{Type: "timeout", Message: "timed out after 5s"}, *last.Failure)
			assert.True(t, b.Idle())
		})
	}
}
