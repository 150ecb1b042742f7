package placement

import (
	"container/heap"

	"github.com/niyanta/niyanta/core/domain"
)

// rank is a place in the queue: the smallest is next.
type rank struct {
	share float64 // of the customer, with PolicyFair
	at    int64   // virtual time, in nanoseconds
	id    domain.WorkloadID
}

func (a rank) before(b rank) bool {
	switch {
	case a.share != b.share:
		return a.share < b.share
	case a.at != b.at:
		return a.at < b.at
	}
	return a.id < b.id
}

// rankHeap orders what has a rank that never gets smaller. Ranks are looked at again only when they come to the top.
type rankHeap[T any] struct {
	items []ranked[T]
	// rank tells the current rank; ok is false for what has nothing to offer any more.
	rank func(T) (r rank, ok bool)
}

type ranked[T any] struct {
	rank rank
	item T
}

// fill replaces what is in the heap.
func (h *rankHeap[T]) fill(items []T) {
	h.items = h.items[:0]
	for _, item := range items {
		if r, ok := h.rank(item); ok {
			h.items = append(h.items, ranked[T]{r, item})
		}
	}
	heap.Init(h)
}

// top returns what is first, bringing the heap up to date on the way.
func (h *rankHeap[T]) top() (item T, r rank, ok bool) {
	for len(h.items) > 0 {
		first := &h.items[0]
		now, offers := h.rank(first.item)
		switch {
		case !offers:
			heap.Pop(h)
		case now != first.rank:
			first.rank = now
			heap.Fix(h, 0)
		default:
			return first.item, now, true
		}
	}
	return item, r, false
}

// Len, Less, Swap, Push and Pop implement heap.Interface.
func (h *rankHeap[T]) Len() int           { return len(h.items) }
func (h *rankHeap[T]) Less(i, j int) bool { return h.items[i].rank.before(h.items[j].rank) }
func (h *rankHeap[T]) Swap(i, j int)      { h.items[i], h.items[j] = h.items[j], h.items[i] }

// Push is not used: heaps are filled as a whole.
func (h *rankHeap[T]) Push(any) {}

// Pop removes the last.
func (h *rankHeap[T]) Pop() any {
	h.items = h.items[:len(h.items)-1]
	return nil
}
