package retention

import (
	"context"
	"errors"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/archiving"
	"github.com/niyanta/niyanta/core/services/leadership"
)

const (
	// roundInterval is the time between the end of a round and the next one. A round removes all
	// that is due.
	roundInterval = time.Minute
	// minLimit and maxLimit bound the size of a batch. A round begins with firstLimit.
	minLimit, firstLimit, maxLimit = 20, 200, 1000
	// target is how long a batch should take. The next one is larger or smaller accordingly.
	target = 50 * time.Millisecond
	// restShare is how many times as long as a batch took the service rests after it, so that it
	// keeps the store busy for a quarter of the time at most.
	restShare = 3
	// slow is how long a batch takes if the store is slow, whatever the reason. The service then
	// rests for slowRest.
	slow     = time.Second
	slowRest = 10 * time.Second
	// minRest keeps batches that take no time from following each other without a pause.
	minRest = 5 * time.Millisecond
)

// Deps are the dependencies of the service.
type Deps struct {
	Retention ports.RetentionStore
	Archive   *archiving.Service
	Observer  ports.Observer
	Clock     ports.Clock
	Leader    *leadership.Service
}

// Service removes what is due, batch by batch. One loop calls Tick.
type Service struct {
	periods domain.Retention
	deps    Deps

	// The fields that follow describe the round in progress. Another epoch begins anew.
	epoch int64
	left  []domain.Kept // what is still to be looked at; empty: a new round is due
	from  domain.CustomerID
	limit int

	// failed holds what could not be removed, until it can be.
	failed map[domain.Kept]error
}

// New returns the service.
func New(periods domain.Retention, deps Deps) *Service {
	return &Service{periods: periods, deps: deps, failed: map[domain.Kept]error{}}
}

// Tick removes one batch and returns how long to wait before the next call. On a coordinator that
// does not lead it does nothing. What fails is left for the next round, so that it never keeps
// anything else from being removed. Each call returns the errors of all that fails at present, so
// that a failure ends when what failed is removed, not when another kind is.
func (s *Service) Tick(ctx context.Context) (next time.Duration, err error) {
	claim, leading := s.deps.Leader.Current()
	if !leading {
		s.left = nil
		clear(s.failed)
		return roundInterval, nil
	}
	if claim.Epoch != s.epoch || len(s.left) == 0 {
		s.begin(claim.Epoch)
	}
	what := s.left[0]
	began := s.deps.Clock.Now()
	p, err := s.purge(ctx, claim.Epoch, what)
	took := s.deps.Clock.Now().Sub(began)
	if s.from = p.Next; !p.More {
		s.left = s.left[1:]
	}
	s.deps.Observer.Purged(what, p.Count)
	if err != nil {
		s.failed[what] = err
		s.limit = max(s.limit/2, minLimit)
		return slowRest, s.failure()
	}
	delete(s.failed, what)
	s.adapt(took, p)
	switch {
	case took >= slow:
		return max(slowRest, restShare*took), s.failure()
	case len(s.left) == 0:
		return roundInterval, s.failure()
	}
	return max(restShare*took, minRest), s.failure()
}

// failure returns the errors of what could not be removed.
func (s *Service) failure() error {
	var all []error
	for _, k := range domain.AllKept() {
		all = append(all, s.failed[k])
	}
	return errors.Join(all...)
}

// purge makes one batch. Before the archive drops a month, that is written to the blob storage. What
// is written is dropped even if the next month cannot be written.
func (s *Service) purge(ctx context.Context, epoch int64, what domain.Kept) (ports.Purged, error) {
	p := ports.Purge{What: what, Age: s.periods.Of(what), Limit: s.limit, From: s.from}
	if what != domain.KeptArchive {
		return s.deps.Retention.Purge(ctx, epoch, p)
	}
	until, more, failed := s.deps.Archive.Step(ctx, epoch)
	if more {
		return ports.Purged{More: true}, nil
	}
	p.Until = until
	out, err := s.deps.Retention.Purge(ctx, epoch, p)
	if failed != nil {
		out.More = false
	}
	return out, errors.Join(failed, err)
}

// begin begins a round. What is kept for ever is left out.
func (s *Service) begin(epoch int64) {
	if s.epoch != epoch {
		clear(s.failed)
	}
	s.epoch, s.limit, s.left, s.from = epoch, firstLimit, nil, ""
	for _, k := range domain.AllKept() {
		if s.periods.Of(k) > 0 {
			s.left = append(s.left, k)
		}
	}
}

// adapt sets the size of the next batch by what the last one took.
func (s *Service) adapt(took time.Duration, p ports.Purged) {
	switch {
	case took > target:
		s.limit = max(s.limit/2, minLimit)
	case p.More && took < target/2:
		s.limit = min(s.limit*2, maxLimit)
	}
}
