package niyanta

import (
	"context"
	"io"
	"iter"
	"net/http"
	"time"

	"github.com/niyanta/niyanta/api/client"
)

// batchLimit is the number of workloads that one request of a bulk operation may name.
const batchLimit = 1000

// BatchSubmission is one submission of a batch. With an IdempotencyKey it may be repeated, in
// another batch or on its own.
type BatchSubmission struct {
	Submission
	IdempotencyKey *string `json:"idempotency_key,omitempty"`
}

// SubmitBatch stores up to 1,000 workloads, of at most 16 MiB in all; the results stand in order.
// Each is accepted or refused on its own. With an idempotency key of your own, repeating the same
// call gets the same results, for 24 h. Empty: one is made for this call.
func (c *Client) SubmitBatch(
	ctx context.Context, s []BatchSubmission, idempotencyKey string,
) ([]BatchResult, error) {
	in := struct {
		Workloads []BatchSubmission `json:"workloads"`
	}{s}
	params := &client.SubmitWorkloadsParams{IdempotencyKey: keyOr(idempotencyKey)}
	out, err := send[struct{ Results []BatchResult }](ctx, in, func(body io.Reader) (*http.Response, error) {
		return c.api.SubmitWorkloadsWithBody(ctx, params, jsonType, body)
	})
	return out.Results, err
}

// BatchResult is what became of one submission of a batch: WorkloadID and Status, or Error.
type BatchResult struct {
	Error  *ItemError `json:"error,omitempty"`
	Status *Status    `json:"status,omitempty"`

	// StatusReason: that no worker offers its type yet; absent otherwise.
	StatusReason *string `json:"status_reason,omitempty"`
	WorkloadID   *string `json:"workload_id,omitempty"`
}

// ItemError says why nothing became of one item of a request.
type ItemError struct {
	Code    Code           `json:"code"`
	Details map[string]any `json:"details"`
	Message string         `json:"message"`
}

// Err returns e as the error that a call for this item alone would have returned; nil if e is nil.
func (e *ItemError) Err() error {
	if e == nil {
		return nil
	}
	err := &Error{Code: e.Code, Message: e.Message, Details: e.Details}
	err.Field, _ = e.Details["field"].(string)
	if s, ok := e.Details["retry_after"].(float64); ok {
		err.RetryAfter = time.Duration(s * float64(time.Second))
	}
	return err
}

// BulkFilter selects workloads as ListParams do. What is nil selects all; several fields must all
// match. The server refuses what is set and empty.
type BulkFilter struct {
	// CreatedAfter and CreatedBefore are exclusive.
	CreatedAfter  *time.Time `json:"created_after,omitempty"`
	CreatedBefore *time.Time `json:"created_before,omitempty"`

	// CustomerID: whose workloads; an admin key needs it, no other may state it.
	CustomerID *string `json:"customer_id,omitempty"`

	// Label: `key=value`; all must match.
	Label *[]string `json:"label,omitempty"`

	// Status: any of them. Nil: those that the operation is possible for.
	Status       *[]Status `json:"status,omitempty"`
	WorkloadType *string   `json:"workload_type,omitempty"`
}

// Bulk says which workloads a bulk operation is for: those with WorkloadIDs, however many, or those
// that Filter selects, which are all if it is empty. With neither it is for none.
type Bulk struct {
	WorkloadIDs []string
	Filter      *BulkFilter
	// DryRun changes nothing and tells what would become of each.
	DryRun bool
	// Reason is kept in the audit trail.
	Reason string
	// FromScratch has RetryMany continue from no checkpoint. It means nothing to the others.
	FromScratch bool
}

// BulkResult is what became of one workload, or in a dry run would become of it.
type BulkResult struct {
	// Error says why nothing does; nil: something does.
	Error *ItemError `json:"error,omitempty"`

	// RetryID is the new workload of a retry.
	RetryID    *string `json:"retry_id,omitempty"`
	Status     *Status `json:"status,omitempty"`
	WorkloadID *string `json:"workload_id,omitempty"`
}

// CancelMany cancels workloads, page after page, and yields what became of each. A Filter without
// Status selects those that are not final. Breaking off the loop leaves the pages behind it
// undone. An error is the last that it yields.
func (c *Client) CancelMany(ctx context.Context, b Bulk) iter.Seq2[BulkResult, error] {
	b.FromScratch = false
	return c.bulk(ctx, b, func(key *string, body io.Reader) (*http.Response, error) {
		return c.api.CancelWorkloadsWithBody(ctx, &client.CancelWorkloadsParams{IdempotencyKey: key}, jsonType, body)
	})
}

// PauseMany is as CancelMany, for pausing. A Filter without Status selects those that are RUNNING.
// It does not wait for the workers: a workload is RUNNING until its worker has saved a checkpoint.
func (c *Client) PauseMany(ctx context.Context, b Bulk) iter.Seq2[BulkResult, error] {
	b.FromScratch = false
	return c.bulk(ctx, b, func(key *string, body io.Reader) (*http.Response, error) {
		return c.api.PauseWorkloadsWithBody(ctx, &client.PauseWorkloadsParams{IdempotencyKey: key}, jsonType, body)
	})
}

// ResumeMany is as CancelMany, for resuming. A Filter without Status selects those that are PAUSED.
func (c *Client) ResumeMany(ctx context.Context, b Bulk) iter.Seq2[BulkResult, error] {
	b.FromScratch = false
	return c.bulk(ctx, b, func(key *string, body io.Reader) (*http.Response, error) {
		return c.api.ResumeWorkloadsWithBody(ctx, &client.ResumeWorkloadsParams{IdempotencyKey: key}, jsonType, body)
	})
}

// RetryMany is as CancelMany, for running workloads again. A Filter without Status selects those
// that are FAILED or CANCELLED.
func (c *Client) RetryMany(ctx context.Context, b Bulk) iter.Seq2[BulkResult, error] {
	return c.bulk(ctx, b, func(key *string, body io.Reader) (*http.Response, error) {
		return c.api.RetryWorkloadsWithBody(ctx, &client.RetryWorkloadsParams{IdempotencyKey: key}, jsonType, body)
	})
}

// bulkBody is a page of a bulk operation as the request carries it.
type bulkBody struct {
	WorkloadIDs []string    `json:"workload_ids,omitempty"`
	Filter      *BulkFilter `json:"filter,omitempty"`
	Cursor      *string     `json:"cursor,omitempty"`
	DryRun      bool        `json:"dry_run,omitempty"`
	Reason      string      `json:"reason,omitempty"`
	FromScratch bool        `json:"from_scratch,omitempty"`
}

// bulk does a bulk operation. call sends one page, which has a key of its own: repeating it after a
// fault does not do it twice.
func (c *Client) bulk(
	ctx context.Context, b Bulk, call func(key *string, body io.Reader) (*http.Response, error),
) iter.Seq2[BulkResult, error] {
	return func(yield func(BulkResult, error) bool) {
		if b.Filter == nil && len(b.WorkloadIDs) == 0 {
			return
		}
		in := bulkBody{Filter: b.Filter, DryRun: b.DryRun, Reason: b.Reason, FromScratch: b.FromScratch}
		for ids := b.WorkloadIDs; ; {
			n := min(len(ids), batchLimit)
			in.WorkloadIDs, ids = ids[:n], ids[n:]
			key := keyOr("")
			page, err := send[struct {
				Results    []BulkResult
				Pagination Pagination
			}](ctx, in, func(body io.Reader) (*http.Response, error) { return call(key, body) })
			if err != nil {
				yield(BulkResult{}, err)
				return
			}
			for _, r := range page.Results {
				if !yield(r, nil) {
					return
				}
			}
			in.Cursor = page.Pagination.NextCursor
			if in.Cursor == nil && len(ids) == 0 {
				return
			}
		}
	}
}

// RetryOptions say where a retry continues. The zero value: from the newest checkpoint.
type RetryOptions struct {
	// FromCheckpoint is the sequence of the checkpoint to continue from; 0: the newest.
	FromCheckpoint int64
	// FromScratch continues from no checkpoint.
	FromScratch bool
	// Reason is kept in the audit trail.
	Reason string
	// IdempotencyKey makes it safe to repeat the call; empty: one is made for this call.
	IdempotencyKey string
}

// RetryAnswer tells what became of a retry.
type RetryAnswer struct {
	// CheckpointSequence: 1 if it continues from a checkpoint, 0 if not.
	CheckpointSequence int64     `json:"checkpoint_sequence"`
	CreatedAt          time.Time `json:"created_at"`
	RetryOf            string    `json:"retry_of"`
	Status             Status    `json:"status"`

	// StatusReason: that no worker offers its type yet; absent otherwise.
	StatusReason *string `json:"status_reason,omitempty"`

	// WorkloadID is the new workload.
	WorkloadID string `json:"workload_id"`
}

// Retry runs a workload that is FAILED or CANCELLED again, as a new workload.
func (c *Client) Retry(ctx context.Context, id string, o RetryOptions) (RetryAnswer, error) {
	in := struct {
		FromCheckpoint int64  `json:"from_checkpoint,omitempty"`
		FromScratch    bool   `json:"from_scratch,omitempty"`
		Reason         string `json:"reason,omitempty"`
	}{o.FromCheckpoint, o.FromScratch, o.Reason}
	params := &client.RetryWorkloadParams{IdempotencyKey: keyOr(o.IdempotencyKey)}
	return send[RetryAnswer](ctx, in, func(body io.Reader) (*http.Response, error) {
		return c.api.RetryWorkloadWithBody(ctx, segment(id), params, jsonType, body)
	})
}
