package telemetry

import (
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/niyanta/niyanta/adapters/internal/spans"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Tracing turns what happens to workloads into spans. The ids of a workload's span and of those of
// its runs follow from the workload; see domain.Origin. So all coordinators add to the same trace,
// and nothing has to be passed along.
//
//	(the span that the client sent, if there is one)
//	└ workload sleep           submitted ............................ finished
//	  ├ submit                 ..
//	  ├ wait    generation 1     ....
//	  ├ assign  generation 1         ..
//	  ├ run     generation 1           .........
//	  │ └ checkpoint                      ..
//	  ├ commit  generation 1                    ..
//	  ├ wait    generation 2                    ....
//	  └ …
type Tracing struct {
	ports.Observer
	tracer trace.Tracer
}

// NewTracerProvider exports spans over OTLP/HTTP to endpoint ("http://host:4318"). It installs
// itself for the process, and logs there what goes wrong later. Shut it down at the end.
func NewTracerProvider(
	ctx context.Context, endpoint, role, version string, log *slog.Logger,
) (*sdktrace.TracerProvider, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("OTLP endpoint: %w", err)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/v1/traces"
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.String()))
	if err != nil {
		return nil, fmt.Errorf("OTLP exporter: %w", err)
	}
	res := resource.NewSchemaless(attribute.String("service.name", "niyanta-"+role),
		attribute.String("service.version", version))
	p := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(res),
		sdktrace.WithIDGenerator(ids{}))
	otel.SetErrorHandler(&failures{log: log, now: time.Now, hide: u.String(), shown: u.Scheme + "://" + u.Host})
	otel.SetTracerProvider(p)
	return p, nil
}

// NewTracing returns an observer that makes spans on p, and passes on all it observes.
func NewTracing(next ports.Observer, p trace.TracerProvider) *Tracing {
	return &Tracing{Observer: next, tracer: p.Tracer("github.com/niyanta/niyanta")}
}

// Submitted implements ports.Observer.
func (t *Tracing) Submitted(tier domain.Tier, results []ports.SubmitResult, took time.Duration) {
	t.Observer.Submitted(tier, results, took)
	for i := range results {
		if w := &results[i].Workload; results[i].Status == domain.Admitted {
			t.record(&span{
				name: "submit", parent: w.Origin.Span(w.ID), from: w.CreatedAt, to: w.CreatedAt.Add(took),
				attrs: of(w.ID, w.CustomerID, w.Type, w.Origin),
			})
		}
	}
}

// Transitioned implements ports.Observer.
func (t *Tracing) Transitioned(b domain.Batch, results []domain.Result, took time.Duration) {
	t.Observer.Transitioned(b, results, took)
	for i := range results {
		if r := &results[i]; r.Outcome == domain.OutcomeApplied && r.From != r.State.Status {
			t.transitioned(&b.Transitions[i], r, took)
		}
	}
}

// transitioned records the spans that a change of state ends.
func (t *Tracing) transitioned(tr *domain.Transition, r *domain.Result, took time.Duration) {
	run := domain.RunID{WorkloadID: r.WorkloadID, Generation: r.State.Generation}
	holder := r.FromWorkerID
	if r.State.Status.Held() {
		holder = r.State.WorkerID
	}
	s := &span{
		parent: r.Origin.Span(r.WorkloadID), to: r.State.UpdatedAt, failed: failureOf(tr, r),
		attrs: append(of(r.WorkloadID, r.CustomerID, r.Type, r.Origin), attribute.Int64("niyanta.generation", run.Generation),
			attribute.String("niyanta.worker_id", string(holder)), attribute.String("niyanta.event", string(tr.Event))),
	}
	left := r.From.Held() && !r.State.Status.Held()
	switch {
	case tr.Event == domain.EventAssign:
		s.name, s.from = "wait", r.FromAt
		if run.Generation == 1 {
			s.from = r.CreatedAt
		}
	case tr.Event == domain.EventStart, left && r.From == domain.StatusScheduled:
		s.name, s.from = "assign", r.State.ScheduledAt
	case left:
		s.name, s.from, s.self = "run", r.State.StartedAt, r.Origin.RunSpan(run)
	}
	if s.name != "" {
		t.record(s)
	}
	if left {
		s.name, s.self, s.from, s.to = "commit", domain.SpanRef{}, s.to, s.to.Add(took)
		t.record(s)
	}
	if r.State.Status.Final() {
		s.name, s.self, s.parent = "workload "+r.Type, r.Origin.Span(r.WorkloadID), r.Origin.Trace
		s.from, s.to = r.CreatedAt, r.State.FinishedAt
		t.record(s)
	}
}

// Checkpointed implements ports.Observer.
func (t *Tracing) Checkpointed(c ports.CheckpointAttempt) {
	t.Observer.Checkpointed(c)
	if r := &c.Result; r.Outcome == domain.OutcomeApplied {
		run := domain.RunID{WorkloadID: r.WorkloadID, Generation: r.State.Generation}
		t.record(&span{
			name: "checkpoint", parent: r.Origin.RunSpan(run), from: r.State.UpdatedAt, to: r.State.UpdatedAt.Add(c.Took),
			attrs: append(of(r.WorkloadID, r.CustomerID, r.Type, r.Origin),
				attribute.Int64("niyanta.generation", run.Generation),
				attribute.String("niyanta.worker_id", string(r.State.WorkerID)),
				attribute.Int64("niyanta.checkpoint_sequence", r.State.CheckpointSequence),
				attribute.Int("niyanta.checkpoint_bytes", c.Size)),
		})
	}
}

// failureOf returns why a run or a workload did not succeed. It is empty if it did. It holds nothing
// that a workload has written.
func failureOf(tr *domain.Transition, r *domain.Result) string {
	switch {
	case r.State.Status == domain.StatusFailed, tr.Event == domain.EventFail, tr.Event == domain.EventTimeout:
		return "failed"
	case tr.Event == domain.EventLose:
		return string(tr.Loss)
	case tr.Event == domain.EventUnassign, tr.Event == domain.EventDecline:
		return string(tr.Event)
	}
	return ""
}

// span describes a span that has ended.
type span struct {
	name string
	// parent may be zero: the span begins a trace. self is its own id; zero: a random one.
	parent, self domain.SpanRef
	from, to     time.Time
	attrs        []attribute.KeyValue
	failed       string // why; empty: it has not
}

// of returns the attributes of all spans of a workload.
func of(id domain.WorkloadID, customer domain.CustomerID, typ string, o domain.Origin) []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		attribute.String("niyanta.workload_id", string(id)), attribute.String("niyanta.customer_id", string(customer)),
		attribute.String("niyanta.workload_type", typ),
	}
	if o.RequestID != "" {
		attrs = append(attrs, attribute.String("niyanta.request_id", o.RequestID))
	}
	return attrs
}

func (t *Tracing) record(s *span) {
	ctx := trace.ContextWithRemoteSpanContext(context.Background(), spans.ContextOf(s.parent))
	if !s.self.IsZero() {
		ctx = context.WithValue(ctx, selfKey{}, s.self)
	}
	_, started := t.tracer.Start(ctx, s.name, trace.WithTimestamp(s.from), trace.WithAttributes(s.attrs...))
	if s.failed != "" {
		started.SetStatus(codes.Error, s.failed)
	}
	started.End(trace.WithTimestamp(s.to))
}

// selfKey is the key of the id that a span gets.
type selfKey struct{}

// ids makes the ids of spans: given ones for workloads and runs, random ones otherwise.
type ids struct{}

// NewIDs implements sdktrace.IDGenerator.
func (g ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if self, ok := ctx.Value(selfKey{}).(domain.SpanRef); ok {
		return self.TraceID, self.SpanID
	}
	var t trace.TraceID
	binary.NativeEndian.PutUint64(t[:8], random())
	binary.NativeEndian.PutUint64(t[8:], random())
	return t, g.NewSpanID(ctx, t)
}

// NewSpanID implements sdktrace.IDGenerator.
func (ids) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	if self, ok := ctx.Value(selfKey{}).(domain.SpanRef); ok {
		return self.SpanID
	}
	var s trace.SpanID
	binary.NativeEndian.PutUint64(s[:], random())
	return s
}

// SpanIDs returns the generator that the spans of workloads and runs need, for providers that
// NewTracerProvider has not made.
func SpanIDs() sdktrace.IDGenerator { return ids{} }
