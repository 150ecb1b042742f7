package telemetry

import (
	"context"
	"log/slog"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// StateLog logs each change of a workload's state in one line at level INFO. The lines hold no input,
// no result and no text that a client or a workload has written, but for ids and types.
type StateLog struct {
	ports.Observer
	log *slog.Logger
}

// NewStateLog returns an observer that logs, and passes on all it observes.
func NewStateLog(next ports.Observer, log *slog.Logger) *StateLog { return &StateLog{next, log} }

// Submitted implements ports.Observer.
func (l *StateLog) Submitted(tier domain.Tier, results []ports.SubmitResult, took time.Duration) {
	l.Observer.Submitted(tier, results, took)
	for i := range results {
		if w := &results[i].Workload; results[i].Status == domain.Admitted {
			l.write("workload submitted", w.ID, w.CustomerID, w.Type, w.Origin)
		}
	}
}

// Transitioned implements ports.Observer.
func (l *StateLog) Transitioned(b domain.Batch, results []domain.Result, took time.Duration) {
	l.Observer.Transitioned(b, results, took)
	for i := range results {
		r, t := &results[i], &b.Transitions[i]
		if r.Outcome != domain.OutcomeApplied || r.From == r.State.Status {
			continue
		}
		worker := r.State.WorkerID
		if worker == "" {
			worker = r.FromWorkerID
		}
		attrs := []slog.Attr{
			slog.String("event", string(t.Event)), slog.String("from", string(r.From)),
			slog.String("to", string(r.State.Status)), slog.Int64("generation", r.State.Generation),
		}
		if worker != "" {
			attrs = append(attrs, slog.String("worker_id", string(worker)))
		}
		switch {
		case t.Event == domain.EventLose:
			attrs = append(attrs, slog.String("loss", string(t.Loss)))
		case t.Event == domain.EventFail && t.Failure != nil:
			attrs = append(attrs, slog.String("error_type", t.Failure.Type))
		}
		l.write("workload changed state", r.WorkloadID, r.CustomerID, r.Type, r.Origin, attrs...)
	}
}

func (l *StateLog) write(
	msg string, id domain.WorkloadID, customer domain.CustomerID, typ string, o domain.Origin, more ...slog.Attr,
) {
	attrs := append([]slog.Attr{
		slog.String("workload_id", string(id)), slog.String("customer_id", string(customer)),
		slog.String("workload_type", typ), slog.String("trace_id", o.Span(id).Trace()),
	}, more...)
	if o.RequestID != "" {
		attrs = append(attrs, slog.String("request_id", o.RequestID))
	}
	l.log.LogAttrs(context.Background(), slog.LevelInfo, msg, attrs...)
}
