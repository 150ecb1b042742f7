package niyanta

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// SubmitOption changes a submission.
type SubmitOption func(*submitOptions)

type submitOptions struct {
	Submission
	key string
}

// WithPriority sets the priority, 0 to 1000; the default is 10.
func WithPriority(p int) SubmitOption { return func(o *submitOptions) { o.Priority = &p } }

// WithLabels attaches labels.
func WithLabels(l map[string]string) SubmitOption { return func(o *submitOptions) { o.Labels = &l } }

// WithTimeout bounds one run. The API counts whole seconds, so d is rounded up: only 0 means none.
func WithTimeout(d time.Duration) SubmitOption {
	return func(o *submitOptions) { o.TimeoutSeconds = new(Seconds(d)) }
}

// Seconds is d in whole seconds, as the API counts them, rounded away from zero: what is not 0
// never becomes 0, which often means "none".
func Seconds(d time.Duration) int {
	s := d / time.Second
	switch rest := d % time.Second; {
	case rest > 0:
		s++
	case rest < 0:
		s--
	}
	return int(s)
}

// ParseTime reads a time as the API does: RFC 3339, with "t" and "z" also in lower case, in the
// years 2000 to 2199.
func ParseTime(field, s string) (time.Time, error) {
	t, err := domain.ParseTime(field, s)
	return t, public(err)
}

// WithMaxRetries sets how often the workload is tried again after a failure of its own; 0: never.
// The default is the config's, or 5.
func WithMaxRetries(n int) SubmitOption { return func(o *submitOptions) { o.MaxRetries = &n } }

// WithRunAt keeps the workload from starting before t.
func WithRunAt(t time.Time) SubmitOption { return func(o *submitOptions) { o.RunAt = &t } }

// WithAffinity says where it must, should and must not run.
func WithAffinity(a AffinityRules) SubmitOption {
	return func(o *submitOptions) { o.AffinityRules = &a }
}

// WithIdempotencyKey makes submitting again with the same key and input return the first workload,
// for 24 h.
func WithIdempotencyKey(k string) SubmitOption { return func(o *submitOptions) { o.key = k } }

// Submit submits a workload of the type.
func (d *Definition[In, State, Out]) Submit(
	ctx context.Context, c *Client, in In, opts ...SubmitOption,
) (*Run[Out], error) {
	b, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	o := submitOptions{Submission: Submission{WorkloadType: d.name, InputParams: b}}
	for _, opt := range opts {
		opt(&o)
	}
	a, err := c.Submit(ctx, o.Submission, o.key)
	if err != nil {
		return nil, err
	}
	return &Run[Out]{ID: a.WorkloadID, client: c}, nil
}

// Run is a submitted workload.
type Run[Out any] struct {
	ID     string
	client *Client
}

// Attach returns the run of a workload that was submitted before.
func (d *Definition[In, State, Out]) Attach(c *Client, id string) *Run[Out] {
	return &Run[Out]{ID: id, client: c}
}

// FailedError tells that a workload ended without a result.
type FailedError struct {
	Status  Status // FAILED or CANCELLED
	Type    string
	Message string
}

// Error implements error.
func (e *FailedError) Error() string {
	if e.Message == "" {
		return "workload " + string(e.Status)
	}
	return fmt.Sprintf("workload %s: %s: %s", e.Status, e.Type, e.Message)
}

// Result waits until the workload is final and returns its output. A *FailedError tells that it has
// none; an output of more than 1 MiB is an error, because only its beginning is kept. While
// no coordinator answers, the wait goes on, until ctx ends.
func (r *Run[Out]) Result(ctx context.Context) (Out, error) {
	var out Out
	w, err := r.client.Wait(ctx, r.ID, Forever)
	switch {
	case err != nil:
		return out, err
	case w.Status == StatusCompleted:
		return out, decodeResult(w.ResultData, &out)
	}
	return out, &FailedError{Status: w.Status, Type: text(w.ErrorType), Message: text(w.ErrorMessage)}
}

// decodeResult reads a result, also one that was kept encoded because not every store or reader
// could take it as it is.
func decodeResult(raw []byte, out any) error {
	kept, data, encoded := domain.DecodeResult(domain.JSON(raw))
	switch {
	case !encoded:
		return json.Unmarshal(raw, out)
	case kept.Truncated:
		return fmt.Errorf("the result has %d bytes; only the first %d were kept", kept.Size, len(data))
	}
	return json.Unmarshal(data, out)
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
