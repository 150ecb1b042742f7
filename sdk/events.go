package niyanta

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/niyanta/niyanta/api/client"
)

// EventKind says what an Event tells. Ignore those that you do not know: more may be added.
type EventKind string

// The kinds of events.
const (
	// EventStatusUpdate is a change that has no kind of its own.
	EventStatusUpdate EventKind = "status_update"
	// EventLogLine is a line of the log.
	EventLogLine EventKind = "log_line"
	// EventCompleted has ResultData, EventFailed has ErrorMessage.
	EventCompleted EventKind = "completed"
	EventFailed    EventKind = "failed"
	// EventGap tells that Dropped log lines were dropped before they were read.
	EventGap EventKind = "gap"
)

// Event is one thing that happened to a workload. What does not apply is nil.
type Event struct {
	CheckpointSequence *int64 `json:"checkpoint_sequence,omitempty"`

	// CustomerID: only for administrators.
	CustomerID *string `json:"customer_id,omitempty"`

	// Details is what the workload logged beside the message of a log line.
	Details json.RawMessage `json:"details,omitempty"`

	// Dropped counts the log lines of a gap; 0: it is not known what is missing.
	Dropped      *int64  `json:"dropped,omitempty"`
	ErrorMessage *string `json:"error_message,omitempty"`
	ErrorType    *string `json:"error_type,omitempty"`

	// EventID is the position of the event; see Client.Stream.
	EventID string `json:"event_id"`

	// EventType is as in the audit trail, such as "workload.started".
	EventType  *string `json:"event_type,omitempty"`
	Generation *int64  `json:"generation,omitempty"`

	// Level is that of a log line.
	Level *LogLevel `json:"level,omitempty"`

	// Message is a line of the log, what the workload said about its progress, or the reason of a
	// change.
	Message *string `json:"message,omitempty"`

	// ProgressPercent is the progress after the event.
	ProgressPercent *float64 `json:"progress_percent,omitempty"`

	// ResultData: any JSON value; absent for viewers.
	ResultData json.RawMessage `json:"result_data,omitempty"`

	// Seq is the number of a log line.
	Seq    *int64  `json:"seq,omitempty"`
	Status *Status `json:"status,omitempty"`

	// Stream, of a log line, is stdout or stderr, and nil for what the workload logged itself.
	Stream    *string    `json:"stream,omitempty"`
	Timestamp *time.Time `json:"timestamp,omitempty"`
	Type      EventKind  `json:"type"`
	WorkerID  *string    `json:"worker_id,omitempty"`

	// WorkloadID is empty in a gap of a stream of all workloads.
	WorkloadID string `json:"workload_id"`
}

// Watch yields what happens to a workload, from its beginning: each change and each line of its
// log, once and in order. It ends behind the event that ends the workload. When the connection
// breaks, and while no coordinator answers, it goes on where it was, with any coordinator, until ctx
// ends. An error is the last that it yields.
func (c *Client) Watch(ctx context.Context, id string) iter.Seq2[Event, error] {
	c = c.With(RetryFor(Forever))
	ends := func(e *Event) bool { return e.Type != EventLogLine && e.Status != nil && e.Status.IsFinal() }
	return follow(ctx, "", ends, func(after *string) (*http.Response, error) {
		return c.api.StreamWorkloadEvents(ctx, segment(id), &client.StreamWorkloadEventsParams{LastEventID: after})
	})
}

// Stream yields what happens to all workloads of the customer, or, with an admin's key, of all
// customers, in the order in which it was recorded. It yields no log lines. It begins behind the
// event with the id after; empty: with what happens next. It goes on as Watch does, and ends only
// with ctx.
func (c *Client) Stream(ctx context.Context, after string) iter.Seq2[Event, error] {
	c = c.With(RetryFor(Forever))
	return follow(ctx, after, nil, func(after *string) (*http.Response, error) {
		return c.api.StreamEvents(ctx, &client.StreamEventsParams{LastEventID: after})
	})
}

// Ticket opens one WebSocket that follows a workload, in place of a key: the query parameter ticket
// of /v1/ws/workloads/{id}. It has the rights of the key that made it.
type Ticket struct {
	// ExpiresAt is until when it can be used.
	ExpiresAt time.Time `json:"expires_at"`
	Ticket    string    `json:"ticket"`
}

// CreateTicket makes a ticket. A server hands it to a web page, which then needs no key.
func (c *Client) CreateTicket(ctx context.Context) (Ticket, error) {
	return read[Ticket](ctx)(c.api.CreateTicket(ctx))
}

// SignInLink signs a browser in to the console, once. It has the rights of the key that made it.
type SignInLink struct {
	// ExpiresAt is until when it can be used.
	ExpiresAt time.Time `json:"expires_at"`
	// Code stands in the fragment of the console's address: <url>/#code=<code>.
	Code string `json:"code"`
}

// CreateSignInLink makes a link to the console.
func (c *Client) CreateSignInLink(ctx context.Context) (SignInLink, error) {
	return read[SignInLink](ctx)(c.api.CreateSignInLink(ctx))
}

const (
	eventStreamType = "text/event-stream"
	// streamSilence is how long a stream may bring nothing, not even one of the comments that come
	// every 15 s, before it counts as broken.
	streamSilence = 40 * time.Second
	// eventLimit is the size of the largest event: a result has at most 1 MiB, and may be encoded.
	eventLimit = 8 << 20
)

// follow yields the events behind the one with the id after, over as many connections as it takes.
// last reports whether an event is the last one of the stream; nil: none is.
func follow(
	ctx context.Context, after string, last func(*Event) bool, open func(after *string) (*http.Response, error),
) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		var at *string
		if after != "" {
			at = &after
		}
		for failed := 0; ; failed++ {
			resp, err := open(at)
			if err != nil || resp.StatusCode != http.StatusOK {
				if err = none(ctx)(resp, err); err != nil {
					yield(Event{}, err)
				}
				return
			}
			if !isStream(resp) { // it would be asked for again without end
				yield(Event{}, public(notACoordinator(fmt.Sprintf("the type %.100q", resp.Header.Get("Content-Type")))))
				return
			}
			for e, err := range events(resp.Body) {
				if err != nil || !yield(e, nil) || last != nil && last(&e) {
					_ = resp.Body.Close() // it was only read
					if err != nil {
						yield(Event{}, err)
					}
					return
				}
				failed, at = 0, &e.EventID
			}
			_ = resp.Body.Close() // it was only read
			if err := sleep(ctx, pauseAfter(failed, 0)); err != nil {
				yield(Event{}, err)
				return
			}
		}
	}
}

// events yields the events of one connection until that ends. An error tells that the server does
// not speak as it should.
func events(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, eventLimit)
		var data strings.Builder
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ":")
			switch {
			case field == "data": // which holds the whole event: type and id say nothing more
				data.WriteString(strings.TrimPrefix(value, " ") + "\n")
				continue
			case lines.Text() != "" || data.Len() == 0:
				continue
			}
			var e Event
			if err := json.Unmarshal([]byte(data.String()), &e); err != nil {
				yield(Event{}, &Error{Code: CodeUnavailable, Message: "an event is not JSON", Cause: err})
				return
			}
			data.Reset()
			if !yield(e, nil) {
				return
			}
		}
		if errors.Is(lines.Err(), bufio.ErrTooLong) {
			yield(Event{}, &Error{Code: CodeUnavailable, Message: "an event is too large", Cause: lines.Err()})
		}
	}
}

// isStream reports whether an answer is a stream of events.
func isStream(resp *http.Response) bool {
	return resp.StatusCode == http.StatusOK && strings.HasPrefix(resp.Header.Get("Content-Type"), eventStreamType)
}

// streamBody is the body of a stream. It counts as broken when it brings nothing for streamSilence.
type streamBody struct {
	io.ReadCloser
	timer  *time.Timer // cancels the request
	cancel context.CancelFunc
}

// Read implements io.Reader.
func (b *streamBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.timer.Reset(streamSilence)
	return n, err
}

// Close implements io.Closer.
func (b *streamBody) Close() error {
	b.timer.Stop()
	b.cancel()
	return b.ReadCloser.Close()
}
