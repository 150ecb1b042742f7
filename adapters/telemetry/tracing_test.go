package telemetry_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const traced = domain.WorkloadID("wl_06h0r71uvds0t3f5d7e71d0bhg")

// life has an observer hear the life of a workload that is redistributed once.
func life(o ports.Observer) (submitted time.Time) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := domain.Workload{Spec: domain.Spec{ID: traced, CustomerID: "cust_a", Type: "t", CreatedAt: at}}
	o.Submitted(domain.TierFree, []ports.SubmitResult{
		{Status: domain.Admitted, Workload: w}, {Status: domain.AdmissionQueueFull},
	})
	step := func(e domain.Event, from domain.Status, worker domain.WorkerID, to domain.State) {
		o.Transitioned(domain.Batch{Transitions: []domain.Transition{{Event: e}}}, []domain.Result{{
			Outcome: domain.OutcomeApplied, WorkloadID: traced, CustomerID: "cust_a", Type: "t", CreatedAt: at,
			From: from, FromWorkerID: worker, State: to,
		}})
	}
	s := domain.State{Status: domain.StatusScheduled, Generation: 1, ScheduledAt: at.Add(time.Second)}
	step(domain.EventAssign, domain.StatusPending, "", s)
	s.Status, s.StartedAt = domain.StatusRunning, at.Add(2*time.Second)
	step(domain.EventStart, domain.StatusScheduled, "w1", s)
	s.Status, s.UpdatedAt = domain.StatusRedistributing, at.Add(5*time.Second)
	step(domain.EventLose, domain.StatusRunning, "w1", s)
	s.Status, s.Generation, s.StartedAt = domain.StatusRunning, 2, at.Add(6*time.Second)
	s.Status, s.UpdatedAt, s.FinishedAt = domain.StatusCompleted, at.Add(9*time.Second), at.Add(9*time.Second)
	step(domain.EventComplete, domain.StatusRunning, "w2", s)
	return at
}

func TestTracing_SpansOfAWorkload_MakeOneTraceOfSeveralCoordinators(t *testing.T) {
	exported := tracetest.NewInMemoryExporter()
	p := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exported), sdktrace.WithIDGenerator(telemetry.SpanIDs()))
	at := life(telemetry.NewTracing(telemetry.NewMetrics(), p))
	spans := exported.GetSpans()
	traceID, rootID := telemetry.TraceOf(traced)
	names := map[string]int{}
	for _, s := range spans {
		names[s.Name]++
		assert.Equal(t, traceID, s.SpanContext.TraceID(), s.Name)
		if s.Name != "workload t" {
			assert.Equal(t, rootID, s.Parent.SpanID(), s.Name)
		}
	}
	assert.Equal(t, map[string]int{"submit": 1, "wait": 1, "run": 2, "workload t": 1}, names)
	last := spans[len(spans)-1]
	assert.Equal(t, "workload t", last.Name)
	assert.Equal(t, rootID, last.SpanContext.SpanID())
	assert.False(t, last.Parent.IsValid())
	assert.Equal(t, at, last.StartTime)
	assert.Equal(t, 9*time.Second, last.EndTime.Sub(last.StartTime))
}

func TestTracing_Spans_AreExportedOverOTLP(t *testing.T) {
	var got atomic.Int32
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			got.Add(1)
		}
	}))
	defer collector.Close()
	p, err := telemetry.NewTracerProvider(t.Context(), collector.URL, "test", "v")
	require.NoError(t, err)
	life(telemetry.NewTracing(telemetry.NewMetrics(), p))
	require.NoError(t, p.Shutdown(t.Context()))
	assert.Positive(t, got.Load())
}

func TestTracing_TraceID_IsTheWorkloadsID(t *testing.T) {
	a, root := telemetry.TraceOf(traced)
	assert.True(t, a.IsValid())
	assert.True(t, root.IsValid())
	b, _ := telemetry.TraceOf("wl_0001")
	assert.True(t, b.IsValid(), "also of one without a UUID in it")
	assert.NotEqual(t, a, b)
}
