// Package ports holds the interfaces through which the core reaches the outside. One file per port;
// each method's comment is its contract: atomicity, concurrency, error codes, who retries,
// ownership.
//
// What every method of every port promises, unless its comment says otherwise:
//   - It is safe for concurrent use.
//   - Arguments are not kept or changed after the call; results belong to the caller.
//   - A context that is cancelled or past its deadline surfaces as context.Canceled or
//     context.DeadlineExceeded (errors.Is), never as another code.
//   - A failed call changes nothing, unless the error is CodeUnavailable: then the outcome is
//     unknown and
//     the caller may repeat the call, because writes are idempotent by id or fenced by generation.
//   - Another customer's id behaves exactly like a missing one: CodeNotFound, or an empty list. An
//     empty customer
//     is a customer that owns nothing, never any; what works across customers is a method of its
//     own.
//   - "The store's clock" is one clock for all handles on the same storage. No adapter compares a
//     caller's time with it.
//
// What does not live here: implementations, wire formats of a technology, defaults.
package ports
