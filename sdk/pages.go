package niyanta

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
)

// pageSize is the number of items on a page of the lists that are read page after page.
const pageSize = 100

// Collect returns the items of a list, or the first error:
//
//	workers, err := niyanta.Collect(client.Workers(ctx))
func Collect[T any](items iter.Seq2[T, error]) ([]T, error) {
	var all []T
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, nil
}

// pages yields the items of a list from a cursor on (nil: from its beginning). An error is the last
// that it yields. name is that of the collection; call asks for one page.
func pages[T any](
	ctx context.Context, name string, cursor *string, call func(cursor *string) (*http.Response, error),
) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for at := cursor; ; {
			items, next, err := page[T](ctx, name, at, call)
			for _, item := range items {
				if !yield(item, nil) {
					return
				}
			}
			if err != nil {
				yield(*new(T), err)
			}
			if err != nil || next == nil {
				return
			}
			at = next
		}
	}
}

// page reads one page. next stands for the one behind it; nil: there is none.
func page[T any](
	ctx context.Context, name string, cursor *string, call func(cursor *string) (*http.Response, error),
) (items []T, next *string, err error) {
	answer, err := read[map[string]json.RawMessage](ctx)(call(cursor))
	if err != nil {
		return nil, nil, err
	}
	var at Pagination
	err = errors.Join(json.Unmarshal(answer[name], &items), json.Unmarshal(answer["pagination"], &at))
	if err == nil && cursor != nil && at.NextCursor != nil && *cursor == *at.NextCursor {
		err = errors.New("the page behind it is the same")
	}
	if err != nil {
		return nil, nil, &Error{Code: CodeUnavailable, Message: "the answer is not a page of " + name, Cause: err}
	}
	return items, at.NextCursor, nil
}
