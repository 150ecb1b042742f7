package niyanta

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/niyanta/niyanta/api/client"
)

// Client speaks the REST API. Safe for concurrent use.
type Client struct {
	api  *client.Client
	http *http.Client
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

// NewClient returns a client of the coordinator at baseURL ("http://host:port") that authenticates
// with an API key.
func NewClient(baseURL, key string) (*Client, error) {
	u, err := url.Parse(baseURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("the url must look like http://host:port")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented to be one
	transport.MaxIdleConnsPerHost = 32
	hc := &http.Client{Transport: transport}
	c, err := client.NewClient(baseURL, client.WithHTTPClient(hc), client.WithKey(key))
	if err != nil {
		return nil, err
	}
	return &Client{api: c, http: hc}, nil
}

// Close drops idle connections. The client may still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Submit stores a workload. With an idempotency key (empty: none), repeating the call is safe for
// 24 h.
func (c *Client) Submit(ctx context.Context, s Submission, idempotencyKey string) (SubmitAnswer, error) {
	params := &client.SubmitWorkloadParams{}
	if idempotencyKey != "" {
		params.IdempotencyKey = &idempotencyKey
	}
	return send[SubmitAnswer](ctx, s, func(body io.Reader) (*http.Response, error) {
		return c.api.SubmitWorkloadWithBody(ctx, params, jsonType, body)
	})
}

// SubmitBatch stores up to 1,000 workloads; the results stand in order.
func (c *Client) SubmitBatch(ctx context.Context, s []Submission) ([]BatchResult, error) {
	in := struct {
		Workloads []Submission `json:"workloads"`
	}{s}
	out, err := send[struct{ Results []BatchResult }](ctx, in, func(body io.Reader) (*http.Response, error) {
		return c.api.SubmitWorkloadsWithBody(ctx, jsonType, body)
	})
	return out.Results, err
}

// Get returns a workload.
func (c *Client) Get(ctx context.Context, id string) (Workload, error) {
	return read[Workload](ctx)(c.api.GetWorkload(ctx, id, &client.GetWorkloadParams{}))
}

// Wait returns the workload when it is final, or as it is after d, at most 60 s.
func (c *Client) Wait(ctx context.Context, id string, d time.Duration) (Workload, error) {
	wait := d.String()
	return read[Workload](ctx)(c.api.GetWorkload(ctx, id, &client.GetWorkloadParams{Wait: &wait}))
}

// List returns a page of workloads; pass Pagination.NextCursor in the next call's params.
func (c *Client) List(ctx context.Context, p ListParams) (WorkloadList, error) {
	return read[WorkloadList](ctx)(c.api.ListWorkloads(ctx, p.query()))
}

// Cancel ends a workload that is not final.
func (c *Client) Cancel(ctx context.Context, id, reason string) (ControlAnswer, error) {
	return read[ControlAnswer](ctx)(c.api.CancelWorkload(ctx, id,
		client.CancelWorkloadJSONRequestBody{Reason: &reason}))
}

// Pause has a running workload checkpoint and stop. When the worker has not confirmed within 10 s,
// the answer's status is still RUNNING; the request stands.
func (c *Client) Pause(ctx context.Context, id, reason string) (ControlAnswer, error) {
	return read[ControlAnswer](ctx)(c.api.PauseWorkload(ctx, id, client.PauseWorkloadJSONRequestBody{Reason: &reason}))
}

// Resume continues a paused workload from its last checkpoint.
func (c *Client) Resume(ctx context.Context, id, reason string) (ControlAnswer, error) {
	return read[ControlAnswer](ctx)(c.api.ResumeWorkload(ctx, id,
		client.ResumeWorkloadJSONRequestBody{Reason: &reason}))
}

// Checkpoint asks a running workload for a checkpoint now. The answer has the newest sequence so
// far; it grows once the new checkpoint is durable. The request is sent once: ask again if it does
// not grow.
func (c *Client) Checkpoint(ctx context.Context, id string) (ControlAnswer, error) {
	return read[ControlAnswer](ctx)(c.api.CheckpointWorkload(ctx, id))
}

// Logs returns log lines of a workload.
func (c *Client) Logs(ctx context.Context, id string, p LogParams) (Log, error) {
	query := client.GetWorkloadLogsParams(p)
	return read[Log](ctx)(c.api.GetWorkloadLogs(ctx, id, &query))
}

// Audit returns the audit trail of a workload, oldest first.
func (c *Client) Audit(ctx context.Context, id string) ([]AuditEvent, error) {
	return all[AuditEvent](ctx, "events", func(cursor *string) (*http.Response, error) {
		return c.api.GetWorkloadAudit(ctx, id, &client.GetWorkloadAuditParams{Cursor: cursor})
	})
}

// Placement tells why a workload waits, its place in the queue and when it may start.
func (c *Client) Placement(ctx context.Context, id string) (Placement, error) {
	return read[Placement](ctx)(c.api.GetWorkloadPlacement(ctx, id))
}

// Checkpoints lists the checkpoints kept, newest first.
func (c *Client) Checkpoints(ctx context.Context, id string) ([]CheckpointInfo, error) {
	return all[CheckpointInfo](ctx, "checkpoints", func(*string) (*http.Response, error) {
		return c.api.GetWorkloadCheckpoints(ctx, id)
	})
}

// Customer returns the caller's limits and usage.
func (c *Client) Customer(ctx context.Context) (CustomerUsage, error) {
	return read[CustomerUsage](ctx)(c.api.GetCustomer(ctx))
}

// read returns a function that reads a response into T.
func read[T any](ctx context.Context) func(*http.Response, error) (T, error) {
	return func(resp *http.Response, err error) (T, error) {
		var out T
		err = client.Answer(ctx, resp, err, &out)
		return out, public(err)
	}
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

// query returns the parameters as the request carries them.
func (p ListParams) query() *client.ListWorkloadsParams {
	q := &client.ListWorkloadsParams{
		WorkloadType: p.WorkloadType, Label: p.Label, CreatedAfter: p.CreatedAfter, CreatedBefore: p.CreatedBefore,
		OrderBy: (*client.ListWorkloadsParamsOrderBy)(p.OrderBy), Order: (*client.ListWorkloadsParamsOrder)(p.Order),
		Limit: p.Limit, Cursor: p.Cursor, Offset: p.Offset,
	}
	if p.Status != nil {
		q.Status = new([]client.Status)
		for _, s := range *p.Status {
			*q.Status = append(*q.Status, client.Status(s))
		}
	}
	return q
}

// pageSize is the number of items on a page of the lists that the client reads whole.
const pageSize = 100

// all reads every page of a list. name is that of the collection.
func all[T any](ctx context.Context, name string, call func(cursor *string) (*http.Response, error)) ([]T, error) {
	var found []T
	var at Pagination
	for {
		page, err := read[map[string]json.RawMessage](ctx)(call(at.NextCursor))
		if err != nil {
			return nil, err
		}
		var items []T
		at = Pagination{}
		if err := errors.Join(json.Unmarshal(page[name], &items), json.Unmarshal(page["pagination"], &at)); err != nil {
			return nil, &Error{Code: CodeUnavailable, Message: "the answer is not a list of " + name, Cause: err}
		}
		if found = append(found, items...); at.NextCursor == nil {
			return found, nil
		}
	}
}

// none reads a response without a body.
func none(ctx context.Context) func(*http.Response, error) error {
	return func(resp *http.Response, err error) error { return public(client.Answer(ctx, resp, err, nil)) }
}
