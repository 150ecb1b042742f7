package live

import (
	"context"
	"slices"
	"sync"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Deps are what the service stands on.
type Deps struct {
	Events    ports.EventStore
	Workloads Finder
	Listener  ports.Listener
	Clock     ports.Clock
	Observer  ports.Observer
}

// Finder finds a customer's workloads, also in the archive (lifecycle.Service). It leaves out those
// that do not exist.
type Finder interface {
	Find(ctx context.Context, customer domain.CustomerID, ids ...domain.WorkloadID) ([]domain.Workload, error)
}

// Service is the service of live updates. Safe for concurrent use.
type Service struct {
	deps Deps

	mu      sync.Mutex
	streams map[*Stream]bool
}

// New returns the service.
func New(deps Deps) *Service {
	return &Service{deps: deps, streams: map[*Stream]bool{}}
}

// Streams returns how many streams are open.
func (s *Service) Streams() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams)
}

// Workload opens a stream of a customer's workload: everything behind from, or from the beginning
// if that is nil. The stream ends behind the event that ends the workload. Close it. CodeNotFound
// when the workload is missing or another's.
func (s *Service) Workload(
	ctx context.Context, customer domain.CustomerID, id domain.WorkloadID, from *domain.Position,
) (*Stream, error) {
	found, err := s.deps.Workloads.Find(ctx, customer, id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, domain.NotFound("workload")
	}
	st := &Stream{customer: customer, workload: id, final: found[0].Status.Final()}
	if from != nil {
		ends, err := s.deps.Events.Ends(ctx, []domain.WorkloadID{id})
		if err != nil {
			return nil, err
		}
		// A position ahead of the store is from before it was restored to an earlier state. But the
		// log lines of a workload that has finished are removed after their time, all of them.
		end := ends[id]
		purged := st.final && end.Log == 0
		if from.Audit <= end.Audit && (from.Log <= end.Log || purged) {
			st.at = *from
		}
	}
	s.open(ctx, st, ports.FollowedWorkload(id))
	return st, nil
}

// Customer opens a stream of a customer's workloads: everything behind from but log lines, or what
// happens from now on if that is nil. It does not end by itself. Close it.
func (s *Service) Customer(ctx context.Context, customer domain.CustomerID, from *domain.Position) (*Stream, error) {
	return s.openMany(ctx, &Stream{customer: customer}, from, ports.FollowedCustomer(customer))
}

// All is Customer for the workloads of all customers.
func (s *Service) All(ctx context.Context, from *domain.Position) (*Stream, error) {
	return s.openMany(ctx, &Stream{all: true}, from, ports.FollowedAll())
}

func (s *Service) openMany(
	ctx context.Context, st *Stream, from *domain.Position, f ports.Followed,
) (*Stream, error) {
	h, err := s.deps.Events.Horizon(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case from == nil:
		st.at.Audit = h.Settled
	case from.Audit <= max(h.Settled, h.Last):
		st.at.Audit = from.Audit
	default:
		// A position ahead of the store is from before it was restored to an earlier state.
		st.at.Audit = h.Settled
		st.pending = []domain.StreamEvent{{Kind: domain.StreamGap, Position: st.at}}
	}
	s.open(ctx, st, f)
	return st, nil
}

// open registers a stream and has it woken by updates. While the bus is disconnected, Tick wakes
// it.
func (s *Service) open(ctx context.Context, st *Stream, f ports.Followed) {
	st.service, st.woken = s, make(chan struct{}, 1)
	st.wake() // for what was there before
	if sub, err := s.deps.Listener.Updates(ctx, f, func(ports.Update) { st.wake() }); err == nil {
		st.subscription = sub
	} else {
		s.deps.Observer.Count("stream_not_subscribed", 1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[st] = true
}

// tickBatch is how many streams one read of Tick is for.
const tickBatch = 500

// Tick wakes the streams that missed an update. It reads the newest position of what they follow,
// for many at once.
func (s *Service) Tick(ctx context.Context) error {
	ofWorkloads, ofCustomers := map[domain.WorkloadID][]*Stream{}, map[domain.CustomerID][]*Stream{}
	s.mu.Lock()
	for st := range s.streams {
		switch {
		case st.all:
			st.wake()
		case st.workload != "":
			ofWorkloads[st.workload] = append(ofWorkloads[st.workload], st)
		default:
			ofCustomers[st.customer] = append(ofCustomers[st.customer], st)
		}
	}
	s.mu.Unlock()
	err := inBatches(ofWorkloads, func(ids []domain.WorkloadID) error {
		ends, err := s.deps.Events.Ends(ctx, ids)
		wakeBehind(ofWorkloads, ends, func(end, at domain.Position) bool {
			return end.Audit > at.Audit || end.Log > at.Log
		})
		return err
	})
	if err != nil {
		return err
	}
	return inBatches(ofCustomers, func(ids []domain.CustomerID) error {
		ends, err := s.deps.Events.CustomerEnds(ctx, ids)
		wakeBehind(ofCustomers, ends, func(end int64, at domain.Position) bool { return end > at.Audit })
		return err
	})
}

// inBatches calls read with the keys, up to tickBatch at a time.
func inBatches[K ~string](streams map[K][]*Stream, read func([]K) error) error {
	ids := make([]K, 0, len(streams))
	for id := range streams {
		ids = append(ids, id)
	}
	for part := range slices.Chunk(ids, tickBatch) {
		if err := read(part); err != nil {
			return err
		}
	}
	return nil
}

// wakeBehind wakes the streams that have not read up to the end.
func wakeBehind[K comparable, E any](streams map[K][]*Stream, ends map[K]E, behind func(E, domain.Position) bool) {
	for id, end := range ends {
		for _, st := range streams[id] {
			if behind(end, st.position()) {
				st.wake()
			}
		}
	}
}
