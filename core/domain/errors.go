package domain

import (
	"errors"
	"fmt"
	"time"
)

// Code classifies an error. Callers act on codes, never on text.
type Code string

// The codes of the API. One place (adapters/http) maps them to HTTP statuses.
const (
	CodeInvalidInput Code = "INVALID_INPUT"
	CodeInvalidState Code = "INVALID_STATE"
	CodeUnauthorized Code = "UNAUTHORIZED"
	CodeForbidden    Code = "FORBIDDEN"
	CodeNotFound     Code = "NOT_FOUND"
	CodeNoMethod     Code = "METHOD_NOT_ALLOWED"
	CodeConflict     Code = "CONFLICT"
	CodeTooLarge     Code = "TOO_LARGE"
	CodeRateLimited  Code = "RATE_LIMITED"
	CodeUnavailable  Code = "SERVICE_UNAVAILABLE"
	CodeInternal     Code = "INTERNAL_ERROR"
	// CodeFenced tells that the caller's token (session, generation or epoch) is no longer the
	// current one. Whoever receives it stops what it was doing; retrying is pointless.
	CodeFenced Code = "FENCED"
)

// Error is the error type of the core. Message is meant for the client; Details name what to act on
// ("field", "status"). Cause is for logs only and never reaches a client.
type Error struct {
	Code       Code
	Message    string
	Details    map[string]any
	RetryAfter time.Duration
	Cause      error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is makes errors.Is(err, &Error{Code: c}) compare codes only.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Message == ""
}

// With returns a copy of e that carries one more detail.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Details = make(map[string]any, len(e.Details)+1)
	for k, v := range e.Details {
		c.Details[k] = v
	}
	c.Details[key] = value
	return &c
}

// NewError returns an error with a code and a message for the client.
func NewError(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// maxField bounds the name of a field in an error, in bytes: clients choose the keys of objects.
const maxField = 256

// Invalid returns CodeInvalidInput that names the field. A verb in the field's name is text.
func Invalid(field, format string, args ...any) *Error {
	field = CutText(field, maxField)
	return NewError(CodeInvalidInput, "%s: %s", field, fmt.Sprintf(format, args...)).With("field", field)
}

// NotFound returns CodeNotFound. The answer is the same for what does not exist and for what
// belongs to another customer.
func NotFound(what string) *Error { return NewError(CodeNotFound, "%s not found", what) }

// Unavailable returns CodeUnavailable with the delay after which a retry makes sense.
func Unavailable(retryAfter time.Duration, format string, args ...any) *Error {
	e := NewError(CodeUnavailable, format, args...)
	e.RetryAfter = retryAfter
	return e
}

// CodeOf returns the code of err: "" for nil, CodeInternal for an error that carries none.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// IsCode reports whether err carries that code.
func IsCode(err error, code Code) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == code
}
