package tenancy

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Config holds the keys of the configuration. They work beside the stored operator keys.
type Config struct {
	// AdminKey authenticates administrators, WorkerKeys workers. Empty ones match nothing.
	AdminKey   string
	WorkerKeys []string
}

// Deps are what the service stands on.
type Deps struct {
	Customers ports.CustomerStore
	Configs   ports.ConfigStore
	Keys      ports.KeyStore
	Limiter   ports.RateLimiter
	Notifier  ports.Notifier
	Clock     ports.Clock
	IDs       ports.IDs
}

// Service is the tenancy service. Safe for concurrent use.
type Service struct {
	deps    Deps
	admin   [][32]byte
	workers [][32]byte
	cache   keyCache
}

// New returns the service.
func New(cfg Config, deps Deps) *Service {
	return &Service{
		deps: deps, admin: digests(cfg.AdminKey), workers: digests(cfg.WorkerKeys...),
		cache: keyCache{clock: deps.Clock},
	}
}

// CreateCustomer onboards a customer; an empty id is generated. CodeInvalidInput, CodeConflict.
func (s *Service) CreateCustomer(ctx context.Context, c domain.Customer) (domain.Customer, error) {
	if c.ID == "" {
		c.ID = domain.CustomerID(s.deps.IDs.New(domain.PrefixCustomer))
	}
	if err := c.Validate(); err != nil {
		return domain.Customer{}, err
	}
	return s.deps.Customers.Create(ctx, c)
}

// GetCustomer returns a customer. CodeNotFound.
func (s *Service) GetCustomer(ctx context.Context, id domain.CustomerID) (domain.Customer, error) {
	return s.deps.Customers.Get(ctx, id)
}

// ListCustomers returns customers behind the id after, ordered by id.
func (s *Service) ListCustomers(ctx context.Context, after domain.CustomerID, limit int) ([]domain.Customer, error) {
	return s.deps.Customers.List(ctx, after, limit)
}

// UpdateCustomer changes name, tier, limits or whether it is preemptible. All hold at once, for
// what waits already too; what runs above a limit that was lowered goes on. The leader is woken, so
// that a raised limit is used at once.
func (s *Service) UpdateCustomer(
	ctx context.Context, id domain.CustomerID, p domain.CustomerPatch,
) (domain.Customer, error) {
	c, err := s.deps.Customers.Update(ctx, id, p)
	if err == nil {
		s.cache.forget()
		s.deps.Notifier.Wake(ctx, "customer changed")
	}
	return c, err
}

// SuspendCustomer stops a customer from submitting, and its workloads from being placed, at once;
// what runs goes on. Other changes by the customer are refused here at once and in other processes
// within customerFor. CodeNotFound.
func (s *Service) SuspendCustomer(ctx context.Context, id domain.CustomerID) (domain.Customer, error) {
	return s.UpdateCustomer(ctx, id, domain.CustomerPatch{Suspended: new(true)})
}

// ReactivateCustomer takes back a suspension. CodeNotFound.
func (s *Service) ReactivateCustomer(ctx context.Context, id domain.CustomerID) (domain.Customer, error) {
	return s.UpdateCustomer(ctx, id, domain.CustomerPatch{Suspended: new(false)})
}

// CheckActive returns CodeForbidden while the principal's customer is suspended.
func (s *Service) CheckActive(ctx context.Context, p domain.Principal) error {
	c, err := s.customer(ctx, p.CustomerID)
	if err != nil {
		return err
	}
	return c.CheckActive()
}

// customer returns a customer as it was within customerFor.
func (s *Service) customer(ctx context.Context, id domain.CustomerID) (domain.Customer, error) {
	return s.cache.customer(id, func() (domain.Customer, error) { return s.deps.Customers.Get(ctx, id) })
}

// customerFor is how long a customer is taken from memory before the store is asked again.
const customerFor = 5 * time.Second

// unlimited are the limits of workers: the highest rate that any customer can be given, of which
// nothing is used up.
var unlimited = domain.Limits{RatePerSec: 1_000_000, Burst: 1_000_000}

// Allow takes cost tokens from the principal's rate; see ports.RateLimiter. The keys of a customer
// share its rate. A key that belongs to no customer has the rate of the highest tier for itself.
// Workers are not limited: a heartbeat that is refused costs a lease. If the limiter fails, its
// error is returned with the limits, if those are known, and the caller decides.
func (s *Service) Allow(
	ctx context.Context, p domain.Principal, cost int,
) (ports.RateDecision, domain.Limits, error) {
	switch p.Role {
	case domain.RoleWorker:
		return ports.RateDecision{Allowed: true, Remaining: unlimited.Burst}, unlimited, nil
	case domain.RoleAdmin, domain.RoleScaler:
		return s.take(ctx, "key/"+string(p.KeyID), domain.TierEnterprise.Limits(), cost)
	case domain.RoleCustomer, domain.RoleViewer:
	}
	c, err := s.customer(ctx, p.CustomerID)
	if err != nil {
		return ports.RateDecision{}, domain.Limits{}, err
	}
	return s.take(ctx, string(p.CustomerID), c.Limits(), cost)
}

func (s *Service) take(
	ctx context.Context, bucket string, limits domain.Limits, cost int,
) (ports.RateDecision, domain.Limits, error) {
	d, err := s.deps.Limiter.Allow(ctx, bucket, limits.RatePerSec, limits.Burst, cost)
	return d, limits, err
}
