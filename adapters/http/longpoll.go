package http

import (
	"context"
	"errors"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// recheckInterval is how often the key of a request that waits is looked at again. Together with how long the tenancy service
// remembers a key it bounds how long a revoked key still waits: below 5 s.
const recheckInterval = 2 * time.Second

// Why a wait ended before its time.
var (
	errStopping = errors.New("the server shuts down")
	errKeyEnded = errors.New("the key was revoked or has expired")
)

// wait runs f, which may wait, with a context that also ends when the server shuts down (its cause is errStopping then) or the
// caller's key does. What f returns reaches the caller only if the key still holds: it may have ended at any time of the wait.
func wait[T any](ctx context.Context, a *api, f func(context.Context) (T, error)) (T, error) {
	waiting, cancel := context.WithCancelCause(ctx)
	defer context.AfterFunc(a.Stopping, func() { cancel(errStopping) })()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		a.watchKey(waiting, cancel)
	}()
	v, err := f(waiting)
	stopping := errors.Is(context.Cause(waiting), errStopping)
	cancel(nil)
	<-watched
	var none T
	if kerr := a.recheck(ctx); kerr != nil {
		return none, kerr
	}
	if err != nil && stopping {
		return none, errStopping
	}
	return v, err
}

// watchKey ends the wait when the key does.
func (a *api) watchKey(ctx context.Context, end context.CancelCauseFunc) {
	tick := time.NewTicker(recheckInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if domain.IsCode(a.recheck(ctx), domain.CodeUnauthorized) {
			end(errKeyEnded)
			return
		}
	}
}

// recheck authenticates the caller again.
func (a *api) recheck(ctx context.Context) error {
	_, err := a.Tenancy.Authenticate(ctx, scopeOf(ctx).key)
	return err
}
