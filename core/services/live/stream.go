package live

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// pageLimit bounds how many events a stream reads at once, outcomesAtOnce how many of them may
	// have a result, which can be large.
	pageLimit      = 100
	outcomesAtOnce = 8
	// A stream that has read events waits before it reads again, the longer the more often that
	// happens: otherwise a busy workload costs a read for each of its events. restAfter is how long
	// nothing happens before the next event is read at once.
	pauseStep  = 5 * time.Millisecond
	pauseLimit = 100 * time.Millisecond
	restAfter  = time.Second
	// retryInterval is the time between two reads while an event is on its way or the store fails.
	retryInterval = 100 * time.Millisecond
)

// Stream is one reader of events. One goroutine may use it.
type Stream struct {
	service      *Service
	customer     domain.CustomerID
	workload     domain.WorkloadID // empty: all of the customer
	all          bool              // of all customers
	woken        chan struct{}
	subscription ports.Subscription // nil: there is none
	final        bool               // the workload has ended, and nothing is added
	ended        bool
	pending      []domain.StreamEvent // read, but not returned yet
	reads        int                  // in a row that found events
	readAt       time.Time            // the last of them

	mu sync.Mutex
	at domain.Position // read up to here
}

func (st *Stream) wake() {
	select {
	case st.woken <- struct{}{}:
	default:
	}
}

func (st *Stream) position() domain.Position {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.at
}

func (st *Stream) moveTo(at domain.Position) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.at = at
}

// Next returns the next events, at least one. It waits for them until ctx ends and returns the
// error of ctx then. It returns io.EOF behind the last event of a workload. While the store is
// unavailable it waits, too.
func (st *Stream) Next(ctx context.Context) ([]domain.StreamEvent, error) {
	for {
		events, err := st.step(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case domain.IsCode(err, domain.CodeUnavailable):
			st.service.deps.Observer.Count("stream_read_failed", 1)
			if err := pause(ctx, retryInterval); err != nil {
				return nil, err
			}
		case err != nil || len(events) > 0:
			return events, err
		}
	}
}

// step returns the next events if they were read before. Otherwise it waits until the stream is
// woken and reads. If it fails, the next step does the same again.
func (st *Stream) step(ctx context.Context) (events []domain.StreamEvent, err error) {
	switch {
	case len(st.pending) > 0:
		return st.deliver(ctx)
	case st.ended:
		return nil, io.EOF
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-st.woken:
	}
	defer func() {
		if err != nil {
			st.wake()
		}
	}()
	since := st.service.deps.Clock.Now().Sub(st.readAt)
	if since >= restAfter {
		st.reads = 0
	}
	if err := pause(ctx, min(time.Duration(st.reads)*pauseStep, pauseLimit)-since); err != nil {
		return nil, err
	}
	again, err := st.read(ctx)
	if err != nil || !again {
		return nil, err
	}
	st.wake()
	if len(st.pending) == 0 {
		return nil, pause(ctx, retryInterval)
	}
	return nil, nil
}

// Ended reports whether there is nothing to read, now or later, because the workload has ended.
func (st *Stream) Ended(ctx context.Context) (bool, error) {
	if !st.final || len(st.pending) > 0 {
		return false, nil
	}
	_, err := st.read(ctx)
	return st.ended, err
}

// Close ends the stream.
func (st *Stream) Close() {
	if st.subscription != nil {
		_ = st.subscription.Close() // one that does not close costs only its buffer
	}
	st.service.mu.Lock()
	defer st.service.mu.Unlock()
	delete(st.service.streams, st)
}

// pause returns after d, or with the error of ctx when that ends before.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-timer.Done()
	return ctx.Err()
}

// read reads the next page. It reports whether to read again soon, because an event is on its way.
func (st *Stream) read(ctx context.Context) (again bool, err error) {
	at := st.position()
	if st.workload != "" {
		page, err := st.service.deps.Events.OfWorkload(ctx, st.customer, st.workload, at, pageLimit)
		if err != nil {
			return false, err
		}
		st.took(page.Events(at), page.MoreAudit || page.MoreLines)
		st.ended = st.final && len(st.pending) == 0
		return false, nil
	}
	h, err := st.service.deps.Events.Horizon(ctx)
	if err != nil || h.Settled <= at.Audit {
		return h.Last > h.Settled, err
	}
	var audit []domain.AuditEvent
	if st.all {
		audit, err = st.service.deps.Events.OfAll(ctx, at.Audit, h.Settled, pageLimit)
	} else {
		audit, err = st.service.deps.Events.OfCustomer(ctx, st.customer, at.Audit, h.Settled, pageLimit)
	}
	if err != nil {
		return false, err
	}
	more := len(audit) == pageLimit
	st.took(domain.StatusEvents(audit), more)
	if !more {
		st.moveTo(domain.Position{Audit: h.Settled})
	}
	return h.Last > h.Settled, nil
}

// took keeps events that were read, to be delivered. more reports whether there are more.
func (st *Stream) took(events []domain.StreamEvent, more bool) {
	if len(events) == 0 {
		return
	}
	st.pending = events
	st.moveTo(events[len(events)-1].Position)
	st.readAt = st.service.deps.Clock.Now()
	st.reads++
	if more {
		st.reads = 0
		st.wake()
	}
}

// deliver returns the first pending events with what they need. If that fails, they stay pending.
func (st *Stream) deliver(ctx context.Context) ([]domain.StreamEvent, error) {
	ends := map[domain.CustomerID][]domain.WorkloadID{}
	n, count := 0, 0
	for n < len(st.pending) && count < outcomesAtOnce {
		if e := &st.pending[n]; e.Kind == domain.StreamCompleted || e.Kind == domain.StreamFailed {
			ends[e.Audit.CustomerID] = append(ends[e.Audit.CustomerID], e.Audit.WorkloadID)
			count++
		}
		n++
	}
	events := st.pending[:n]
	if err := st.fill(ctx, events, ends); err != nil {
		return nil, err
	}
	st.pending = st.pending[n:]
	st.ended = st.workload != "" && events[n-1].Final()
	return events, nil
}

// fill adds the results and failures of workloads that have ended. They do not change any more.
func (st *Stream) fill(
	ctx context.Context, events []domain.StreamEvent, ends map[domain.CustomerID][]domain.WorkloadID,
) error {
	outcomes := map[domain.WorkloadID]*domain.Workload{}
	for customer, ids := range ends {
		found, err := st.service.deps.Workloads.Find(ctx, customer, ids...)
		if err != nil {
			return err
		}
		for i := range found {
			outcomes[found[i].ID] = &found[i]
		}
	}
	for i := range events {
		e := &events[i]
		if e.Audit == nil || !e.Audit.To.Final() {
			continue
		}
		if w := outcomes[e.Audit.WorkloadID]; w != nil {
			e.Result, e.Failure = w.Result, w.Failure
		}
	}
	return nil
}
