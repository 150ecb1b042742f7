package http

import (
	"net/http"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Limits on client requests in flight, long polls included. Each request has a bound on its memory,
// so these limits bound what clients can make a coordinator hold. Workers, health checks and
// metrics are not counted: they are served however many requests clients send.
const (
	maxInFlight            = 4096
	maxInFlightPerCustomer = 512
)

// inFlight counts the requests that are being served, in all and by customer.
type inFlight struct {
	mu    sync.Mutex
	total int
	by    map[domain.CustomerID]int
}

// enter counts a request in, or returns the error to answer with.
func (f *inFlight) enter(customer domain.CustomerID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case customer != "" && f.by[customer] >= maxInFlightPerCustomer:
		err := domain.NewError(domain.CodeRateLimited, "more than %d requests at once", maxInFlightPerCustomer)
		err.RetryAfter = time.Second
		return err.With("limit", maxInFlightPerCustomer).With("window_seconds", 0) // at once, not per time
	case f.total >= maxInFlight:
		err := domain.Unavailable(retryDefault, "more than %d requests at once at this coordinator", maxInFlight)
		return err.With("limit", maxInFlight)
	}
	f.total++
	if customer != "" {
		f.by[customer]++
	}
	return nil
}

func (f *inFlight) leave(customer domain.CustomerID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total--
	if customer == "" {
		return
	}
	if f.by[customer]--; f.by[customer] == 0 {
		delete(f.by, customer)
	}
}

// limitInFlight refuses client requests beyond the limits.
func (a *api) limitInFlight(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := scopeOf(r.Context())
		if s.op.tag == "worker" || s.op.tag == "system" {
			next.ServeHTTP(w, r)
			return
		}
		customer := s.principal.CustomerID
		if err := a.inFlight.enter(customer); err != nil {
			a.Observer.Count("requests_refused_in_flight", 1)
			a.fail(w, r, err)
			return
		}
		defer a.inFlight.leave(customer)
		next.ServeHTTP(w, r)
	})
}
