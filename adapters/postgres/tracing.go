package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/niyanta/niyanta/adapters/internal/spans"
	"github.com/niyanta/niyanta/core/domain"
)

// statementLimit bounds the part of a statement that a span holds, in bytes. Statements hold no
// values.
const statementLimit = 500

// spanTracer records a span for each query and batch of a trace. What belongs to no trace, like the
// rounds of the leader, leaves none. A transaction that commits for several callers is in the trace
// of one of them.
type spanTracer struct{}

var (
	_ pgx.QueryTracer = spanTracer{}
	_ pgx.BatchTracer = spanTracer{}
)

type querySpan struct{}

func (spanTracer) start(ctx context.Context, name string, attrs ...attribute.KeyValue) context.Context {
	parent, ok := spans.WithParent(ctx)
	if !ok || !trace.SpanContextFromContext(parent).IsSampled() {
		return ctx
	}
	_, span := otel.Tracer("github.com/niyanta/niyanta/adapters/postgres").Start(parent, name,
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.String("db.system.name", "postgresql")),
		trace.WithAttributes(attrs...))
	return context.WithValue(ctx, querySpan{}, span)
}

func (spanTracer) end(ctx context.Context, err error) {
	span, ok := ctx.Value(querySpan{}).(trace.Span)
	if !ok {
		return
	}
	if err != nil {
		span.SetStatus(codes.Error, "failed")
	}
	span.End()
}

// TraceQueryStart implements pgx.QueryTracer.
func (t spanTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	return t.start(ctx, "database query",
		attribute.String("db.query.text", d.SQL[:min(len(d.SQL), statementLimit)]))
}

// TraceQueryEnd implements pgx.QueryTracer.
func (t spanTracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryEndData) {
	t.end(ctx, d.Err)
}

// TraceBatchStart implements pgx.BatchTracer.
func (t spanTracer) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	return t.start(ctx, "database batch", attribute.Int("db.operation.batch.size", d.Batch.Len()))
}

// TraceBatchQuery implements pgx.BatchTracer.
func (spanTracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (t spanTracer) TraceBatchEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchEndData) {
	t.end(ctx, d.Err)
}

// span is a column of a span, as the value of a header traceparent.
func span[R any](name string, field func(*R) *domain.SpanRef) column[R] {
	return column[R]{
		name: name, pgType: "text",
		array:  func(rows []*R) any { return each(rows, func(r *R) string { return field(r).String() }) },
		target: func(r *R) any { return spanTarget{field(r)} },
	}
}

type spanTarget struct{ field *domain.SpanRef }

// ScanText implements pgtype.TextScanner.
func (t spanTarget) ScanText(v pgtype.Text) error {
	*t.field = domain.ParseSpanRef(v.String)
	return nil
}
