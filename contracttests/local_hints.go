package contracttests

import (
	"context"
	"sync"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// LocalHints implements ports.Notifier and ports.Listener within one process of a test.
type LocalHints struct {
	mu       sync.Mutex
	commands map[domain.WorkerID][]func(ports.Command)
	wakes    []func(string)
	updates  map[ports.Followed][]func(ports.Update)
}

type localSubscription struct{ end func() }

func (s localSubscription) Close() error { s.end(); return nil }

// NewLocalHints returns hints that nobody listens to yet.
func NewLocalHints() *LocalHints {
	return &LocalHints{
		commands: map[domain.WorkerID][]func(ports.Command){}, updates: map[ports.Followed][]func(ports.Update){},
	}
}

// Command implements ports.Notifier.
func (l *LocalHints) Command(_ context.Context, w domain.WorkerID, cs ...ports.Command) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range cs {
		for _, h := range l.commands[w] {
			h(c)
		}
	}
}

// Wake implements ports.Notifier.
func (l *LocalHints) Wake(_ context.Context, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.wakes {
		h(reason)
	}
}

// Updated implements ports.Notifier.
func (l *LocalHints) Updated(_ context.Context, us ...ports.Update) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range us {
		for _, f := range u.Of() {
			for _, h := range l.updates[f] {
				h(u)
			}
		}
	}
}

// Commands implements ports.Listener.
func (l *LocalHints) Commands(
	_ context.Context, w domain.WorkerID, h func(ports.Command),
) (ports.Subscription, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commands[w] = append(l.commands[w], h)
	return l.ending(func() { l.commands[w] = nil }), nil
}

// Wakes implements ports.Listener.
func (l *LocalHints) Wakes(_ context.Context, h func(string)) (ports.Subscription, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wakes = append(l.wakes, h)
	return l.ending(func() { l.wakes = nil }), nil
}

// Updates implements ports.Listener.
func (l *LocalHints) Updates(
	_ context.Context, f ports.Followed, h func(ports.Update),
) (ports.Subscription, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.updates[f] = append(l.updates[f], h)
	return l.ending(func() { l.updates[f] = nil }), nil
}

func (l *LocalHints) ending(end func()) ports.Subscription {
	return localSubscription{func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		end()
	}}
}
