package http

import (
	"context"
	"errors"
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
	waiting, end := a.whileWelcome(ctx)
	v, err := f(waiting)
	stopping := errors.Is(context.Cause(waiting), errStopping)
	end()
	if kerr := a.recheck(ctx); kerr != nil {
		return none, kerr
	}
	if err != nil && stopping {
		return none, errStopping
	}
	return v, err
}
