package niyanta

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/niyanta/niyanta/api/client"
	"github.com/niyanta/niyanta/core/domain"
)

// Client speaks the REST API. Safe for concurrent use.
type Client struct {
	api  *client.Client
	http *http.Client
}

// The types of the API, as its OpenAPI file defines them.
//
//nolint:revive // the file documents them
type (
	Workload        = client.Workload
	WorkloadList    = client.WorkloadList
	Status          = client.Status
	LogLine         = client.LogLine
	AuditEvent      = client.AuditEvent
	Placement       = client.Placement
	PlacementReason = client.PlacementReason
	Confidence      = client.Confidence
	CheckpointInfo  = client.Checkpoint
	WorkloadConfig  = client.WorkloadConfig
	ConfigInput     = client.WorkloadConfigInput
	RetryBackoff    = client.RetryBackoff
	Customer        = client.Customer
	CustomerUsage   = client.CustomerUsage
	CustomerInput   = client.CustomerInput
	Key             = client.Key
	NewKey          = client.NewKey
	KeyInput        = client.KeyInput
	WorkerInfo      = client.Worker
	ListParams      = client.ListWorkloadsParams
	LogParams       = client.GetWorkloadLogsParams
	AffinityRules   = client.AffinityRules
	AffinityTerms   = client.AffinityTerms
	SubmitAnswer    = client.SubmitAnswer
	ControlAnswer   = client.ControlAnswer
	Submission      = client.Submission
	Tier            = client.Tier
	KeyRole         = client.KeyRole
	OrderBy         = client.ListWorkloadsParamsOrderBy
	Order           = client.ListWorkloadsParamsOrder
	CustomerPatch   = client.CustomerPatch
	LimitsInput     = client.LimitsInput
	LimitsPatch     = client.LimitsPatch
	BatchResult     = client.BatchResult
)

// Change is a field of a patch: the zero Change leaves it as it is, To sets it.
type Change[T comparable] = domain.Change[T]

// To returns the change to v; the zero v takes a field back to its default.
func To[T comparable](v T) Change[T] { return domain.To(v) }

// Error is what every method returns when the server refuses: Code is one of the API's, Details name the field or the
// state. Use errors.As.
type Error = domain.Error

// NewClient returns a client of the coordinator at baseURL ("http://host:port") that authenticates with an API key.
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

// Submit stores a workload. With an idempotency key (empty: none), repeating the call is safe for 24 h.
func (c *Client) Submit(ctx context.Context, s Submission, idempotencyKey string) (SubmitAnswer, error) {
	params := &client.SubmitWorkloadParams{}
	if idempotencyKey != "" {
		params.IdempotencyKey = &idempotencyKey
	}
	return read[SubmitAnswer](ctx)(c.api.SubmitWorkload(ctx, params, s))
}

// SubmitBatch stores up to 1,000 workloads; the results stand in order.
func (c *Client) SubmitBatch(ctx context.Context, s []Submission) ([]BatchResult, error) {
	out, err := read[struct{ Results []BatchResult }](ctx)(c.api.SubmitWorkloads(ctx, client.SubmitWorkloadsJSONRequestBody{Workloads: s}))
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
	return read[WorkloadList](ctx)(c.api.ListWorkloads(ctx, &p))
}

// Cancel ends a workload that is not final.
func (c *Client) Cancel(ctx context.Context, id, reason string) (ControlAnswer, error) {
	return read[ControlAnswer](ctx)(c.api.CancelWorkload(ctx, id, client.CancelWorkloadJSONRequestBody{Reason: &reason}))
}

// Pause has a running workload checkpoint and stop. When the worker has not confirmed within 10 s, the answer's status is
// still RUNNING; the request stands.
func (c *Client) Pause(ctx context.Context, id, reason string) (ControlAnswer, error) {
	return read[ControlAnswer](ctx)(c.api.PauseWorkload(ctx, id, client.PauseWorkloadJSONRequestBody{Reason: &reason}))
}

// Resume continues a paused workload from its last checkpoint.
func (c *Client) Resume(ctx context.Context, id, reason string) (ControlAnswer, error) {
	return read[ControlAnswer](ctx)(c.api.ResumeWorkload(ctx, id, client.ResumeWorkloadJSONRequestBody{Reason: &reason}))
}

// Checkpoint asks a running workload for a checkpoint now. The answer has the newest sequence so far; it grows once the new
// checkpoint is durable. The request is sent once: ask again if it does not grow.
func (c *Client) Checkpoint(ctx context.Context, id string) (ControlAnswer, error) {
	return read[ControlAnswer](ctx)(c.api.CheckpointWorkload(ctx, id))
}

// Logs returns log lines of a workload.
func (c *Client) Logs(ctx context.Context, id string, p LogParams) ([]LogLine, error) {
	return items[LogLine](ctx)(c.api.GetWorkloadLogs(ctx, id, &p))
}

// Audit returns the audit trail of a workload, oldest first.
func (c *Client) Audit(ctx context.Context, id string) ([]AuditEvent, error) {
	return items[AuditEvent](ctx)(c.api.GetWorkloadAudit(ctx, id, &client.GetWorkloadAuditParams{}))
}

// Placement tells why a workload waits, its place in the queue and when it may start.
func (c *Client) Placement(ctx context.Context, id string) (Placement, error) {
	return read[Placement](ctx)(c.api.GetWorkloadPlacement(ctx, id))
}

// Checkpoints lists the checkpoints kept, newest first.
func (c *Client) Checkpoints(ctx context.Context, id string) ([]CheckpointInfo, error) {
	return items[CheckpointInfo](ctx)(c.api.GetWorkloadCheckpoints(ctx, id))
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
		return out, err
	}
}

// items is read for lists.
func items[T any](ctx context.Context) func(*http.Response, error) ([]T, error) {
	return func(resp *http.Response, err error) ([]T, error) {
		out, err := read[struct {
			Items []T `json:"items"`
		}](ctx)(resp, err)
		return out.Items, err
	}
}

// none reads a response without a body.
func none(ctx context.Context) func(*http.Response, error) error {
	return func(resp *http.Response, err error) error { return client.Answer(ctx, resp, err, nil) }
}
