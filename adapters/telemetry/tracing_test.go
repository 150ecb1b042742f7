package telemetry_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/contracttests/testfiles"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const traced = domain.WorkloadID("wl_06h0r71uvds0t3f5d7e71d0bhg")

// life has an observer hear the life of a workload that is lost once.
func life(o ports.Observer, origin domain.Origin) (submitted time.Time) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	w := domain.Workload{Spec: domain.Spec{ID: traced, CustomerID: "cust_a", Type: "t", CreatedAt: at, Origin: origin}}
	o.Submitted(domain.TierFree, []ports.SubmitResult{
		{Status: domain.Admitted, Workload: w}, {Status: domain.AdmissionQueueFull},
	}, time.Second)
	var s domain.State
	result := func(from domain.State) domain.Result {
		return domain.Result{
			Outcome: domain.OutcomeApplied, WorkloadID: traced, CustomerID: "cust_a", Type: "t", CreatedAt: at,
			Origin: origin, From: from.Status, FromAt: from.UpdatedAt, FromWorkerID: from.WorkerID, State: s,
		}
	}
	step := func(after time.Duration, e domain.Event, change func()) {
		from := s
		s.UpdatedAt = at.Add(after)
		change()
		o.Transitioned(domain.Batch{Transitions: []domain.Transition{{Event: e, Loss: domain.LossDied}}},
			[]domain.Result{result(from)}, time.Second)
	}
	for i, end := range []domain.Event{domain.EventLose, domain.EventComplete} {
		begin := time.Duration(i) * 10 * time.Second
		step(begin+time.Second, domain.EventAssign, func() {
			s.Status, s.Generation, s.WorkerID, s.ScheduledAt = domain.StatusScheduled, int64(i+1), "w1", s.UpdatedAt
		})
		step(begin+2*time.Second, domain.EventStart, func() { s.Status, s.StartedAt = domain.StatusRunning, s.UpdatedAt })
		o.Checkpointed(ports.CheckpointAttempt{Size: 5, Took: time.Second, Result: result(s)})
		step(begin+9*time.Second, end, func() {
			s.WorkerID, s.Status = "", domain.StatusRedistributing
			if end == domain.EventComplete {
				s.Status, s.FinishedAt = domain.StatusCompleted, s.UpdatedAt
			}
		})
	}
	return at
}

func TestTracing_OfALife_MakesOneTreeBelowTheSpanThatTheClientSent(t *testing.T) {
	sent := domain.ParseSpanRef("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	for name, origin := range map[string]domain.Origin{"sent": {Trace: sent, RequestID: "req_1"}, "none sent": {}} {
		exported := tracetest.NewInMemoryExporter()
		p := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exported), sdktrace.WithIDGenerator(telemetry.SpanIDs()))
		at := life(telemetry.NewTracing(telemetry.NewMetrics(), p), origin)
		root, run := origin.Span(traced), origin.RunSpan(domain.RunID{WorkloadID: traced, Generation: 1})
		got := map[string][3]time.Duration{}
		for _, s := range exported.GetSpans() {
			assert.Equal(t, root.TraceID, [16]byte(s.SpanContext.TraceID()), "%s: %s", name, s.Name)
			label, parent := s.Name, [8]byte(s.Parent.SpanID())
			for _, a := range s.Attributes {
				if a.Key == "niyanta.generation" && s.Name != "workload t" {
					label += fmt.Sprint(" ", a.Value.AsInt64())
				}
			}
			if s.Status.Code == codes.Error {
				label += " failed"
			}
			within := time.Duration(0)
			switch s.Name {
			case "workload t":
				assert.Equal(t, root.SpanID, [8]byte(s.SpanContext.SpanID()), name)
				assert.Equal(t, origin.Trace.SpanID, parent, name)
			case "checkpoint":
				within = 1
			default:
				assert.Equal(t, root.SpanID, parent, "%s: %s", name, s.Name)
			}
			if label == "run 1 failed" {
				assert.Equal(t, run.SpanID, [8]byte(s.SpanContext.SpanID()), name)
			}
			got[label] = [3]time.Duration{s.StartTime.Sub(at) / time.Second, s.EndTime.Sub(at) / time.Second, within}
		}
		assert.Equal(t, map[string][3]time.Duration{
			"workload t": {0, 19}, "submit": {0, 1},
			"wait 1": {0, 1}, "assign 1": {1, 2}, "checkpoint 1": {2, 3, 1}, "run 1 failed": {2, 9}, "commit 1 failed": {9, 10},
			"wait 2": {9, 11}, "assign 2": {11, 12}, "checkpoint 2": {12, 13, 1}, "run 2": {12, 19}, "commit 2": {19, 20},
		}, got, name)
	}
}

func TestTracing_WhenTheClientDoesNotWantIt_RecordsNothing(t *testing.T) {
	exported := tracetest.NewInMemoryExporter()
	p := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exported), sdktrace.WithIDGenerator(telemetry.SpanIDs()))
	sent := domain.ParseSpanRef("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")
	life(telemetry.NewTracing(telemetry.NewMetrics(), p), domain.Origin{Trace: sent})
	assert.Empty(t, exported.GetSpans())
}

func TestTracing_Spans_AreExportedOverOTLP(t *testing.T) {
	var got atomic.Int32
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			got.Add(1)
		}
	}))
	defer collector.Close()
	p, err := telemetry.NewTracerProvider(t.Context(), collector.URL, "test", "v", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	life(telemetry.NewTracing(telemetry.NewMetrics(), p), domain.Origin{})
	require.NoError(t, p.Shutdown(t.Context()))
	assert.Positive(t, got.Load())
}

// TestTracing_SpansThatTheCollectorRefuses_AreLoggedWithoutItsPath: the path may hold a token.
func TestTracing_SpansThatTheCollectorRefuses_AreLoggedWithoutItsPath(t *testing.T) {
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w, "no such tenant"+strings.Repeat(".", 2000))
	}))
	defer collector.Close()
	var log testfiles.Log
	p, err := telemetry.NewTracerProvider(t.Context(), collector.URL+"/token/v1/traces", "test", "v",
		slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	life(telemetry.NewTracing(telemetry.NewMetrics(), p), domain.Origin{})
	_ = p.Shutdown(t.Context()) // says it, too
	assert.Equal(t, 1, log.Count("spans were not exported"), log.String())
	assert.Contains(t, log.String(), "level=WARN")
	assert.Contains(t, log.String(), "403 Forbidden")
	assert.Contains(t, log.String(), "no such tenant")
	assert.Contains(t, log.String(), collector.URL)
	assert.NotContains(t, log.String(), "token")
	assert.Less(t, len(log.String()), 1000)
}
