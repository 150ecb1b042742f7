package execution_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/execution"
)

func TestStats_OverTheLifeOfAWorker_CountWhatItDoes(t *testing.T) {
	next := make(chan func(context.Context, ports.Progress) (domain.JSON, error), 10)
	b := newBench(t, 3, map[string]func() *script{
		"t":    func() *script { return &script{execute: <-next} },
		"idle": func() *script { return &script{} },
	})
	zero := func() map[execution.RunResult]int {
		counts := map[execution.RunResult]int{}
		for _, r := range execution.RunResults() {
			counts[r] = 0
		}
		return counts
	}
	assert.Equal(t, execution.Stats{Registered: true, Slots: 3, Runs: map[string]execution.RunStats{
		"t": {Ended: zero()}, "idle": {Ended: zero()},
	}}, b.Stats())

	next <- func(context.Context, ports.Progress) (domain.JSON, error) { return "{}", nil }
	b.assign("wl_done", 1)
	b.settle()
	next <- func(context.Context, ports.Progress) (domain.JSON, error) { return "", errors.New("no") }
	b.assign("wl_failed", 1)
	b.settle()
	for _, id := range []domain.WorkloadID{"wl_cancelled", "wl_paused"} {
		next <- untilCancelled
		b.assign(id, 1)
	}
	assert.Equal(t, 2, b.Stats().Used)
	b.command(ports.CommandCancel, "wl_cancelled", 1)
	b.settleBut(1)
	b.flush()
	b.command(ports.CommandPause, "wl_paused", 1)
	b.settle()
	next <- untilCancelled
	b.assign("wl_released", 1)
	assert.True(t, ready(b))
	b.Drain()
	b.settle()
	s := b.Stats()
	assert.False(t, s.Ready(), "a worker that drains takes no work")
	assert.True(t, s.Draining)
	assert.True(t, s.Registered)
	assert.Zero(t, s.Used)
	assert.Equal(t, execution.RunStats{Started: 5, Ended: map[execution.RunResult]int{
		execution.RunCompleted: 1, execution.RunFailed: 1, execution.RunPaused: 1, execution.RunReleased: 1,
		execution.RunStopped: 1,
	}}, s.Runs["t"])
	assert.Zero(t, s.Runs["idle"].Started)
}

func ready(b *bench) bool {
	s := b.Stats()
	return s.Ready()
}

func TestStats_WhenTheLeaseIsOver_SayUnregisteredAtOnce(t *testing.T) {
	b := newBench(t, 3, one(&script{execute: untilCancelled}))
	b.assign("wl_a", 1)
	assert.True(t, ready(b))
	b.clock.advance(leaseTime - margin) // nothing has ticked since
	s := b.Stats()
	assert.False(t, s.Registered)
	assert.False(t, s.Ready())
	b.runs.Wait()
	assert.Equal(t, 1, b.Stats().Runs["t"].Ended[execution.RunStopped])
}
