package niyanta

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/niyanta/niyanta/api/client"
	"github.com/niyanta/niyanta/core/domain"
)

// Client speaks the REST API. It tries calls again as RetryFor says. Safe for concurrent use.
type Client struct {
	api    *client.Client
	sender *sender
	key    string
}

// Change is a field of a patch: the zero Change leaves it as it is, To sets it.
type Change[T comparable] struct {
	set   bool
	value T
}

// To returns the change to v; the zero v takes a field back to its default.
func To[T comparable](v T) Change[T] { return Change[T]{true, v} }

// MarshalJSON implements json.Marshaler.
func (c Change[T]) MarshalJSON() ([]byte, error) {
	if c.value == *new(T) {
		return []byte("null"), nil
	}
	return json.Marshal(c.value)
}

// Close drops idle connections. The client may still be used.
func (c *Client) Close() { c.sender.http.CloseIdleConnections() }

// Submit stores a workload. With an idempotency key of your own, also repeating this call, even in
// another process, stores one workload only, for 24 h. Empty: one is made for this call.
func (c *Client) Submit(ctx context.Context, s Submission, idempotencyKey string) (SubmitAnswer, error) {
	params := &client.SubmitWorkloadParams{IdempotencyKey: keyOr(idempotencyKey)}
	return send[SubmitAnswer](ctx, s, func(body io.Reader) (*http.Response, error) {
		return c.api.SubmitWorkloadWithBody(ctx, params, jsonType, body)
	})
}

// Get returns a workload.
func (c *Client) Get(ctx context.Context, id string) (Workload, error) {
	return read[Workload](ctx)(c.api.GetWorkload(ctx, segment(id), &client.GetWorkloadParams{}))
}

// waitStep is the length of one long poll.
const waitStep = 30 * time.Second

// Wait returns the workload when it is final, or as it is after d, which may be Forever. While no
// coordinator answers, it goes on for as long.
func (c *Client) Wait(ctx context.Context, id string, d time.Duration) (Workload, error) {
	begin := time.Now()
	for {
		left := max(d-time.Since(begin), 0)
		patient := c.With(RetryFor(max(left, c.sender.retryFor)))
		// Rounded up: a wait of nothing would be repeated without a pause until the time is over.
		wait := (min(left, waitStep) + time.Millisecond - 1).Truncate(time.Millisecond).String()
		w, err := read[Workload](ctx)(patient.api.GetWorkload(ctx, segment(id), &client.GetWorkloadParams{Wait: &wait}))
		if err != nil || w.Status.IsFinal() || time.Since(begin) >= d {
			return w, err
		}
	}
}

// List returns a page of workloads; pass Pagination.NextCursor in the next call's params. See
// Workloads for all of them.
func (c *Client) List(ctx context.Context, p ListParams) (WorkloadList, error) {
	return read[WorkloadList](ctx)(c.api.ListWorkloads(ctx, p.query()))
}

// Workloads yields all workloads that p selects, page after page. With the default order, the
// newest first, it yields each one that is there throughout once, whatever changes meanwhile.
func (c *Client) Workloads(ctx context.Context, p ListParams) iter.Seq2[Workload, error] {
	return p.pages(ctx, func(p ListParams) (*http.Response, error) { return c.api.ListWorkloads(ctx, p.query()) })
}

// ListAll is List for an administrator: a page of a customer's workloads, or, if customer is empty,
// of those of all customers. These are ordered by customer, and by p for each of them.
// ListParams.CountSince cannot be used, and ListParams.Offset only with a customer.
func (c *Client) ListAll(ctx context.Context, customer string, p ListParams) (WorkloadList, error) {
	return read[WorkloadList](ctx)(c.listAll(ctx, customer, p))
}

// AllWorkloads yields all workloads that ListAll selects, page after page.
func (c *Client) AllWorkloads(ctx context.Context, customer string, p ListParams) iter.Seq2[Workload, error] {
	return p.pages(ctx, func(p ListParams) (*http.Response, error) { return c.listAll(ctx, customer, p) })
}

func (c *Client) listAll(ctx context.Context, customer string, p ListParams) (*http.Response, error) {
	if p.CountSince != nil {
		return nil, domain.Invalid("CountSince", "cannot be used with the list of an administrator")
	}
	q := p.query()
	all := &client.ListAllWorkloadsParams{
		Status: q.Status, WorkloadType: q.WorkloadType, Label: q.Label, CreatedAfter: q.CreatedAfter,
		CreatedBefore: q.CreatedBefore, OrderBy: (*client.ListAllWorkloadsParamsOrderBy)(q.OrderBy), Order: q.Order,
		Limit: q.Limit, Cursor: q.Cursor, Offset: q.Offset,
	}
	if customer != "" {
		all.CustomerID = &customer
	}
	return c.api.ListAllWorkloads(ctx, all)
}

// Cancel ends a workload that is not final; ErrInvalidState if it is, CANCELLED included. With an
// idempotency key of your own, repeating the same call gets the first answer again, for 24 h. Empty:
// one is made for this call.
func (c *Client) Cancel(ctx context.Context, id, reason, idempotencyKey string) (ControlAnswer, error) {
	return read[ControlAnswer](ctx)(c.api.CancelWorkload(ctx, segment(id),
		&client.CancelWorkloadParams{IdempotencyKey: keyOr(idempotencyKey)},
		client.CancelWorkloadJSONRequestBody{Reason: &reason}))
}

// Pause has a running workload checkpoint and stop. When the worker has not confirmed within 10 s,
// the answer's status is still RUNNING; the request stands.
func (c *Client) Pause(ctx context.Context, id, reason string) (ControlAnswer, error) {
	return read[ControlAnswer](ctx)(c.api.PauseWorkload(ctx, segment(id),
		client.PauseWorkloadJSONRequestBody{Reason: &reason}))
}

// Resume continues a paused workload from its last checkpoint.
func (c *Client) Resume(ctx context.Context, id, reason string) (ControlAnswer, error) {
	return read[ControlAnswer](ctx)(c.api.ResumeWorkload(ctx, segment(id),
		client.ResumeWorkloadJSONRequestBody{Reason: &reason}))
}

// Checkpoint asks a running workload for a checkpoint now. The answer has the newest sequence so
// far; it grows once the new checkpoint is durable. The request is sent once: ask again if it does
// not grow.
func (c *Client) Checkpoint(ctx context.Context, id string) (ControlAnswer, error) {
	return read[ControlAnswer](ctx)(c.api.CheckpointWorkload(ctx, segment(id)))
}

// Logs returns log lines of a workload.
func (c *Client) Logs(ctx context.Context, id string, p LogParams) (Log, error) {
	query := client.GetWorkloadLogsParams(p)
	return read[Log](ctx)(c.api.GetWorkloadLogs(ctx, segment(id), &query))
}

// LogLines yields the log lines of a workload that p selects, oldest first: all that are kept if
// neither p.Since nor p.After is set. p.Limit is the number of lines on a page.
func (c *Client) LogLines(ctx context.Context, id string, p LogParams) iter.Seq2[LogLine, error] {
	if p.Since == nil && p.After == nil {
		p.After = new(int64)
	}
	return func(yield func(LogLine, error) bool) {
		for p := p; ; {
			page, err := c.Logs(ctx, id, p)
			if err != nil {
				yield(LogLine{}, err)
				return
			}
			for _, line := range page.Logs {
				if !yield(line, nil) {
					return
				}
				p.After, p.Since = new(line.Seq), nil
			}
			if !page.HasMore || len(page.Logs) == 0 {
				return
			}
		}
	}
}

// Audit yields the audit trail of a workload, oldest first.
func (c *Client) Audit(ctx context.Context, id string) iter.Seq2[AuditEvent, error] {
	return pages[AuditEvent](ctx, "events", nil, func(cursor *string) (*http.Response, error) {
		return c.api.GetWorkloadAudit(ctx, segment(id), &client.GetWorkloadAuditParams{Cursor: cursor})
	})
}

// Placement tells why a workload waits, its place in the queue and when it may start.
func (c *Client) Placement(ctx context.Context, id string) (Placement, error) {
	return read[Placement](ctx)(c.api.GetWorkloadPlacement(ctx, segment(id)))
}

// Checkpoints yields the checkpoints kept, newest first.
func (c *Client) Checkpoints(ctx context.Context, id string) iter.Seq2[CheckpointInfo, error] {
	return pages[CheckpointInfo](ctx, "checkpoints", nil, func(*string) (*http.Response, error) {
		return c.api.GetWorkloadCheckpoints(ctx, segment(id))
	})
}

// GetCheckpoint returns one of the checkpoints kept.
func (c *Client) GetCheckpoint(ctx context.Context, id string, sequence int64) (CheckpointInfo, error) {
	params := &client.GetWorkloadCheckpointParams{}
	return read[CheckpointInfo](ctx)(c.api.GetWorkloadCheckpoint(ctx, segment(id), sequence, params))
}

// CheckpointData returns the bytes of a checkpoint as the workload saved them. A viewer's key gets
// ErrForbidden.
func (c *Client) CheckpointData(ctx context.Context, id string, sequence int64) ([]byte, error) {
	params := &client.GetWorkloadCheckpointParams{Data: new(true)}
	resp, err := c.api.GetWorkloadCheckpoint(ctx, segment(id), sequence, params)
	if err != nil || resp.StatusCode/100 != 2 {
		return nil, none(ctx)(resp, err)
	}
	if kind := resp.Header.Get("Content-Type"); kind != "application/octet-stream" {
		return nil, public(notACoordinator(fmt.Sprintf("the type %.100q", kind)))
	}
	return io.ReadAll(resp.Body) // it is in memory
}

// Customer returns the caller's limits and usage.
func (c *Client) Customer(ctx context.Context) (CustomerUsage, error) {
	return read[CustomerUsage](ctx)(c.api.GetCustomer(ctx))
}

// noID marks in a path what is no id.
const noID = "\x00"

// segment returns an id as a segment of a path. What the path would lose on the way, or what would make
// it another one, is marked, so that sender refuses the request: with "..", the keys of a customer would
// be those of the operators.
func segment(id string) string {
	switch id {
	case "", ".", "..":
		return noID + id
	}
	return id
}

// read returns a function that reads a response into T.
func read[T any](ctx context.Context) func(*http.Response, error) (T, error) {
	return func(resp *http.Response, err error) (T, error) {
		var out T
		err = client.Answer(ctx, resp, err, &out)
		if err == nil && nameless(&out) {
			err = notACoordinator("no workload_id")
		}
		return out, public(err)
	}
}

// nameless reports whether an answer lacks what each one of its kind has. Without a look at it, Wait would
// ask again at once, and without end.
func nameless(answer any) bool {
	switch a := answer.(type) {
	case *Workload:
		return a.WorkloadID == "" || a.Status == ""
	case *SubmitAnswer:
		return a.WorkloadID == ""
	case *RetryAnswer:
		return a.WorkloadID == ""
	case *ControlAnswer:
		return a.WorkloadID == ""
	}
	return false
}

// notACoordinator returns the error of a success that something else has told.
func notACoordinator(why string) error {
	return domain.Unavailable(0, "the answer has %s: is this a coordinator?", why)
}

const jsonType = "application/json"

// send encodes a request, has call send it, and reads the response into T.
func send[T any](ctx context.Context, in any, call func(body io.Reader) (*http.Response, error)) (T, error) {
	b, err := json.Marshal(in)
	if err != nil {
		return *new(T), &Error{Code: CodeInvalidInput, Message: "the request is not JSON", Cause: err}
	}
	return read[T](ctx)(call(bytes.NewReader(b)))
}

// pages yields the workloads of all pages from the one that p selects on. list asks for one.
func (p ListParams) pages(
	ctx context.Context, list func(ListParams) (*http.Response, error),
) iter.Seq2[Workload, error] {
	if p.Limit == nil {
		p.Limit = new(pageSize)
	}
	return pages[Workload](ctx, "workloads", p.Cursor, func(cursor *string) (*http.Response, error) {
		q := p
		if q.Cursor = cursor; cursor != p.Cursor {
			q.Offset = nil
		}
		return list(q)
	})
}

// query returns the parameters as the request carries them.
func (p ListParams) query() *client.ListWorkloadsParams {
	q := &client.ListWorkloadsParams{
		WorkloadType: p.WorkloadType, Label: p.Label, CreatedAfter: p.CreatedAfter, CreatedBefore: p.CreatedBefore,
		OrderBy: (*client.ListWorkloadsParamsOrderBy)(p.OrderBy), Order: (*client.Order)(p.Order),
		Limit: p.Limit, Cursor: p.Cursor, Offset: p.Offset, CountSince: p.CountSince,
	}
	if p.Status != nil {
		q.Status = new([]client.Status)
		for _, s := range *p.Status {
			*q.Status = append(*q.Status, client.Status(s))
		}
	}
	return q
}

// keyOr returns an idempotency key: the one given, or a new one.
func keyOr(given string) *string {
	if given == "" {
		given = rand.Text()
	}
	return &given
}

// none reads a response without a body.
func none(ctx context.Context) func(*http.Response, error) error {
	return func(resp *http.Response, err error) error { return public(client.Answer(ctx, resp, err, nil)) }
}
