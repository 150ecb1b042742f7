package messaging

import (
	"context"
	"errors"
	"log/slog"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/niyanta/niyanta/adapters/internal/spans"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Server answers the workers' requests. All coordinators' servers share them.
type Server struct {
	bus      ports.Bus
	party    Party
	plane    ports.ControlPlane
	observer ports.Observer
	log      *slog.Logger
	subs     []ports.Subscription
}

const (
	// queueGroup is the group of all coordinators.
	queueGroup = "coordinators"
	// lanes is how many requests of a subject are handled at once. Each lane is a subscription,
	// which handles one at a time.
	lanes = 8
)

// NewServer returns a server that hands requests to plane.
func NewServer(bus ports.Bus, p Party, plane ports.ControlPlane, o ports.Observer, log *slog.Logger) *Server {
	return &Server{bus: bus, party: p, plane: plane, observer: o, log: log}
}

// Start subscribes to the workers' requests.
func (s *Server) Start(ctx context.Context) error {
	for _, subject := range []string{s.party.events(), s.party.status("*")} {
		for range lanes {
			sub, err := s.bus.Subscribe(ctx, subject, queueGroup, s.handle)
			if err != nil {
				return errors.Join(err, s.Close())
			}
			s.subs = append(s.subs, sub)
		}
	}
	return nil
}

// Close ends the subscriptions when the requests under way are answered.
func (s *Server) Close() error {
	var errs []error
	for _, sub := range s.subs {
		errs = append(errs, sub.Close())
	}
	s.subs = nil
	return errors.Join(errs...)
}

// handle answers one request. No message can stop the server.
func (s *Server) handle(ctx context.Context, m ports.Message) []byte {
	e, err := decode(m.Data)
	if err != nil {
		s.observer.Count("bus_message_bad", 1)
		s.log.Warn("bad message dropped", "subject", m.Subject, "error", err)
		return s.reply("", nil, domain.Invalid("message", "%v", err))
	}
	ctx, span := begin(ctx, e)
	defer span.End()
	out, err := s.dispatch(ctx, e)
	if err != nil {
		span.SetStatus(codes.Error, string(domain.CodeOf(err)))
	}
	return s.reply(e.MessageID, out, err)
}

// begin begins the span of a request. What workers ask for all the time belongs to no trace and has
// none.
func begin(ctx context.Context, e Envelope) (context.Context, trace.Span) {
	ctx, sent := spans.WithParent(ctx)
	if !sent {
		return ctx, trace.SpanFromContext(ctx)
	}
	return otel.Tracer("github.com/niyanta/niyanta/adapters/messaging").Start(ctx, "handle "+e.Type,
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
			attribute.String("niyanta.sender_id", e.SenderID), attribute.String("niyanta.message_id", e.MessageID),
			attribute.String("niyanta.request_id", ports.OriginOf(ctx).RequestID)))
}

func (s *Server) dispatch(ctx context.Context, e Envelope) (any, error) {
	switch e.Type {
	case typeRegister:
		return call(s, e, func(r domain.Registration) (any, error) { return s.plane.Register(ctx, r) })
	case typePing:
		return pong{}, nil
	case typeHeartbeat:
		return call(s, e, func(h ports.Heartbeat) (any, error) { return s.plane.Heartbeat(ctx, h) })
	case typeReports:
		return opened(s, e, openReports, func(r reportsMessage) (any, error) {
			return s.plane.Report(ctx, r.SessionRef, r.Reports)
		})
	case typeSave:
		return call(s, e, func(c saveMessage) (any, error) {
			return s.plane.SaveCheckpoint(ctx, c.SessionRef, c.CheckpointUpload)
		})
	case typeEnd:
		return call(s, e, func(end domain.SessionEnd) (any, error) { return nil, s.plane.End(ctx, end) })
	case typeLoad:
		return call(s, e, func(l loadMessage) (any, error) { return s.load(ctx, l) })
	}
	s.observer.Count("bus_message_unknown", 1)
	s.log.Warn("message of unknown type ignored", "type", e.Type, "sender_id", e.SenderID)
	return nil, domain.Invalid("type", "%q is not known", e.Type)
}

func call[P any](s *Server, e Envelope, f func(P) (any, error)) (any, error) {
	return opened(s, e, open[P], f)
}

// opened calls f with what read reads of a message.
func opened[P any](s *Server, e Envelope, read func(*Envelope) (P, error), f func(P) (any, error)) (any, error) {
	p, err := read(&e)
	if err != nil {
		s.observer.Count("bus_message_bad", 1)
		s.log.Warn("bad message dropped", "type", e.Type, "sender_id", e.SenderID, "error", err)
		return nil, domain.Invalid("payload", "is not what %s carries: %v", e.Type, err)
	}
	return f(p)
}

// load loads a checkpoint. It refuses one that does not fit the bus; the worker loads it over HTTP.
func (s *Server) load(ctx context.Context, l loadMessage) (any, error) {
	d, err := s.plane.LoadCheckpoint(ctx, l.SessionRef, l.WorkloadID, l.Generation, l.Sequence)
	if d.Body != nil {
		_ = d.Body.Close() // nothing of it is used
	}
	if err == nil && (d.Body != nil || len(d.Data) > dataLimit) {
		return nil, domain.NewError(domain.CodeTooLarge, "the checkpoint does not fit the bus")
	}
	return d, err
}

// reply makes the reply to a request. It returns nil when there can be none; the worker tries
// again.
func (s *Server) reply(correlation string, out any, err error) []byte {
	var refused *Refusal
	if err != nil {
		refused = refusal(err)
		if refused.Code == domain.CodeInternal {
			s.log.Error("request failed", "error", err)
		}
		out = nil
	}
	data, err := s.party.encodeReply(typeReply, correlation, out, refused)
	if err != nil {
		s.log.Error("reply not encoded", "error", err)
		return nil
	}
	return data
}

// refusal returns what the worker learns of an error. Whether a call that ended with an error
// without a code had an effect is unknown; the worker tries again.
func refusal(err error) *Refusal {
	var e *domain.Error
	switch {
	case errors.As(err, &e) && e.Code != domain.CodeInternal:
		return &Refusal{Code: e.Code, Message: e.Message, Details: e.Details}
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return &Refusal{Code: domain.CodeUnavailable, Message: "the coordinator could not finish"}
	}
	return &Refusal{Code: domain.CodeInternal, Message: "internal error"}
}
