package domain

import "time"

// Answer is the answer to an API request that was sent with an idempotency key. It is kept so that
// the request can be repeated.
type Answer struct {
	CustomerID CustomerID
	// Request identifies the request by its key, its method and its path; see RequestID. Digest is
	// that of its body.
	Request string
	Digest  [32]byte
	Body    JSON
	At      time.Time
}

// Forgotten reports whether the key may be used anew.
func (a *Answer) Forgotten(now time.Time) bool { return now.Sub(a.At) >= IdempotencyRetention }
