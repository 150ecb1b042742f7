package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	niyanta "github.com/niyanta/niyanta/sdk"
)

const (
	// lookInterval is the time between two looks at a workload that is followed, and between two
	// tries to reach a coordinator.
	lookInterval = 500 * time.Millisecond
	// answerTimeout is how long the first try waits for an answer. Each try after one without an
	// answer waits twice as long, up to maxAnswerTimeout: a slow coordinator is reached in the end.
	answerTimeout    = 3 * time.Second
	maxAnswerTimeout = time.Minute
)

// link calls the API as often as it takes to get an answer. It says once that the coordinator is
// disconnected, and once that it is back.
type link struct {
	url string
	say func(format string, args ...any) // tells the user

	disconnected bool
}

// try calls the API until it answers, or until ctx ends. The answer may be an error: one that
// trying again does not change. The call must be safe to repeat.
func (l *link) try(ctx context.Context, call func(context.Context) error) error {
	for timeout := lookInterval + answerTimeout; ; {
		bounded, cancel := context.WithTimeout(ctx, timeout)
		err := call(bounded)
		late := bounded.Err() != nil
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if late {
			timeout = min(2*timeout, maxAnswerTimeout)
		}
		reason, pause := obstacle(err, late)
		if reason == "" {
			if l.disconnected {
				l.disconnected = false
				l.say("reconnected")
			}
			if pause == 0 {
				return err
			}
		} else if !l.disconnected {
			l.disconnected = true
			l.say("disconnected from %s: %s; retrying", l.url, reason)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// obstacle tells why a call has to be made again and after what pause. A pause without a reason
// means that the coordinator is there and asks for it; no pause means that the call is done.
func obstacle(err error, late bool) (reason string, pause time.Duration) {
	if err != nil && late {
		return "no answer", lookInterval
	}
	var e *niyanta.Error
	if !errors.As(err, &e) {
		return "", 0
	}
	switch e.Code {
	case "SERVICE_UNAVAILABLE":
		return unavailable(e), max(e.RetryAfter, lookInterval)
	case "RATE_LIMITED":
		return "", max(e.RetryAfter, lookInterval)
	default:
		return "", 0
	}
}

// unavailable says in few words why there was no answer.
func unavailable(e *niyanta.Error) string {
	var transport *url.Error
	switch {
	case !errors.As(e, &transport):
		return e.Message
	case errors.Is(transport, io.EOF):
		return "it closed the connection"
	}
	root := transport.Err
	for next := errors.Unwrap(root); next != nil; next = errors.Unwrap(root) {
		root = next
	}
	return root.Error()
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// explainError adds to an error of the API what the user can do about it.
func (c *cli) explainError(err error) error {
	var e *niyanta.Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Code == "SERVICE_UNAVAILABLE" && e.Cause != nil:
		return fmt.Errorf("no coordinator answers at %s: %s; start one (niyanta dev), or say where it is "+
			"with --url or NIYANTA_URL", c.address(), unavailable(e))
	case e.Code == "UNAUTHORIZED":
		return fmt.Errorf("%w; check the API key (--api-key or NIYANTA_API_KEY)", err)
	case e.Code == "FORBIDDEN":
		return fmt.Errorf("%w; workloads and configs need a customer's API key (niyanta key create makes one), "+
			"workers, customers and keys an admin's", err)
	}
	return err
}
