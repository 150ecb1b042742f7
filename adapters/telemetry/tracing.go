package telemetry

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Tracing turns transitions into spans. The trace of a workload follows from its id. All
// coordinators derive the same trace, so that nothing has to be stored or passed along.
//
//	workload sleep           submitted ........................ finished
//	├ submit                 |
//	├ wait    generation 1   ....
//	├ run     generation 1       .......
//	└ run     generation 2                .......
type Tracing struct {
	ports.Observer
	tracer trace.Tracer
}

// NewTracerProvider exports spans over OTLP/HTTP to endpoint ("http://host:4318"). It installs
// itself and the W3C propagator for the process. Shut it down at the end.
func NewTracerProvider(ctx context.Context, endpoint, role, version string) (*sdktrace.TracerProvider, error) {
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
	otel.SetTracerProvider(p)
	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	return p, nil
}

// NewTracing returns an observer that makes spans on p, and passes on all it observes.
func NewTracing(next ports.Observer, p trace.TracerProvider) *Tracing {
	return &Tracing{Observer: next, tracer: p.Tracer("github.com/niyanta/niyanta")}
}

// Submitted implements ports.Observer.
func (t *Tracing) Submitted(tier domain.Tier, results []ports.SubmitResult) {
	t.Observer.Submitted(tier, results)
	for i := range results {
		if w := &results[i].Workload; results[i].Status == domain.Admitted {
			t.span(w.ID, "submit", w.CreatedAt, w.CreatedAt, attribute.String("niyanta.customer_id", string(w.CustomerID)),
				attribute.String("niyanta.workload_type", w.Type))
		}
	}
}

// Transitioned implements ports.Observer.
func (t *Tracing) Transitioned(b domain.Batch, results []domain.Result) {
	t.Observer.Transitioned(b, results)
	for i := range results {
		r, e := &results[i], b.Transitions[i].Event
		if r.Outcome != domain.OutcomeApplied {
			continue
		}
		generation := attribute.Int64("niyanta.generation", r.State.Generation)
		switch {
		case e == domain.EventAssign && r.State.Generation == 1:
			t.span(r.WorkloadID, "wait", r.CreatedAt, r.State.ScheduledAt, generation)
		case r.From.Held() && !r.State.Status.Held() && !r.State.StartedAt.IsZero():
			t.span(r.WorkloadID, "run", r.State.StartedAt, r.State.UpdatedAt, generation,
				attribute.String("niyanta.worker_id", string(r.FromWorkerID)), attribute.String("niyanta.event", string(e)))
		}
		if r.State.Status.Final() {
			t.root(r)
		}
	}
}

func (t *Tracing) span(id domain.WorkloadID, name string, from, to time.Time, attrs ...attribute.KeyValue) {
	traceID, rootID := TraceOf(id)
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: traceID, SpanID: rootID,
		TraceFlags: trace.FlagsSampled, Remote: true})
	attrs = append(attrs, attribute.String("niyanta.workload_id", string(id)))
	_, s := t.tracer.Start(trace.ContextWithSpanContext(context.Background(), parent), name,
		trace.WithTimestamp(from), trace.WithAttributes(attrs...))
	s.End(trace.WithTimestamp(to))
}

// root makes the span of the whole workload, once it has ended.
func (t *Tracing) root(r *domain.Result) {
	traceID, rootID := TraceOf(r.WorkloadID)
	ctx := context.WithValue(context.Background(), rootKey{}, root{traceID, rootID})
	_, s := t.tracer.Start(ctx, "workload "+r.Type, trace.WithNewRoot(), trace.WithTimestamp(r.CreatedAt),
		trace.WithAttributes(
			attribute.String("niyanta.workload_id", string(r.WorkloadID)),
			attribute.String("niyanta.customer_id", string(r.CustomerID)),
			attribute.String("niyanta.status", string(r.State.Status))))
	if r.State.Status == domain.StatusFailed {
		s.SetStatus(codes.Error, r.State.Reason)
	}
	s.End(trace.WithTimestamp(r.State.FinishedAt))
}

var idEncoding = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// TraceOf returns the trace of a workload, and the id of its root span. They are derived from the
// UUID in the workload's id, or from a digest of an id without one.
func TraceOf(id domain.WorkloadID) (trace.TraceID, trace.SpanID) {
	var t trace.TraceID
	if raw, err := idEncoding.DecodeString(strings.TrimPrefix(string(id), domain.PrefixWorkload)); err == nil &&
		len(raw) == len(t) {
		copy(t[:], raw)
	} else {
		sum := sha256.Sum256([]byte(id))
		copy(t[:], sum[:])
	}
	var s trace.SpanID
	copy(s[:], t[8:])
	return t, s
}

// root holds the ids that a root span gets.
type root struct {
	trace trace.TraceID
	span  trace.SpanID
}

type rootKey struct{}

// ids makes the ids of spans: given ones for the roots of workloads, random ones otherwise.
type ids struct{}

// NewIDs implements sdktrace.IDGenerator.
func (g ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if r, ok := ctx.Value(rootKey{}).(root); ok {
		return r.trace, r.span
	}
	var t trace.TraceID
	binary.NativeEndian.PutUint64(t[:8], random())
	binary.NativeEndian.PutUint64(t[8:], random())
	return t, g.NewSpanID(ctx, t)
}

// NewSpanID implements sdktrace.IDGenerator.
func (ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	var s trace.SpanID
	binary.NativeEndian.PutUint64(s[:], random())
	return s
}

// SpanIDs returns the generator that root spans of workloads need, for providers that
// NewTracerProvider has not made.
func SpanIDs() sdktrace.IDGenerator { return ids{} }
