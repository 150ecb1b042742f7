package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// pollInterval is the time between two reads of a workload that is followed.
const pollInterval = 500 * time.Millisecond

// persistent returns a client that repeats requests while no coordinator answers. It says once that
// none answers, and once that one answers again.
func persistent(cl *niyanta.Client, say func(format string, args ...any)) *niyanta.Client {
	return cl.With(niyanta.RetryFor(niyanta.Forever), sayConnection(say))
}

// sayConnection tells the user when no coordinator answers, and when one answers again.
func sayConnection(say func(format string, args ...any)) niyanta.ClientOption {
	return niyanta.OnConnection(func(url string, err error) {
		var e *niyanta.Error
		if !errors.As(err, &e) {
			say("reconnected")
			return
		}
		say("disconnected from %s: %s; retrying", url, unavailable(e))
	})
}

// unavailable returns the cause of a missing answer, in few words.
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

// explainError adds to an error of the API what the user can do about it.
func (c *cli) explainError(err error) error {
	var e *niyanta.Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case e.Code == "SERVICE_UNAVAILABLE" && e.Cause != nil:
		return fmt.Errorf("no coordinator answers at %s: %s; start one (niyanta dev), or say where it is "+
			"with --url, NIYANTA_URL or a context; niyanta doctor looks closer", c.address(), unavailable(e))
	case e.Code == "UNAUTHORIZED":
		return fmt.Errorf("%w; check the API key (--api-key, NIYANTA_API_KEY or the context); "+
			"niyanta doctor looks closer", err)
	case e.Code == "FORBIDDEN":
		return fmt.Errorf("%w; workloads and configs need a customer's API key (niyanta key create makes one), "+
			"workers, customers and keys an admin's", err)
	}
	return err
}
