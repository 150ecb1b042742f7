package http

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

// statusOf is the one place that maps codes to HTTP.
var statusOf = map[domain.Code]int{
	domain.CodeInvalidInput: http.StatusBadRequest,
	domain.CodeInvalidState: http.StatusBadRequest,
	domain.CodeUnauthorized: http.StatusUnauthorized,
	domain.CodeForbidden:    http.StatusForbidden,
	domain.CodeNotFound:     http.StatusNotFound,
	domain.CodeNoMethod:     http.StatusMethodNotAllowed,
	domain.CodeConflict:     http.StatusConflict,
	domain.CodeFenced:       http.StatusConflict,
	domain.CodeTooLarge:     http.StatusRequestEntityTooLarge,
	domain.CodeRateLimited:  http.StatusTooManyRequests,
	domain.CodeUnavailable:  http.StatusServiceUnavailable,
	domain.CodeInternal:     http.StatusInternalServerError,
}

// retryDefault is the value of Retry-After when nothing better is known.
const retryDefault = time.Second

// fail answers with the error envelope. An error without a code is a bug: its text is logged, and
// the answer is INTERNAL_ERROR without it.
func (a *api) fail(w http.ResponseWriter, r *http.Request, err error) {
	if k := scopeOf(r.Context()).socket; k != nil && k.conn != nil {
		k.fail(err)
		return
	}
	e := withRetryAfter(a.classify(r, err))
	status := statusOf[e.Code]
	if seconds, ok := e.Details[retryAfter].(int); ok {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
		for _, name := range rateHeaders {
			w.Header().Del(name) // one answer for all, also for a key that was revoked while its request waited
		}
	}
	scopeOf(r.Context()).answered = status
	var body gen.Error
	body.Error.Code, body.Error.Message = e.Code, e.Message
	body.Error.Details, body.Error.RequestID = e.Details, requestIDOf(r.Context())
	if body.Error.Details == nil {
		body.Error.Details = map[string]any{}
	}
	if call := scopeOf(r.Context()).call; call != nil {
		call.fail(w, &body)
		return
	}
	writeJSON(w, status, body)
}

// failBody answers an error of the generated decoder.
func (a *api) failBody(w http.ResponseWriter, r *http.Request, err error) {
	a.fail(w, r, errBadBody(err))
}

// retryAfter is a detail of 429 and 503: the seconds after which to try again. The header
// Retry-After has the same value.
const retryAfter = "retry_after"

// withRetryAfter adds that detail to errors whose status is 429 or 503.
func withRetryAfter(e *domain.Error) *domain.Error {
	if status := statusOf[e.Code]; status != http.StatusTooManyRequests && status != http.StatusServiceUnavailable {
		return e
	}
	after := e.RetryAfter
	if after <= 0 {
		after = retryDefault
	}
	return e.With(retryAfter, int(math.Ceil(after.Seconds())))
}

func (a *api) classify(r *http.Request, err error) *domain.Error {
	var e *domain.Error
	switch {
	case errors.As(err, &e) && e.Code != domain.CodeInternal:
		if e.Code == domain.CodeFenced && scopeOf(r.Context()).op.tag != "worker" {
			break // only workers know what to do with it
		}
		if statusOf[e.Code] != 0 {
			return e
		}
	case errors.Is(err, errStopping):
		return domain.Unavailable(retryDefault, "the coordinator shuts down")
	case errors.Is(err, context.DeadlineExceeded):
		return domain.Unavailable(retryDefault, "the request took too long")
	case errors.Is(err, context.Canceled):
		return domain.Unavailable(retryDefault, "the request was cancelled")
	}
	a.Log.Error("internal error", "request_id", requestIDOf(r.Context()),
		"method", r.Method, "path", r.URL.Path, "error", err)
	return domain.NewError(domain.CodeInternal, "internal error")
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone; nobody to tell
}

func errNoRoute(r *http.Request) error {
	return domain.NewError(domain.CodeNotFound, "no such endpoint: %s %s", r.Method, r.URL.Path)
}

func errNoMethod(r *http.Request, allowed string) error {
	return domain.NewError(domain.CodeNoMethod, "%s takes %s, not %s", r.URL.Path, allowed, r.Method)
}

// errBadBody turns an error of the generated decoder into INVALID_INPUT. Bodies are validated
// before, so it is called only for a value that passes its schema and still does not fit its type.
func errBadBody(err error) error {
	var known *domain.Error
	if errors.As(err, &known) {
		return known
	}
	var typed *json.UnmarshalTypeError
	if errors.As(err, &typed) {
		return domain.Invalid(typed.Field, "must be %s, not %s", typed.Type, typed.Value)
	}
	reason := strings.TrimPrefix(err.Error(), "can't decode JSON body: ")
	return domain.Invalid("body", "is not what this endpoint takes: %s", reason)
}

func errBadParameter(err error) error {
	field := "parameters"
	var format *gen.InvalidParamFormatError
	var missing *gen.RequiredParamError
	var many *gen.TooManyValuesForParamError
	var header *gen.RequiredHeaderError
	switch {
	case errors.As(err, &format):
		field = format.ParamName
	case errors.As(err, &missing):
		field = missing.ParamName
	case errors.As(err, &many):
		field = many.ParamName
	case errors.As(err, &header):
		field = header.ParamName
	}
	return domain.Invalid(field, "is missing or not of the form this endpoint takes")
}
