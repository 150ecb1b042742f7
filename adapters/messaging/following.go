package messaging

import (
	"context"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/ports"
)

const (
	// beatInterval is the time between two messages by which a process says that it follows updates.
	beatInterval = 3 * time.Second
	// silenceLimit is how long nothing may be heard of another process before it counts as not
	// following.
	silenceLimit = 3 * beatInterval
	// startLimit is after what time a process that hears the others has heard all that follow.
	startLimit = beatInterval + time.Second
)

// following keeps whether this process follows updates, and whether another one does. Updates go
// over the bus only while another one does. A beat that is lost costs nothing: followers also poll.
type following struct {
	clock ports.Clock

	mu    sync.Mutex
	here  int         // followers in this process
	beats *time.Timer // runs while there are some; nil before the first
	said  time.Time   // when this process last said that it follows
	// since is when this process began to hear the others. While it is zero, they may follow.
	since time.Time
	heard time.Time // when another one last said that it follows
}

// elsewhere reports whether another process may follow updates.
func (f *following) elsewhere() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock.Now()
	return f.since.IsZero() || now.Sub(f.since) < startLimit || now.Sub(f.heard) < silenceLimit
}

// hears notes whether this process hears the others from now on.
func (f *following) hears(yes bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.since = time.Time{}
	if yes {
		f.since = f.clock.Now()
	}
}

// another notes that another process follows.
func (f *following) another() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard = f.clock.Now()
}

// add notes one more follower in this process. say tells the other processes. It is called at once,
// unless it was a moment ago, and then at intervals while there are followers.
func (f *following) add(say func()) {
	f.mu.Lock()
	f.here++
	first := f.here == 1
	f.mu.Unlock()
	if first {
		f.beat(say)
	}
}

// beat calls say if that is due, and prepares the next call, if there are followers.
func (f *following) beat(say func()) {
	f.mu.Lock()
	if f.here == 0 {
		f.mu.Unlock()
		return
	}
	now := f.clock.Now()
	next := f.said.Add(beatInterval).Sub(now)
	due := next <= 0
	if due {
		f.said, next = now, beatInterval
	}
	if f.beats != nil {
		f.beats.Stop()
	}
	f.beats = time.AfterFunc(next, func() { f.beat(say) })
	f.mu.Unlock()
	if due {
		say()
	}
}

// remove notes one follower less.
func (f *following) remove() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.here--; f.here == 0 && f.beats != nil {
		f.beats.Stop()
	}
}

// ending is a subscription that calls then when it has ended, once.
type ending struct {
	ports.Subscription
	then func()
	once *sync.Once
}

// Close implements ports.Subscription.
func (e ending) Close() error {
	defer e.once.Do(e.then)
	return e.Subscription.Close()
}

// sayFollows returns a function that tells the other processes that this one follows updates.
func (h *Hints) sayFollows(ctx context.Context) func() {
	lasting := context.WithoutCancel(ctx)
	return func() { h.send(lasting, h.party.wake(), typeFollows, nil) }
}
