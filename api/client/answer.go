package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Answer reads a response: a 2xx body into out (nil: ignored), everything else into a *domain.Error
// with the code that the server gave. An answer that did not come is CodeUnavailable, unless err
// has a code or the caller's own context ended. The body is closed.
func Answer(ctx context.Context, resp *http.Response, err error, out any) error {
	if err != nil {
		var coded *domain.Error
		switch {
		case errors.As(err, &coded):
			return err
		case ctx.Err() != nil:
			return ctx.Err()
		}
		return &domain.Error{Code: domain.CodeUnavailable, Message: "the coordinator does not answer", Cause: err}
	}
	defer func() {
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // lets the connection be used again
		_ = resp.Body.Close()
	}()
	if resp.StatusCode/100 != 2 {
		return errorOf(resp)
	}
	if out == nil || resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &domain.Error{Code: domain.CodeUnavailable, Message: "the answer is not complete", Cause: err}
	}
	return nil
}

func errorOf(resp *http.Response) error {
	var body Error
	err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&body)
	if err != nil || body.Error.Code == "" {
		return ofIntermediary(resp, err)
	}
	e := &domain.Error{Code: body.Error.Code, Message: body.Error.Message, Details: body.Error.Details}
	if body.Error.RequestID != "" {
		e = e.With("request_id", body.Error.RequestID)
	}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return e
}

// ofIntermediary returns the error of an answer that no coordinator gives. It says nothing of what was
// asked for: a page that is not found is not a workload that is not found. But what is too large on
// the way stays so.
func ofIntermediary(resp *http.Response, cause error) error {
	e := &domain.Error{Code: domain.CodeUnavailable, Message: "unexpected answer: " + resp.Status, Cause: cause}
	if resp.StatusCode == http.StatusRequestEntityTooLarge {
		e.Code, e.Message = domain.CodeTooLarge, e.Message+", which no coordinator has given: something on the way "+
			"takes no body of that size"
	}
	if to := resp.Header.Get("Location"); to != "" && resp.StatusCode/100 == 3 {
		e.Message += fmt.Sprintf(" (it leads to %.200q, where the key is not sent: if that is right, use that address)", to)
	}
	return e
}

// NoRedirect is the CheckRedirect of clients of coordinators, which redirect nothing. To follow a
// redirect would take the key and the body elsewhere, and make a GET of a POST.
func NoRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// WithKey authenticates every request.
func WithKey(key string) ClientOption {
	return WithRequestEditorFn(func(_ context.Context, req *http.Request) error {
		req.Header.Set("Authorization", "Bearer "+key)
		return nil
	})
}
