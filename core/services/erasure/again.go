package erasure

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// againAfter is how long a leader leads before it looks after customers that are gone, and how
	// long after a pass that failed. againInterval is the time between two passes otherwise.
	// againPeriod is how long after its deletion a customer is looked after.
	againAfter    = time.Hour
	againInterval = 24 * time.Hour
	againPeriod   = 30 * 24 * time.Hour
)

// again is a pass over the customers that were deleted lately.
type again struct {
	due   time.Time
	after int64 // the last event of the pass in progress
	// failed reports whether something could not be removed in it.
	failed bool
}

// forgetAgain removes once more what the archive has written of customers that were deleted lately,
// a few at a time. A leader that stalls while it writes an object may end that write after another
// one has deleted the customer. It then removes the object itself, unless it dies first.
func (s *Service) forgetAgain(ctx context.Context, epoch int64) error {
	now := s.deps.Clock.Now()
	if s.enter(epoch); s.again.due.IsZero() {
		s.again.due = now.Add(againAfter)
	}
	if now.Before(s.again.due) {
		return nil
	}
	events, err := s.deps.Audit.List(ctx, ports.AdminAuditQuery{
		Action: domain.ActionCustomerErased, Since: now.Add(-againPeriod), After: s.again.after, Ascending: true,
		Limit: customersPerRound,
	})
	if err != nil {
		return fmt.Errorf("list customers that were deleted: %w", err)
	}
	var failures []error
	for i := range events {
		id := domain.CustomerID(events[i].Target.ID)
		if err := s.deps.Archive.Forget(ctx, id); err != nil {
			failures = append(failures, fmt.Errorf("remove the lines of customer %s again: %w", id, err))
		}
		s.again.after = events[i].ID
	}
	s.again.failed = s.again.failed || len(failures) > 0
	if len(events) < customersPerRound {
		next := againInterval
		if s.again.failed {
			next = againAfter
		}
		s.again = again{due: now.Add(next)}
	}
	return errors.Join(failures...)
}
