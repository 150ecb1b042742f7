package days

import (
	"container/heap"
	"time"
)

// clock is a virtual clock. Only the timeline moves it.
type clock struct{ now time.Time }

// Now implements ports.Clock.
func (c *clock) Now() time.Time { return c.now }

// event is a function to call at a time.
type event struct {
	at time.Time
	n  uint64 // events of the same time happen in the order in which they were planned
	do func() error
}

// timeline is a heap of events, earliest first.
type timeline struct {
	events []event
	n      uint64
}

// plan adds an event.
func (t *timeline) plan(at time.Time, do func() error) {
	t.n++
	heap.Push(t, event{at, t.n, do})
}

// next returns the time of the next event. ok is false when there is none.
func (t *timeline) next() (at time.Time, ok bool) {
	if len(t.events) == 0 {
		return time.Time{}, false
	}
	return t.events[0].at, true
}

// take removes and returns the next event.
func (t *timeline) take() func() error {
	do := t.events[0].do
	heap.Pop(t)
	return do
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (t *timeline) Len() int { return len(t.events) }
func (t *timeline) Less(i, j int) bool {
	a, b := &t.events[i], &t.events[j]
	return a.at.Before(b.at) || a.at.Equal(b.at) && a.n < b.n
}
func (t *timeline) Swap(i, j int) { t.events[i], t.events[j] = t.events[j], t.events[i] }

// Push adds x, an event, at the end.
func (t *timeline) Push(x any) {
	e, ok := x.(event)
	if !ok {
		panic("days: not an event") // a mistake in this package
	}
	t.events = append(t.events, e)
}

// Pop removes the last; take has read what it needs of it.
func (t *timeline) Pop() any {
	last := len(t.events) - 1
	t.events[last] = event{}
	t.events = t.events[:last]
	return nil
}
