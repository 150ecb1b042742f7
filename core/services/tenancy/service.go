package tenancy

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/batching"
)

// Config holds the keys of the configuration. They work beside the stored operator keys.
type Config struct {
	// AdminKey authenticates administrators, WorkerKeys authenticate workers. Empty keys match
	// nothing.
	AdminKey   string
	WorkerKeys []string
	// Roles are the names by which tokens carry roles.
	Roles domain.RoleNames
	// Keyless says why no customer may be given a key that its values are encrypted with; empty: it may.
	Keyless string
}

// Deps are the dependencies of the service.
type Deps struct {
	Customers ports.CustomerStore
	Configs   ports.ConfigStore
	Keys      ports.KeyStore
	Tickets   ports.TicketStore
	Erasure   ports.ErasureStore
	Limiter   ports.RateLimiter
	// Tokens verifies tokens; nil: none is accepted.
	Tokens   ports.TokenVerifier
	Notifier ports.Notifier
	Clock    ports.Clock
	IDs      ports.IDs
}

// Service is the tenancy service. Safe for concurrent use.
type Service struct {
	deps    Deps
	admin   [][32]byte
	workers [][32]byte
	roles   domain.RoleNames
	keyless string
	cache   keyCache
	lookups *batching.Committer[string, ports.FoundKey]
}

// New returns the service.
func New(cfg Config, deps Deps) *Service {
	s := &Service{
		deps: deps, admin: digests(cfg.AdminKey), workers: digests(cfg.WorkerKeys...), roles: cfg.Roles,
		keyless: cfg.Keyless,
		cache:   keyCache{clock: deps.Clock},
	}
	s.lookups = batching.NewCommitter(lookupBatch, s.readKeys)
	return s
}

// CreateCustomer stores a new customer. An empty id is replaced by a generated one.
// CodeInvalidInput, CodeConflict.
func (s *Service) CreateCustomer(
	ctx context.Context, c domain.Customer, by domain.Admin,
) (domain.Customer, error) {
	if c.ID == "" {
		c.ID = domain.CustomerID(s.deps.IDs.New(domain.PrefixCustomer))
	}
	if err := c.Validate(); err != nil {
		return domain.Customer{}, err
	}
	if err := s.checkKey(&c.EncryptionKeyID); err != nil {
		return domain.Customer{}, err
	}
	return s.deps.Customers.Create(ctx, c, by)
}

// checkKey refuses a key that would be set where nothing can be encrypted with it. A key can always be
// removed.
func (s *Service) checkKey(id *domain.EncryptionKeyID) error {
	const field = "encryption_key_id"
	if id == nil || *id == "" {
		return nil
	}
	if err := id.Validate(field); err != nil {
		return err
	}
	if s.keyless != "" {
		return domain.Invalid(field, "%s", s.keyless)
	}
	return nil
}

// GetCustomer returns a customer. CodeNotFound.
func (s *Service) GetCustomer(ctx context.Context, id domain.CustomerID) (domain.Customer, error) {
	return s.deps.Customers.Get(ctx, id)
}

// ListCustomers returns up to limit customers with ids above after, ordered by id.
func (s *Service) ListCustomers(ctx context.Context, after domain.CustomerID, limit int) ([]domain.Customer, error) {
	return s.deps.Customers.List(ctx, after, limit)
}

// UpdateCustomer changes the name, the tier, the limits, the key that its values are encrypted with, or
// whether the customer is preemptible.
// The changes apply at once, to waiting workloads too. Workloads that already run above a lowered
// limit continue. The leader is woken, so that a raised limit is used at once.
func (s *Service) UpdateCustomer(
	ctx context.Context, id domain.CustomerID, p domain.CustomerPatch, by domain.Admin,
) (domain.Customer, error) {
	if err := s.checkKey(p.EncryptionKeyID); err != nil {
		return domain.Customer{}, err
	}
	c, err := s.deps.Customers.Update(ctx, id, p, by)
	if err == nil {
		s.cache.forget()
		s.deps.Notifier.Wake(ctx, "customer changed")
	}
	return c, err
}

// SuspendCustomer stops a customer from submitting and its workloads from being placed, at once.
// Running workloads continue. Other changes by the customer are refused: here at once, in other
// processes within customerFor. CodeNotFound.
func (s *Service) SuspendCustomer(
	ctx context.Context, id domain.CustomerID, by domain.Admin,
) (domain.Customer, error) {
	return s.UpdateCustomer(ctx, id, domain.CustomerPatch{Suspended: new(true)}, by)
}

// ReactivateCustomer ends a suspension. CodeNotFound.
func (s *Service) ReactivateCustomer(
	ctx context.Context, id domain.CustomerID, by domain.Admin,
) (domain.Customer, error) {
	return s.UpdateCustomer(ctx, id, domain.CustomerPatch{Suspended: new(false)}, by)
}

// DeleteCustomer begins the deletion of a customer: nothing is submitted, placed or made for it any
// more, and its keys end, here at once and in other processes within keyFor. What it has is removed
// in the background. CodeNotFound; CodeConflict with the detail "unfinished" while it has unfinished
// workloads, unless forced.
func (s *Service) DeleteCustomer(
	ctx context.Context, id domain.CustomerID, force bool, by domain.Admin,
) (domain.Customer, error) {
	c, err := s.deps.Customers.Delete(ctx, id, force, by)
	if err == nil {
		s.cache.forget()
		s.deps.Notifier.Wake(ctx, ports.WakeCustomerDeleted)
	}
	return c, err
}

// remainingLimit bounds how many workloads Remaining counts.
const remainingLimit = 10_000

// Remaining counts the workloads that a customer that is being deleted still has. atLeast reports
// whether there are more.
func (s *Service) Remaining(ctx context.Context, id domain.CustomerID) (n int, atLeast bool, err error) {
	n, err = s.deps.Erasure.Remaining(ctx, id, remainingLimit+1)
	return min(n, remainingLimit), n > remainingLimit, err
}

// CheckActive returns CodeForbidden while the principal's customer is suspended.
func (s *Service) CheckActive(ctx context.Context, p domain.Principal) error {
	c, err := s.customer(ctx, p.CustomerID)
	if err != nil {
		return err
	}
	return c.CheckActive()
}

// customer returns a customer as it was at most customerFor ago.
func (s *Service) customer(ctx context.Context, id domain.CustomerID) (domain.Customer, error) {
	return s.cache.customer(id, func() (domain.Customer, error) { return s.deps.Customers.Get(ctx, id) })
}

// customerFor is how long a customer is cached.
const customerFor = 5 * time.Second

// unlimited are the limits of workers: the highest rate that a customer can have. No tokens are
// taken from it.
var unlimited = domain.Limits{RatePerSec: 1_000_000, Burst: 1_000_000}

// Allow takes cost tokens from the principal's rate; see ports.RateLimiter. The keys of a customer
// share one rate. A key that belongs to no customer has the rate of the highest tier for itself.
// Workers are not limited: a refused heartbeat would cost a lease. If the limiter fails, Allow
// returns its error and the limits, if they are known, and the caller decides.
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

// TierOf returns the tier of the principal's customer. It is empty for a key that belongs to no
// customer, and if the customer cannot be read.
func (s *Service) TierOf(ctx context.Context, p domain.Principal) domain.Tier {
	if p.CustomerID == "" {
		return ""
	}
	c, err := s.customer(ctx, p.CustomerID)
	if err != nil {
		return ""
	}
	return c.Tier
}

func (s *Service) take(
	ctx context.Context, bucket string, limits domain.Limits, cost int,
) (ports.RateDecision, domain.Limits, error) {
	d, err := s.deps.Limiter.Allow(ctx, bucket, limits.RatePerSec, limits.Burst, cost)
	return d, limits, err
}
