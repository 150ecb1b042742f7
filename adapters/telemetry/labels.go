package telemetry

import (
	"net/http"
	"strconv"
	"sync"

	"github.com/niyanta/niyanta/core/domain"
)

// other is the value of a label for whatever has no series of its own.
const other = "other"

// The values that labels may have. What a client chooses (a method, a type, a name) becomes the
// value of a label only if it is in one of these sets, so that clients cannot make series.
var (
	methods = setOf(http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodConnect, http.MethodOptions, http.MethodTrace)
	tierNames = setOf(domain.Tiers()...)
)

func setOf[T ~string](values ...T) map[string]bool {
	set := make(map[string]bool, len(values))
	for _, v := range values {
		set[string(v)] = true
	}
	return set
}

// within returns value if it is in the set, otherwise other.
func within(set map[string]bool, value string) string {
	if set[value] {
		return value
	}
	return other
}

// statusClass returns the class of an HTTP status, "2xx" for 200.
func statusClass(status int) string {
	if status < 100 || status > 599 {
		return other
	}
	return strconv.Itoa(status/100) + "xx"
}

// firstFew bounds a label whose values come from this program but are not listed here, as routes
// and names of rare events. The first values have series of their own; those beyond the limit are
// other. Safe for concurrent use.
type firstFew struct {
	limit int
	mu    sync.RWMutex
	seen  map[string]bool
}

func (f *firstFew) value(v string) string {
	f.mu.RLock()
	known, full := f.seen[v], len(f.seen) >= f.limit
	f.mu.RUnlock()
	switch {
	case known:
		return v
	case full:
		return other
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.seen) >= f.limit && !f.seen[v] {
		return other
	}
	if f.seen == nil {
		f.seen = map[string]bool{}
	}
	f.seen[v] = true
	return v
}
