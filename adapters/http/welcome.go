package http

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// recheckInterval is the time between two checks of a key that requests wait or streams run under.
// The tenancy service caches a key for a moment, too. Together they keep a revoked key from being
// used for more than 5 s.
const recheckInterval = 2 * time.Second

// The causes with which a wait or a stream ends early.
var (
	errStopping = errors.New("the server shuts down")
	errKeyEnded = errors.New("the key was revoked, or it or its session has expired")
)

// whileWelcome returns a context that also ends when the server shuts down, with cause errStopping,
// and when the caller's key or session ends, with cause errKeyEnded. end releases it.
func (a *api) whileWelcome(ctx context.Context) (welcome context.Context, end func()) {
	endSession := func() {}
	if end := scopeOf(ctx).credentialsEnd(); !end.IsZero() {
		ctx, endSession = context.WithDeadlineCause(ctx, end, errKeyEnded)
	}
	welcome, cancel := context.WithCancelCause(ctx)
	going := context.AfterFunc(a.Stopping, func() { cancel(errStopping) })
	leave := a.keys.watch(scopeOf(ctx), func() { cancel(errKeyEnded) })
	return welcome, func() {
		leave()
		going()
		cancel(nil)
		endSession()
	}
}

// watchedKeys are the keys that requests wait or streams run under. One goroutine for each checks
// whether it may still be used.
type watchedKeys struct {
	check func(context.Context) error // of the key in the scope of the context

	mu   sync.Mutex
	keys map[watchedID]*watchedKey
}

// watchedID tells keys apart, and tokens of one bearer that say different things.
type watchedID struct {
	key      domain.KeyID
	customer domain.CustomerID
	expires  int64
}

func watchedIDOf(p domain.Principal) watchedID {
	if p.TokenExpires.IsZero() {
		return watchedID{key: p.KeyID}
	}
	return watchedID{p.KeyID, p.CustomerID, p.TokenExpires.UnixNano()}
}

type watchedKey struct {
	ended map[*func()]bool // to call when the key ends
	stop  context.CancelFunc
}

func newWatchedKeys(check func(context.Context) error) *watchedKeys {
	return &watchedKeys{check: check, keys: map[watchedID]*watchedKey{}}
}

// watch has ended called when the key of the request ends, unless leave is called before.
func (k *watchedKeys) watch(s *scope, ended func()) (leave func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	id, entry := watchedIDOf(s.principal), &ended
	w := k.keys[id]
	if w == nil {
		ctx, stop := context.WithCancel(context.WithValue(context.Background(), keyScope, s))
		w = &watchedKey{map[*func()]bool{}, stop}
		k.keys[id] = w
		go k.run(ctx, id, w)
	}
	w.ended[entry] = true
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if delete(w.ended, entry); len(w.ended) == 0 {
			w.stop()
			if k.keys[id] == w {
				delete(k.keys, id)
			}
		}
	}
}

// run checks a key until it ends or nobody needs it any more.
func (k *watchedKeys) run(ctx context.Context, id watchedID, w *watchedKey) {
	tick := time.NewTicker(recheckInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if domain.IsCode(k.check(ctx), domain.CodeUnauthorized) {
			break
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for ended := range w.ended {
		(*ended)()
	}
	if k.keys[id] == w {
		delete(k.keys, id) // whoever comes now is refused before
	}
}

// recheck checks that the caller's key may still be used.
func (a *api) recheck(ctx context.Context) error {
	_, err := a.Tenancy.Recheck(ctx, scopeOf(ctx).principal)
	return err
}
