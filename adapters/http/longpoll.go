package http

import (
	"context"
	"errors"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// recheckInterval is the time between two checks of the key of a waiting request. The tenancy
// service caches a key for a moment, too. Together they keep a revoked key from waiting for more
// than 5 s.
const recheckInterval = 2 * time.Second

// The causes with which a wait ends early.
var (
	errStopping = errors.New("the server shuts down")
	errKeyEnded = errors.New("the key was revoked or has expired")
)

// wait runs f with a context that also ends when the server shuts down, with cause errStopping, and
// when the caller's key ends, with cause errKeyEnded. It checks the key again before it returns
// what f returned, because the key may have ended at any time of the wait. The request gives its
// place among the short ones back.
func wait[T any](ctx context.Context, a *api, f func(context.Context) (T, error)) (T, error) {
	var none T
	if err := scopeOf(ctx).place.startWaiting(); err != nil {
		return none, err
	}
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
	if kerr := a.recheck(ctx); kerr != nil {
		return none, kerr
	}
	if err != nil && stopping {
		return none, errStopping
	}
	return v, err
}

// watchKey calls end when the key is revoked or expires.
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
