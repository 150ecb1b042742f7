package workloads

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// answerLimit bounds how many bytes of an answer's body are kept.
const answerLimit = 256 << 10

// call calls an endpoint once.
type call struct {
	client *http.Client
	log    *slog.Logger // nil: none
	task   ports.Task
	in     callInput
	body   []byte
}

type callInput struct {
	Method         string            `json:"method"`
	URL            string            `json:"url"`
	Headers        map[string]string `json:"headers"`
	Body           json.RawMessage   `json:"body"`
	TimeoutSeconds int               `json:"timeout_seconds"`
}

var callMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete}

// reservedHeaders are the headers that input may not set: the worker or the connection sets them.
var reservedHeaders = []string{
	"Connection", "Content-Length", "Host", "Idempotency-Key", "Keep-Alive", "Niyanta-Attempt", "Niyanta-Generation",
	"Niyanta-Workload-Id", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// Init implements ports.Workload.
func (c *call) Init(_ context.Context, t ports.Task) error {
	c.task = t
	if err := decodeInput(t.Input, &c.in); err != nil {
		return err
	}
	if c.in.Method == "" {
		c.in.Method = http.MethodPost
	}
	c.in.Method = strings.ToUpper(c.in.Method)
	if !slices.Contains(callMethods, c.in.Method) {
		return invalidInput("input_params.method", "must be one of %s", strings.Join(callMethods, ", "))
	}
	u, err := url.Parse(c.in.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		return invalidInput("input_params.url", "must be an absolute http or https URL without user and password")
	}
	for name, value := range c.in.Headers {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		if slices.Contains(reservedHeaders, canonical) || strings.ContainsAny(name+value, "\r\n\x00") || name == "" {
			return invalidInput("input_params.headers."+name, "cannot be set")
		}
	}
	if c.in.TimeoutSeconds < 0 || c.in.TimeoutSeconds > 86_400 {
		return invalidInput("input_params.timeout_seconds", "must be 0 to 86400")
	}
	c.body = c.in.Body
	var text string
	if json.Unmarshal(c.in.Body, &text) == nil {
		c.body = []byte(text)
	}
	return nil
}

// Execute implements ports.Workload.
func (c *call) Execute(run context.Context, _ ports.Progress) (domain.JSON, error) {
	ctx := run
	if c.in.TimeoutSeconds > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.in.TimeoutSeconds)*time.Second)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, c.in.Method, c.in.URL, bytes.NewReader(c.body))
	if err != nil {
		return "", invalidInput("input_params.url", "%v", err)
	}
	c.header(req.Header)
	resp, err := c.client.Do(req)
	if err != nil {
		return "", c.failed(run, err)
	}
	defer func() { _ = resp.Body.Close() }() // the part that is kept has been read
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit+1))
	if err != nil {
		return "", c.failed(run, err)
	}
	if resp.StatusCode/100 != 2 {
		return "", statusError(resp, body)
	}
	return answer(resp, body)
}

// failed logs the details of a failure for the operator, and returns what the customer may know of
// it.
func (c *call) failed(run context.Context, err error) error {
	told := callError(run, err)
	if c.log != nil {
		c.log.Debug("http call failed", "workload_id", string(c.task.WorkloadID), "generation", c.task.Generation,
			"told", told, "error", err)
	}
	return told
}

func (c *call) header(h http.Header) {
	h.Set("User-Agent", "niyanta")
	if len(c.body) > 0 {
		h.Set("Content-Type", "application/json")
	}
	if c.task.Trace != "" {
		h.Set("Traceparent", c.task.Trace)
	}
	for name, value := range c.in.Headers {
		h.Set(name, value)
	}
	h.Set("Niyanta-Workload-Id", string(c.task.WorkloadID))
	h.Set("Niyanta-Generation", strconv.FormatInt(c.task.Generation, 10))
	h.Set("Niyanta-Attempt", strconv.Itoa(c.task.Attempt))
	h.Set("Idempotency-Key", string(c.task.WorkloadID))
}

// statusError returns the error for a status. It is permanent if the endpoint understood the call
// and refused it.
func statusError(resp *http.Response, body []byte) error {
	e := &ports.RunError{Type: "http_status", Err: fmt.Errorf("answered %s: %s", domain.CleanAndCut(resp.Status, 100),
		domain.CleanAndCut(string(body), 300))}
	switch code := resp.StatusCode; {
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && after >= 0 {
			d := time.Duration(min(after, int(domain.MaxRetryAfter/time.Second))) * time.Second
			e.RetryAfter = &d
		}
	default:
		e.Permanent = true
	}
	return e
}

func answer(resp *http.Response, body []byte) (domain.JSON, error) {
	out := struct {
		Status      int             `json:"status"`
		ContentType string          `json:"content_type,omitempty"`
		Body        json.RawMessage `json:"body"`
		Truncated   bool            `json:"truncated,omitempty"`
	}{
		Status: resp.StatusCode, ContentType: domain.CleanAndCut(resp.Header.Get("Content-Type"), 200),
		Body: json.RawMessage("null"), Truncated: len(body) > answerLimit,
	}
	body = wholeRunes(body[:min(len(body), answerLimit)], false, out.Truncated)
	contentType := cmp.Or(out.ContentType, contentTypeBytes)
	switch {
	case len(body) == 0:
	case !out.Truncated && json.Valid(body):
		out.Body = keepJSON(body, contentType, 2*answerLimit)
	default:
		out.Body = keepText(body, contentType)
	}
	b, err := json.Marshal(out)
	return domain.JSON(b), err
}

// Checkpoint implements ports.Workload. A call has no intermediate state.
func (c *call) Checkpoint(context.Context) ([]byte, error) { return nil, ports.ErrNoCheckpoint }

// Close implements ports.Workload.
func (c *call) Close() error { return nil }
