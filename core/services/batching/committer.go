package batching

import (
	"context"
	"runtime/debug"
	"sync"

	"github.com/niyanta/niyanta/core/domain"
)

// Committer gathers the items of concurrent callers into batches. It has no goroutine of its own.
// A caller that finds no commit in progress commits for everybody in the queue, and then hands over
// to one of the callers that wait.
type Committer[T, R any] struct {
	commit func(ctx context.Context, items []T) ([]R, error)
	limit  int
	weigh  func(*T) int // nil: items weigh nothing
	most   int

	mu      sync.Mutex
	waiting []*call[T, R]
	busy    bool
}

// call is one caller's items and, later, its answer.
type call[T, R any] struct {
	items   []T
	weight  int
	results []R
	err     error
	done    chan struct{} // closed when answered
	// answered is used only by the caller that commits.
	answered bool
	lead     chan struct{} // receives a token when this caller must commit the next batch
}

// NewCommitter returns a Committer. A batch holds at most limit items, but the items of one caller
// are never split. commit must return one result per item, in order. Its error goes to every caller
// of the batch. When it is CodeInternal, the items of each caller are committed separately.
func NewCommitter[T, R any](limit int, commit func(ctx context.Context, items []T) ([]R, error)) *Committer[T, R] {
	return &Committer[T, R]{commit: commit, limit: limit}
}

// Weigh bounds what the items of a batch weigh together, too. So a batch of many large items does
// not take so long that those who share it fail with it.
func (c *Committer[T, R]) Weigh(most int, weigh func(*T) int) *Committer[T, R] {
	c.most, c.weigh = most, weigh
	return c
}

// Do commits items together with those of concurrent callers and returns their results. If ctx ends
// while the caller waits, Do returns its error; the items may be committed all the same. The commit
// itself is not cancelled with the caller that executes it, because it acts for others too.
func (c *Committer[T, R]) Do(ctx context.Context, items ...T) ([]R, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	me := &call[T, R]{items: items, done: make(chan struct{}), lead: make(chan struct{}, 1)}
	for i := range items {
		if c.weigh != nil {
			me.weight += c.weigh(&items[i])
		}
	}
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

// abandon removes a call from the queue. If it was told to commit meanwhile, it hands over.
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
		c.handOverLocked()
	default:
	}
}

// flush commits one batch and hands over. The items of its caller come first.
func (c *Committer[T, R]) flush(ctx context.Context) {
	c.mu.Lock()
	var batch []*call[T, R]
	n, weight := 0, 0
	for len(c.waiting) > 0 && (n == 0 || n+len(c.waiting[0].items) <= c.limit && weight+c.waiting[0].weight <= c.most) {
		n, weight = n+len(c.waiting[0].items), weight+c.waiting[0].weight
		batch = append(batch, c.waiting[0])
		c.waiting = c.waiting[1:]
	}
	c.mu.Unlock()
	items := make([]T, 0, n)
	for _, b := range batch {
		items = append(items, b.items...)
	}
	defer func() { // also when safely lets a panic pass
		for _, b := range batch {
			if !b.answered {
				b.err = domain.NewError(domain.CodeInternal, "the commit did not return")
				close(b.done)
			}
		}
		c.mu.Lock()
		c.handOverLocked()
		c.mu.Unlock()
	}()
	results, err := c.safely(ctx, items)
	for _, b := range batch {
		switch {
		case err == nil:
			b.results, results = results[:len(b.items):len(b.items)], results[len(b.items):]
		case domain.IsCode(err, domain.CodeInternal) && len(batch) > 1:
			// The items of one caller cannot be committed. The others must not fail with them.
			b.results, b.err = c.safely(ctx, b.items)
		default:
			b.err = err
		}
		b.answered = true
		close(b.done)
	}
}

// safely commits items. It turns a panic with an error or a string into CodeInternal, so that only
// the caller whose items cause it fails. A number of results that differs from the number of items
// is CodeInternal, too. A panic with any other value passes: the simulation ends a process so.
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

// handOverLocked tells the first caller in the queue to commit the next batch. It needs c.mu.
func (c *Committer[T, R]) handOverLocked() {
	if len(c.waiting) == 0 {
		c.busy = false
		return
	}
	c.waiting[0].lead <- struct{}{}
}
