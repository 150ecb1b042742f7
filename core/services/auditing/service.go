package auditing

import (
	"context"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/batching"
)

const (
	// readInterval is how long further reads of the same by the same administrator, through this
	// coordinator, are not recorded again. So a dashboard that reads once a second costs six rows an
	// hour.
	readInterval = 10 * time.Minute
	// readsLimit bounds how many reads are remembered. Beyond it all are forgotten, so that some are
	// recorded again too early, and none is left out.
	readsLimit = 10_000
	// batchLimit bounds how many events share a commit.
	batchLimit = 1000
)

// Deps are what the service stands on.
type Deps struct {
	AdminAudit ports.AdminAuditStore
	Clock      ports.Clock
}

// Service is the auditing service. Safe for concurrent use.
type Service struct {
	deps   Deps
	events *batching.Committer[domain.AdminEvent, struct{}]

	mu sync.Mutex
	// reads are the reads that were recorded, and when.
	reads map[read]time.Time
}

// read identifies what is read by whom.
type read struct {
	key      domain.KeyID
	target   domain.Target
	customer domain.CustomerID
	after    domain.JSON
}

// New returns the service.
func New(deps Deps) *Service {
	s := &Service{deps: deps, reads: map[read]time.Time{}}
	s.events = batching.NewCommitter(batchLimit, func(ctx context.Context, es []domain.AdminEvent) ([]struct{}, error) {
		return make([]struct{}, len(es)), deps.AdminAudit.Record(ctx, es)
	})
	return s
}

// List returns what administrators did, as q selects.
func (s *Service) List(ctx context.Context, q ports.AdminAuditQuery) ([]domain.AdminEvent, error) {
	return s.deps.AdminAudit.List(ctx, q)
}

// Record records an action that changes nothing in the store. The caller acts only if it succeeds.
func (s *Service) Record(ctx context.Context, e domain.AdminEvent) error {
	_, err := s.events.Do(ctx, e)
	return err
}

// RecordRead records a read, unless the same was recorded within readInterval. The caller answers
// only if it succeeds.
func (s *Service) RecordRead(ctx context.Context, e domain.AdminEvent) error {
	r, now := read{e.By.KeyID, e.Target, e.CustomerID, e.After}, s.deps.Clock.Now()
	s.mu.Lock()
	at, known := s.reads[r]
	s.mu.Unlock()
	if known && now.Sub(at) < readInterval {
		return nil
	}
	if err := s.Record(ctx, e); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.reads) >= readsLimit {
		clear(s.reads)
	}
	s.reads[r] = now
	return nil
}
