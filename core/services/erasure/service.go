package erasure

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/archiving"
	"github.com/niyanta/niyanta/core/services/leadership"
	"github.com/niyanta/niyanta/core/services/transitions"
)

const (
	// batchLimit bounds what one transaction removes or cancels.
	batchLimit = 200
	// customersPerRound bounds how many customers one round looks at, each with one batch. So a
	// large customer does not keep the others waiting.
	customersPerRound = 20
	// restShare is how many times as long as a round took the service rests after it, so that it
	// keeps the store busy for a quarter of the time at most. minRest is the shortest rest.
	restShare, minRest = 3, 5 * time.Millisecond
	// waitInterval is the time between two looks at customers of whom workers still run something.
	// idleInterval is the time between two looks whether a customer is being deleted.
	waitInterval, idleInterval = time.Second, 10 * time.Second
)

// reason is what the audit trails of cancelled workloads say.
const reason = "the customer is being deleted"

// Deps are the dependencies of the service.
type Deps struct {
	Erasure ports.ErasureStore
	Audit   ports.AdminAuditStore
	Archive *archiving.Service
	Applier *transitions.Applier
	Clock   ports.Clock
	Leader  *leadership.Service
	Log     *slog.Logger
}

// Service removes customers. One loop calls Tick.
type Service struct {
	name string
	deps Deps

	// The rounds of a pass look at all customers that are being deleted. after is the last one of the
	// round before; moved reports whether anything was done in this pass.
	after domain.CustomerID
	moved bool

	// forgotten are the customers that have no lines in the archive's blobs any more. Another epoch
	// begins anew, here and with again.
	forgotten map[domain.CustomerID]bool
	again     again
	epoch     int64
}

// New returns the service of the coordinator with that name.
func New(name string, deps Deps) *Service { return &Service{name: name, deps: deps} }

// Tick makes one batch for each customer of a round, and returns how long to wait before the next
// call. On a coordinator that does not lead it does nothing. What a deletion has done is in the
// store, so that another leader continues it. What fails for one customer does not keep the others
// from being removed.
func (s *Service) Tick(ctx context.Context) (next time.Duration, err error) {
	claim, leading := s.deps.Leader.Current()
	if !leading {
		s.after, s.moved = "", false
		return idleInterval, nil
	}
	began := s.deps.Clock.Now()
	customers, err := s.deps.Erasure.Deleting(ctx, s.after, customersPerRound)
	if err != nil {
		return waitInterval, err
	}
	var failures []error
	if err := s.forgetAgain(ctx, claim.Epoch); err != nil {
		failures = append(failures, err)
	}
	for _, id := range customers {
		moved, err := s.batch(ctx, claim.Epoch, id)
		if err != nil {
			failures = append(failures, fmt.Errorf("delete customer %s: %w", id, err))
		}
		s.moved = s.moved || moved
	}
	rest := max(restShare*s.deps.Clock.Now().Sub(began), minRest)
	if len(customers) == customersPerRound {
		s.after = customers[len(customers)-1]
		return rest, errors.Join(failures...)
	}
	idle, moved := len(customers) == 0 && s.after == "", s.moved
	s.after, s.moved = "", false
	switch {
	case len(failures) > 0:
		return waitInterval, errors.Join(failures...)
	case moved:
		return rest, nil
	case idle:
		return idleInterval, nil
	}
	return waitInterval, nil
}

// batch makes one batch for a customer and reports whether it did anything.
func (s *Service) batch(ctx context.Context, epoch int64, id domain.CustomerID) (moved bool, err error) {
	unfinished, err := s.deps.Erasure.Unfinished(ctx, id, batchLimit)
	if err != nil {
		return false, err
	}
	if len(unfinished) > 0 {
		b := domain.Batch{Epoch: epoch}
		for _, w := range unfinished {
			b.Transitions = append(b.Transitions, domain.Transition{
				WorkloadID: w, CustomerID: id, Event: domain.EventCancel, Reason: reason,
				Actor: domain.Actor{Kind: domain.ActorCoordinator, ID: s.name},
			})
		}
		_, err = s.deps.Applier.Apply(ctx, b)
		return err == nil, err
	}
	if err := s.forget(ctx, epoch, id); err != nil {
		return false, err
	}
	self := domain.Admin{KeyID: domain.KeySystem, KeyName: s.name}
	e, err := s.deps.Erasure.Erase(ctx, epoch, id, batchLimit, self)
	if e.Done {
		delete(s.forgotten, id)
		s.deps.Log.Info("customer deleted", "customer_id", id)
	}
	return e.More || e.Done, err
}

// forget removes what the archive has written of a customer, once for each customer and leader. The
// customer is being deleted, so that nothing more is written of it.
func (s *Service) forget(ctx context.Context, epoch int64, id domain.CustomerID) error {
	s.enter(epoch)
	if s.forgotten[id] {
		return nil
	}
	if err := s.deps.Archive.Forget(ctx, id); err != nil {
		return fmt.Errorf("remove its lines from the blob storage: %w", err)
	}
	s.forgotten[id] = true
	return nil
}

// enter begins anew if the epoch is another one.
func (s *Service) enter(epoch int64) {
	if epoch != s.epoch {
		s.epoch, s.forgotten, s.again = epoch, map[domain.CustomerID]bool{}, again{}
	}
}
