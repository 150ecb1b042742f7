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
	// Streams are those of everybody, StreamsPerKey those of each key.
	Streams, StreamsPerKey int
	// WorkerRequests and WorkerPolls are those of the worker protocol.
	WorkerRequests, WorkerPolls int
}

// reserves are the places of everybody.
type reserves struct {
	customers, operators, workers reserve
	streams                       *pool
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
		streams: newPool("streams", b.Streams, b.StreamsPerKey),
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

// pool has a number of places, of which each holder may take some: a customer, or a key.
type pool struct {
	what      string
	all, each int

	mu    sync.Mutex
	total int
	by    map[string]int
}

func newPool(what string, all, each int) *pool {
	return &pool{what: what, all: all, each: each, by: map[string]int{}}
}

// enter takes n places, or returns the error to answer with. An empty holder may take all.
func (p *pool) enter(holder string, n int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case holder != "" && p.by[holder]+n > p.each:
		err := domain.Unavailable(retryDefault, "more than %d %s at once", p.each, p.what)
		return err.With("limit", p.each)
	case p.total+n > p.all:
		err := domain.Unavailable(retryDefault, "more than %d %s at once at this coordinator", p.all, p.what)
		return err.With("limit", p.all)
	}
	p.total += n
	if holder != "" {
		p.by[holder] += n
	}
	return nil
}

func (p *pool) leave(holder string, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total -= n
	if holder == "" {
		return
	}
	if p.by[holder] -= n; p.by[holder] == 0 {
		delete(p.by, holder)
	}
}

// largest returns the number of places that one request may take.
func (p *pool) largest(holder string) int {
	if holder == "" {
		return p.all
	}
	return min(p.all, p.each)
}

// place is what a request in flight has taken. Only the request's handler uses it.
type place struct {
	from             *pool
	taken            int // of from
	holder           string
	waiting, streams *pool
	customer, key    string
	refused          func() // counts a refusal
}

// limitInFlight gives each request a place, or refuses it.
func (a *api) limitInFlight(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := scopeOf(r.Context())
		if s.op.tag == "system" {
			next.ServeHTTP(w, r)
			return
		}
		res, customer := a.reserves.of(s), string(s.principal.CustomerID)
		s.place = &place{
			from: res.short, taken: 1, holder: customer, waiting: res.waiting, streams: a.reserves.streams,
			customer: customer, key: string(s.principal.KeyID),
			refused: func() { a.throttled(r.Context(), "in_flight") },
		}
		if err := s.place.from.enter(customer, 1); err != nil {
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
func (p *place) startWaiting() error { return p.move(p.waiting, p.customer) }

// startStreaming is startWaiting for a stream.
func (p *place) startStreaming() error { return p.move(p.streams, p.key) }

func (p *place) move(to *pool, holder string) error {
	if p.from == to {
		return nil
	}
	if err := to.enter(holder, 1); err != nil {
		p.refused()
		return err
	}
	p.leave()
	p.from, p.holder, p.taken = to, holder, 1
	return nil
}

// widen takes more places, n in all, for a request that needs as much memory as n others. If there
// are never that many, it takes all that one request may.
func (p *place) widen(n int) error {
	more := min(n, p.from.largest(p.holder)) - p.taken
	if err := p.from.enter(p.holder, more); err != nil {
		p.refused()
		return err
	}
	p.taken += more
	return nil
}

// answerCopies is how often an answer is in memory while it is made: as it was read, as JSON, and
// what JSON needs to grow.
const answerCopies = 4

// carry takes the places for an answer with so many bytes of payloads.
func (p *place) carry(size int) error {
	if n := 1 + answerCopies*size/maxBody; n > p.taken {
		return p.widen(n)
	}
	return nil
}

func (p *place) leave() { p.from.leave(p.holder, p.taken) }
