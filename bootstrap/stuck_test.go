package bootstrap

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/coordinator"
)

func TestHeartbeat_WhenARunIsStuck_IsCountedInTheMetrics(t *testing.T) {
	var metrics *telemetry.Metrics
	h := planeOn(t, memoryBacking, inProcess,
		func(_ *testing.T, core *coordinator.Coordinator,
			m *telemetry.Metrics) func(domain.WorkerID) ports.ControlPlane {
			metrics = m
			return func(domain.WorkerID) ports.ControlPlane { return core.Plane }
		})
	ctx, plane := context.Background(), h.Plane("w1")
	ref := ports.SessionRef{WorkerID: "w1", SessionID: "sess_1"}
	_, err := plane.Register(ctx, domain.Registration{
		WorkerID: ref.WorkerID, SessionID: ref.SessionID, ProcessID: "proc_1", Capabilities: []string{"t"}, Slots: 1,
	})
	require.NoError(t, err)
	beat := func(number int64, stuck bool) string {
		_, err := plane.Heartbeat(ctx, ports.Heartbeat{SessionRef: ref, Number: number,
			Inventory: []ports.InventoryItem{
				{WorkloadID: "wl_1", Generation: 1, State: ports.RunStopping, Stuck: stuck},
			}})
		require.NoError(t, err)
		page := httptest.NewRecorder()
		metrics.Handler().ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
		return page.Body.String()
	}
	const counted = `niyanta_events_total{event="run_stuck"} 1`
	assert.NotContains(t, beat(1, false), counted)
	assert.Contains(t, beat(2, true), counted)
	assert.Contains(t, beat(3, false), counted, "it is the same run")
}
