package execution_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/execution"
)

// A coordinator does not know of a run of an earlier session before the first heartbeat of the next
// one. The worker knows it.
func TestAssign_WhenARunOfAnEarlierSessionHoldsTheDevice_IsDeclined(t *testing.T) {
	began, returned := make(chan struct{}, 3), make(chan struct{})
	b := newBench(t, 3, one(&script{execute: func(context.Context, ports.Progress) (domain.JSON, error) {
		began <- struct{}{}
		<-returned
		return "", nil
	}}), func(c *execution.Config) {
		c.Resources.Devices = []domain.Device{{ID: "gpu0"}}
		c.Resources.Custom = map[string]int64{"licence": 2}
	})
	reserve := func(share domain.Milli, licences int64) func(*ports.Assignment) {
		return func(a *ports.Assignment) {
			a.Resources.Custom = map[string]int64{"licence": licences}
			if a.Resources.GPUs = share; share > 0 {
				a.Devices = []domain.DeviceShare{{ID: "gpu0", Share: share}}
			}
		}
	}
	b.assign("wl_1", 1, reserve(600, 1))
	<-began
	b.clock.advance(leaseTime)
	b.Tick()
	require.NoError(t, b.Connect(t.Context()))

	b.assign("wl_2", 1, reserve(500, 0))
	b.assign("wl_3", 1, reserve(0, 2))
	b.assign("wl_4", 1, reserve(400, 1))
	b.flush()
	for _, id := range []domain.WorkloadID{"wl_2", "wl_3"} {
		assert.Equal(t, domain.EventDecline, b.plane.last(id).Event, id)
		assert.Equal(t, "what it reserves is taken on the worker", b.plane.last(id).Reason, id)
	}
	assert.Equal(t, []domain.Event{domain.EventStart}, b.plane.events("wl_4"), "this one fits beside it")

	close(returned)
	b.settle()
	b.assign("wl_5", 1, reserve(domain.One, 2))
	b.settle()
	assert.Equal(t, domain.EventComplete, b.plane.last("wl_5").Event, "runs that have returned hold nothing")
}
