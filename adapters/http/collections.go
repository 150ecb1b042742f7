package http

import (
	"cmp"
	"slices"

	"github.com/niyanta/niyanta/adapters/http/gen"
)

// page returns the page that limit and cursor ask for, of a list that the store returns whole. key orders the
// items and is different for each. bound is what the cursor is bound to.
func page[T any](
	a *api, all []T, key func(*T) string, limit *int, cursor *string, bound string,
) ([]T, gen.Pagination, error) {
	slices.SortFunc(all, func(x, y T) int { return cmp.Compare(key(&x), key(&y)) })
	if c := deref(cursor); c != "" {
		var after string
		if err := a.cursors.decode(c, &after, bound); err != nil {
			return nil, gen.Pagination{}, err
		}
		all = slices.DeleteFunc(all, func(item T) bool { return key(&item) <= after })
	}
	return paginate(a, all, key, limitOr(limit, defaultPage), bound)
}

// paginate cuts what was found down to limit items. It takes one item more as a sign that there is another page,
// whose cursor holds the position of the last item.
func paginate[T, P any](a *api, found []T, position func(*T) P, limit int, bound string) ([]T, gen.Pagination, error) {
	p := gen.Pagination{Limit: limit, HasMore: len(found) > limit}
	if !p.HasMore {
		return found, p, nil
	}
	next, err := a.cursors.encode(position(&found[limit-1]), bound)
	p.NextCursor = &next
	return found[:limit], p, err
}

func limitOr(limit *int, otherwise int) int {
	if limit == nil {
		return otherwise
	}
	return *limit
}

func mapSlice[In, Out any](in []In, f func(*In) Out) []Out {
	out := make([]Out, len(in))
	for i := range in {
		out[i] = f(&in[i])
	}
	return out
}

func emptyIfNil[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return m
}

func emptyIfNone[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
