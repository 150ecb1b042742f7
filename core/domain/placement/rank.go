package placement

import (
	"container/heap"

	"github.com/niyanta/niyanta/core/domain"
)

// rank is a place in the queue. The smallest rank is served next.
type rank struct {
	share float64 // the customer's tag; only with PolicyFair
	at    int64   // virtual time, in nanoseconds
	id    domain.WorkloadID
}

// before reports whether a is served before b.
func (a rank) before(b rank) bool {
	switch {
	case a.share != b.share:
		return a.share < b.share
	case a.at != b.at:
		return a.at < b.at
	}
	return a.id < b.id
}

// rankHeap orders items by rank. The rank of an item may grow while it is in the heap, but never
// shrinks. So the heap reads a rank again only when its item comes to the top.
type rankHeap[T any] struct {
	items []ranked[T]
	// rank returns the current rank of an item; ok is false when the item leaves the heap.
	rank func(T) (r rank, ok bool)
}

type ranked[T any] struct {
	rank rank
	item T
}

// fill replaces the items of the heap.
func (h *rankHeap[T]) fill(items []T) {
	h.items = h.items[:0]
	for _, item := range items {
		if r, ok := h.rank(item); ok {
			h.items = append(h.items, ranked[T]{r, item})
		}
	}
	heap.Init(h)
}

// top returns the item with the smallest rank. It reads the ranks that may have grown and drops the
// items that leave the heap. ok is false when the heap is empty.
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

// Push does nothing: fill is the only way to add items.
func (h *rankHeap[T]) Push(any) {}

// Pop removes the last item.
func (h *rankHeap[T]) Pop() any {
	h.items = h.items[:len(h.items)-1]
	return nil
}
