package http

import (
	"net/http"
	"sync"

	"github.com/niyanta/niyanta/core/domain"
)

// InFlight bounds the requests that are served at the same time. Each request has a bound on its
// memory, so these bound what clients can make a coordinator hold. Clients, workers and operators
// have places of their own, so that none of them can take those of another. Requests that wait, as
// long polls do, have other places than those that are answered at once.
//
// Health, readiness, metrics and the documentation are not bounded: they hold nothing, and must
// answer however busy a coordinator is.
type InFlight struct {
	// Requests are those of customers, RequestsPerCustomer those of each of them. Keys that belong
	// to no customer, except those of workers, together have as many as one customer.
	Requests, RequestsPerCustomer int
	// Waits and WaitsPerCustomer are the same for requests that wait.
	Waits, WaitsPerCustomer int
	// WorkerRequests and WorkerPolls are those of the worker protocol.
	WorkerRequests, WorkerPolls int
}

// reserves are the places of everybody.
type reserves struct {
	customers, operators, workers reserve
}

// reserve has the places of one kind of caller: for short requests and for those that wait.
type reserve struct{ short, waiting *pool }

func newReserves(b InFlight) reserves {
	return reserves{
		customers: reserve{
			newPool("requests", b.Requests, b.RequestsPerCustomer),
			newPool("long polls", b.Waits, b.WaitsPerCustomer),
		},
		operators: reserve{
			newPool("requests of operators", b.RequestsPerCustomer, 0),
			newPool("long polls of operators", b.WaitsPerCustomer, 0),
		},
		workers: reserve{
			newPool("requests of workers", b.WorkerRequests, 0),
			newPool("polls of workers", b.WorkerPolls, 0),
		},
	}
}

// of returns the reserve that a request takes its place from.
func (r *reserves) of(s *scope) reserve {
	switch {
	case s.op.tag == "worker":
		return r.workers
	case s.principal.CustomerID == "":
		return r.operators
	}
	return r.customers
}

// pool has a number of places, of which each customer may take perCustomer.
type pool struct {
	what             string
	all, perCustomer int

	mu    sync.Mutex
	total int
	by    map[domain.CustomerID]int
}

func newPool(what string, all, perCustomer int) *pool {
	return &pool{what: what, all: all, perCustomer: perCustomer, by: map[domain.CustomerID]int{}}
}

// enter takes n places, or returns the error to answer with.
func (p *pool) enter(customer domain.CustomerID, n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case customer != "" && p.by[customer]+n > p.perCustomer:
		err := domain.Unavailable(retryDefault, "more than %d %s at once", p.perCustomer, p.what)
		return err.With("limit", p.perCustomer)
	case p.total+n > p.all:
		err := domain.Unavailable(retryDefault, "more than %d %s at once at this coordinator", p.all, p.what)
		return err.With("limit", p.all)
	}
	p.total += n
	if customer != "" {
		p.by[customer] += n
	}
	return nil
}

func (p *pool) leave(customer domain.CustomerID, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total -= n
	if customer == "" {
		return
	}
	if p.by[customer] -= n; p.by[customer] == 0 {
		delete(p.by, customer)
	}
}

// largest returns the number of places that one request may take.
func (p *pool) largest(customer domain.CustomerID) int {
	if customer == "" {
		return p.all
	}
	return min(p.all, p.perCustomer)
}

// place is what a request in flight has taken. Only the request's handler uses it.
type place struct {
	from     *pool
	taken    int // of from
	waiting  *pool
	customer domain.CustomerID
	refused  func() // counts a refusal
}

// limitInFlight gives each request a place, or refuses it.
func (a *api) limitInFlight(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := scopeOf(r.Context())
		if s.op.tag == "system" {
			next.ServeHTTP(w, r)
			return
		}
		res := a.reserves.of(s)
		s.place = &place{res.short, 1, res.waiting, s.principal.CustomerID, func() {
			a.Observer.Count("requests_refused_in_flight", 1)
		}}
		if err := s.place.from.enter(s.place.customer, s.place.taken); err != nil {
			s.place.refused()
			a.fail(w, r, err)
			return
		}
		defer s.place.leave()
		next.ServeHTTP(w, r)
	})
}

// startWaiting gives the place among short requests back for one among those that wait. The request
// keeps that one until it is answered.
func (p *place) startWaiting() error {
	if p.from == p.waiting {
		return nil
	}
	if err := p.waiting.enter(p.customer, 1); err != nil {
		p.refused()
		return err
	}
	p.leave()
	p.from, p.taken = p.waiting, 1
	return nil
}

// widen takes more places, n in all, for a request that needs as much memory as n others. If there
// are never that many, it takes all that one request may.
func (p *place) widen(n int) error {
	more := min(n, p.from.largest(p.customer)) - p.taken
	if err := p.from.enter(p.customer, more); err != nil {
		p.refused()
		return err
	}
	p.taken += more
	return nil
}

func (p *place) leave() { p.from.leave(p.customer, p.taken) }
