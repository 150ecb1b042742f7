package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/live"
)

// reconnectDelay is when clients are told to connect again, with as much again at random, so that
// those of a coordinator that ended do not come all at once.
const reconnectDelay = time.Second

// StreamWorkloadEvents implements GET /v1/workloads/{id}/events.
func (a *api) StreamWorkloadEvents(
	ctx context.Context, req gen.StreamWorkloadEventsRequestObject,
) (gen.StreamWorkloadEventsResponseObject, error) {
	s, err := a.followWorkload(ctx, workloadID(req.ID), lastEventID, deref(req.Params.LastEventID))
	if err != nil {
		return nil, err
	}
	if ended, err := s.events.Ended(ctx); err != nil || ended {
		s.close()
		return gen.StreamWorkloadEvents204Response{}, err
	}
	return s, nil
}

// FollowWorkload implements GET /v1/ws/workloads/{id}.
func (a *api) FollowWorkload(
	ctx context.Context, req gen.FollowWorkloadRequestObject,
) (gen.FollowWorkloadResponseObject, error) {
	return a.followWorkload(ctx, workloadID(req.ID), "last_event_id", deref(req.Params.LastEventID))
}

// StreamEvents implements GET /v1/events.
func (a *api) StreamEvents(
	ctx context.Context, req gen.StreamEventsRequestObject,
) (gen.StreamEventsResponseObject, error) {
	return a.followMany(ctx, deref(req.Params.LastEventID))
}

// stream is a stream of events on its way to a client.
type stream struct {
	a      *api
	ctx    context.Context //nolint:containedctx // of the request; it also ends with the key and the server
	scope  *scope
	events *live.Stream
	bound  string // what its event ids are signed for
	end    func()
}

func (a *api) followWorkload(
	ctx context.Context, id domain.WorkloadID, parameter, lastEvent string,
) (*stream, error) {
	customer := scopeOf(ctx).principal.CustomerID
	return a.follow(ctx, "workload "+string(customer)+" "+string(id), parameter, lastEvent,
		func(ctx context.Context, from *domain.Position) (*live.Stream, error) {
			return a.Live.Workload(ctx, customer, id, from)
		})
}

func (a *api) followMany(ctx context.Context, lastEvent string) (*stream, error) {
	p := scopeOf(ctx).principal
	return a.follow(ctx, "events "+string(p.CustomerID), lastEventID, lastEvent,
		func(ctx context.Context, from *domain.Position) (*live.Stream, error) {
			if p.SeesAll() {
				return a.Live.All(ctx, from)
			}
			return a.Live.Customer(ctx, p.CustomerID, from)
		})
}

// follow opens a stream behind the last event that the client has seen, which it names in a
// parameter. The request gives its place among the short ones back for one among the streams. The
// caller closes the stream.
func (a *api) follow(
	ctx context.Context, bound, parameter, lastEvent string,
	open func(context.Context, *domain.Position) (*live.Stream, error),
) (*stream, error) {
	var from *domain.Position
	if lastEvent != "" {
		from = &domain.Position{}
		if a.cursors.decode(lastEvent, from, bound) != nil {
			return nil, domain.Invalid(parameter, "is not the id of an event of this stream")
		}
	}
	if err := scopeOf(ctx).place.startStreaming(); err != nil {
		return nil, err
	}
	ctx, end := a.whileWelcome(ctx)
	events, err := open(ctx, from)
	if err != nil {
		end()
		return nil, err
	}
	return &stream{a, ctx, scopeOf(ctx), events, bound, end}, nil
}

const lastEventID = "Last-Event-ID"

func (s *stream) close() {
	s.events.Close()
	s.end()
}

// VisitStreamWorkloadEventsResponse implements gen.StreamWorkloadEventsResponseObject.
func (s *stream) VisitStreamWorkloadEventsResponse(w http.ResponseWriter) error {
	s.serve(w)
	return nil
}

// VisitStreamEventsResponse implements gen.StreamEventsResponseObject.
func (s *stream) VisitStreamEventsResponse(w http.ResponseWriter) error {
	s.serve(w)
	return nil
}

// serve writes events until the stream ends.
func (s *stream) serve(w http.ResponseWriter) {
	defer s.close()
	s.scope.began = time.Now()
	if c := s.scope.call; c != nil {
		c.follow(s)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // proxies that know it pass events on at once
	w.WriteHeader(http.StatusOK)
	if s.scope.method == http.MethodHead {
		return
	}
	out := http.NewResponseController(w)
	defer s.untilEnd(out)()
	retry := reconnectDelay + time.Duration(s.a.IDs.Float64()*float64(reconnectDelay))
	if s.send(w, out, fmt.Appendf(nil, "retry: %d\n\n", retry.Milliseconds())) != nil {
		return
	}
	_ = s.run(func(events []gen.LiveEvent) error { // the client sees only that it has ended
		var text []byte
		for i := range events {
			data, err := json.Marshal(&events[i])
			if err != nil {
				return err
			}
			text = fmt.Appendf(text, "id: %s\nevent: %s\ndata: %s\n\n", events[i].EventID, events[i].Type, data)
		}
		if len(events) == 0 {
			text = []byte(":\n\n")
		}
		return s.send(w, out, text)
	})
}

// untilEnd takes the timeouts of the server away, which are for requests that end; see within.
// Soon after the stream has ended, a write that the client does not take ends, too. The handler
// calls what untilEnd returns before it returns: the response must not be touched after that.
func (s *stream) untilEnd(out *http.ResponseController) (leave func()) {
	_ = out.SetReadDeadline(time.Time{}) // what does not support it has none
	var mu sync.Mutex
	left := false
	stop := context.AfterFunc(s.ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if !left {
			_ = out.SetWriteDeadline(time.Now().Add(lastWrite))
		}
	})
	return func() {
		stop()
		mu.Lock()
		defer mu.Unlock()
		left = true
	}
}

// within writes to the client. It fails when the client does not take that in time.
func (s *stream) within(out *http.ResponseController, write func() error) error {
	_ = out.SetWriteDeadline(time.Now().Add(s.a.StreamHeartbeat)) // what does not support it has none
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	err := write()
	if err == nil && s.ctx.Err() == nil {
		_ = out.SetWriteDeadline(time.Time{}) // HTTP/2 ends a stream whose deadline passes, also when it is idle
	}
	return err
}

// send writes text. It fails when the client does not take it in time.
func (s *stream) send(w io.Writer, out *http.ResponseController, text []byte) error {
	return s.within(out, func() error {
		if _, err := w.Write(text); err != nil {
			return err
		}
		return out.Flush()
	})
}

// sending returns a context for a write. It ends when the client does not take the data in time,
// and soon after the stream has ended.
func (s *stream) sending() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), s.a.StreamHeartbeat)
	stop := context.AfterFunc(s.ctx, func() { time.AfterFunc(lastWrite, cancel) })
	return ctx, func() {
		stop()
		cancel()
	}
}

// lastWrite is how long a write may last after its stream has ended.
const lastWrite = time.Second

// errStore is why a stream ends whose events cannot be read.
var errStore = errors.New("the events cannot be read")

// run calls write with events until the stream ends or write fails, and with none when nothing
// happens. It returns why: io.EOF behind the last event, the cause with which the stream's context
// ended, errStore, or what write has returned.
func (s *stream) run(write func([]gen.LiveEvent) error) error {
	for {
		beat, cancel := context.WithTimeout(s.ctx, s.a.StreamHeartbeat)
		events, err := s.events.Next(beat)
		quiet := s.ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded)
		cancel()
		switch {
		case err == nil || quiet:
		case s.ctx.Err() != nil:
			return context.Cause(s.ctx)
		case errors.Is(err, io.EOF):
			return io.EOF
		default:
			s.a.Log.Error("stream ended", "request_id", requestIDOf(s.ctx), "error", err)
			return errStore
		}
		out, err := s.told(events)
		if err == nil {
			err = write(out)
		}
		if err != nil {
			s.a.Observer.Count("streams_dropped", 1)
			s.a.Log.Debug("stream dropped", "request_id", requestIDOf(s.ctx), "error", err)
			return err
		}
	}
}

// told converts events. Viewers get no payloads.
func (s *stream) told(events []domain.StreamEvent) ([]gen.LiveEvent, error) {
	out := make([]gen.LiveEvent, len(events))
	for i := range events {
		id, err := s.a.cursors.encode(events[i].Position, s.bound)
		if err != nil {
			return nil, err
		}
		out[i] = liveEventOut(&events[i], s.scope.principal)
		out[i].EventID = id
	}
	return out, nil
}

func liveEventOut(e *domain.StreamEvent, p domain.Principal) gen.LiveEvent {
	out := gen.LiveEvent{Type: gen.LiveEventType(e.Kind)}
	viewer := p.Role == domain.RoleViewer
	if p.Role == domain.RoleAdmin {
		out.CustomerID = opt(string(customerOf(e, p)))
	}
	switch {
	case e.Audit != nil:
		audit := e.Audit
		out.WorkloadID, out.EventType = string(audit.WorkloadID), opt(audit.Type)
		out.Status = opt(gen.Status(audit.To))
		out.ProgressPercent, out.Timestamp = &audit.ProgressPercent, optTime(audit.At)
		out.Generation, out.WorkerID = opt(audit.Generation), opt(string(audit.WorkerID))
		out.CheckpointSequence = opt(audit.CheckpointSequence)
		out.Message = opt(audit.Reason)
		if audit.ProgressMessage != "" {
			out.Message = opt(audit.ProgressMessage)
		}
		if e.Failure != nil {
			out.ErrorType, out.ErrorMessage = opt(e.Failure.Type), &e.Failure.Message
		}
		if e.Kind == domain.StreamCompleted {
			out.ResultData = raw(e.Result)
		}
		if viewer {
			out.ResultData = nil
			maskText(out.ErrorMessage)
			if audit.Actor.Kind == domain.ActorWorker {
				maskText(out.Message)
			}
		}
	case e.Line != nil:
		line := e.Line
		out.WorkloadID, out.Timestamp, out.Seq = string(line.WorkloadID), optTime(line.At), opt(line.Seq)
		out.Level = opt(gen.LiveEventLevel(strings.ToUpper(line.Level)))
		out.Message, out.Stream, out.Generation = &line.Message, opt(line.Stream), opt(line.Generation)
		if viewer {
			maskText(out.Message)
		} else if line.Details != "" {
			out.Details = raw(line.Details)
		}
	default:
		out.Dropped = &e.Dropped
	}
	return out
}

// customerOf returns whose event it is. A gap in a stream of all customers belongs to none.
func customerOf(e *domain.StreamEvent, p domain.Principal) domain.CustomerID {
	if e.Audit != nil {
		return e.Audit.CustomerID
	}
	return p.CustomerID // for whom an administrator follows a workload
}
