package days

import (
	"container/heap"
	"time"
)

// clock is virtual; only the event queue moves it.
type clock struct{ now time.Time }

// Now implements ports.Clock.
func (c *clock) Now() time.Time { return c.now }

// event is something that happens at a time.
type event struct {
	at time.Time
	n  uint64 // events of one instant happen in the order they were planned in
	do func() error
}

// timeline is the events to come, earliest first.
type timeline struct {
	events []event
	n      uint64
}

// plan adds an event.
func (t *timeline) plan(at time.Time, do func() error) {
	t.n++
	heap.Push(t, event{at, t.n, do})
}

// next is when something happens next; ok is false when nothing will.
func (t *timeline) next() (at time.Time, ok bool) {
	if len(t.events) == 0 {
		return time.Time{}, false
	}
	return t.events[0].at, true
}

// take removes the next event.
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
