package batching

import (
	"context"
	"runtime/debug"
	"sync"

	"github.com/niyanta/niyanta/core/domain"
)

// Committer gathers items of concurrent callers into batches. It has no goroutine of its own: the
// caller that finds no commit under way commits for all that have gathered, then hands over to one
// of those who wait.
type Committer[T, R any] struct {
	commit func(ctx context.Context, items []T) ([]R, error)
	max    int

	mu      sync.Mutex
	waiting []*call[T, R]
	busy    bool
}

// call is one caller's items and, later, its answer.
type call[T, R any] struct {
	items   []T
	results []R
	err     error
	done    chan struct{} // closed when answered
	// answered belongs to whoever commits.
	answered bool
	lead     chan struct{} // receives the order to commit the next batch
}

// NewCommitter returns a committer of batches of about maxItems at most (one caller's items are
// never split). commit must return one result per item, in order; its error goes to every caller of
// the batch, except CodeInternal, upon which each caller's items are committed by themselves.
func NewCommitter[T, R any](maxItems int, commit func(ctx context.Context, items []T) ([]R, error)) *Committer[T, R] {
	return &Committer[T, R]{commit: commit, max: maxItems}
}

// Do commits items together with those of concurrent callers and returns their results. A caller
// whose context ends while it waits gets the context's error; its items may be committed all the
// same. The commit itself is detached from the cancellation of whichever caller executes it,
// because it acts for others too.
func (c *Committer[T, R]) Do(ctx context.Context, items ...T) ([]R, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	me := &call[T, R]{items: items, done: make(chan struct{}), lead: make(chan struct{}, 1)}
	c.mu.Lock()
	c.waiting = append(c.waiting, me)
	if !c.busy {
		c.busy = true
		me.lead <- struct{}{}
	}
	c.mu.Unlock()
	select {
	case <-me.done:
		return me.results, me.err
	case <-me.lead:
		c.flush(context.WithoutCancel(ctx))
		<-me.done
		return me.results, me.err
	case <-ctx.Done():
		c.abandon(me)
		return nil, ctx.Err()
	}
}

// abandon leaves the queue. If the order to commit arrived at the same moment, it is carried out.
func (c *Committer[T, R]) abandon(me *call[T, R]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, w := range c.waiting {
		if w == me {
			c.waiting = append(c.waiting[:i], c.waiting[i+1:]...)
			break
		}
	}
	select {
	case <-me.lead:
		c.handOver()
	default:
	}
}

// flush commits one batch, its caller's items included because they stand first, and hands over.
func (c *Committer[T, R]) flush(ctx context.Context) {
	c.mu.Lock()
	var batch []*call[T, R]
	n := 0
	for len(c.waiting) > 0 && (n == 0 || n+len(c.waiting[0].items) <= c.max) {
		n += len(c.waiting[0].items)
		batch = append(batch, c.waiting[0])
		c.waiting = c.waiting[1:]
	}
	c.mu.Unlock()
	items := make([]T, 0, n)
	for _, b := range batch {
		items = append(items, b.items...)
	}
	defer func() { // also when a panic passes through that is nobody's accident
		for _, b := range batch {
			if !b.answered {
				b.err = domain.NewError(domain.CodeInternal, "the commit did not return")
				close(b.done)
			}
		}
		c.mu.Lock()
		c.handOver()
		c.mu.Unlock()
	}()
	results, err := c.safely(ctx, items)
	for _, b := range batch {
		switch {
		case err == nil:
			b.results, results = results[:len(b.items):len(b.items)], results[len(b.items):]
		case domain.IsCode(err, domain.CodeInternal) && len(batch) > 1:
			// What one of them brought cannot be committed: the others must not pay for it.
			b.results, b.err = c.safely(ctx, b.items)
		default:
			b.err = err
		}
		b.answered = true
		close(b.done)
	}
}

// safely commits items. An accident (a panic with an error or a text) becomes CodeInternal, so that
// it fails whoever brought what causes it; so does an answer that is not one result per item. A
// panic with another value is somebody's way out of the process, and passes.
func (c *Committer[T, R]) safely(ctx context.Context, items []T) (results []R, err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case error, string:
			results, err = nil, domain.NewError(domain.CodeInternal, "panic in a commit: %v\n%s", p, debug.Stack())
		default:
			panic(p)
		}
	}()
	results, err = c.commit(ctx, items)
	if err == nil && len(results) != len(items) {
		return nil, domain.NewError(domain.CodeInternal, "%d items got %d results", len(items), len(results))
	}
	return results, err
}

// handOver orders the first that waits to commit; c.mu is held.
func (c *Committer[T, R]) handOver() {
	if len(c.waiting) == 0 {
		c.busy = false
		return
	}
	c.waiting[0].lead <- struct{}{}
}
