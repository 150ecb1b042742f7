package niyanta

import (
	"errors"
	"fmt"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Code says what kind of error the coordinator answered with.
type Code string

// The codes of the API.
const (
	CodeInvalidInput     Code = "INVALID_INPUT"
	CodeInvalidState     Code = "INVALID_STATE"
	CodeUnauthorized     Code = "UNAUTHORIZED"
	CodeForbidden        Code = "FORBIDDEN"
	CodeNotFound         Code = "NOT_FOUND"
	CodeMethodNotAllowed Code = "METHOD_NOT_ALLOWED"
	CodeConflict         Code = "CONFLICT"
	CodeTooLarge         Code = "TOO_LARGE"
	CodeRateLimited      Code = "RATE_LIMITED"
	CodeUnavailable      Code = "SERVICE_UNAVAILABLE"
	CodeInternal         Code = "INTERNAL_ERROR"
)

// What an Error is; compare with errors.Is.
var (
	// ErrInvalidInput tells that the request is not valid. Error.Field names what is wrong.
	ErrInvalidInput error = &Error{Code: CodeInvalidInput}
	// ErrInvalidState tells that the workload's status does not allow it.
	ErrInvalidState error = &Error{Code: CodeInvalidState}
	// ErrUnauthorized tells that the key is missing, wrong, expired or revoked.
	ErrUnauthorized error = &Error{Code: CodeUnauthorized}
	// ErrForbidden tells that the key's role does not allow it.
	ErrForbidden error = &Error{Code: CodeForbidden}
	// ErrNotFound tells that there is no such thing, or that it is another customer's.
	ErrNotFound error = &Error{Code: CodeNotFound}
	// ErrConflict tells that it exists already, is in use, or that an idempotency key came with
	// another request.
	ErrConflict error = &Error{Code: CodeConflict}
	// ErrTooLarge tells that the request is larger than the API takes.
	ErrTooLarge error = &Error{Code: CodeTooLarge}
	// ErrRateLimited tells that the customer sends too many requests. Try again after
	// Error.RetryAfter.
	ErrRateLimited error = &Error{Code: CodeRateLimited}
	// ErrUnavailable tells that no coordinator answers, or that it cannot now. The request may have
	// been served.
	ErrUnavailable error = &Error{Code: CodeUnavailable}
	// ErrInternal tells of a mistake in the coordinator.
	ErrInternal error = &Error{Code: CodeInternal}
)

// Error is what the methods of Client return when the coordinator refuses or does not answer. Use
// errors.As, or errors.Is with one of the Err… values.
type Error struct {
	Code    Code
	Message string
	// Field names what is wrong in the request, such as "input_params.url"; empty: no single field.
	Field string
	// RequestID names the request in the coordinator's log; empty: there was no answer.
	RequestID string
	// RetryAfter is how long to wait before the next try; 0: the coordinator did not say.
	RetryAfter time.Duration
	// Details are what else the answer says.
	Details map[string]any
	// Cause is why there was no answer; nil: there was one.
	Cause error
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Message == "":
		return string(e.Code)
	case e.Cause != nil:
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Message)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is the Err… value of the same code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Message == ""
}

// public returns err as this package shows it: an *Error if it has a code.
func public(err error) error {
	var d *domain.Error
	if !errors.As(err, &d) {
		return err
	}
	e := &Error{Code: Code(d.Code), Message: d.Message, RetryAfter: d.RetryAfter, Details: d.Details, Cause: d.Cause}
	e.Field, _ = d.Details["field"].(string)
	e.RequestID, _ = d.Details["request_id"].(string)
	return e
}
