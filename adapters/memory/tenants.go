package memory

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

type customers struct{ s *Store }

// Create implements ports.CustomerStore.
func (c customers) Create(
	ctx context.Context, cust domain.Customer, by domain.Admin,
) (domain.Customer, error) {
	if err := ctx.Err(); err != nil {
		return domain.Customer{}, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.customers[cust.ID] != nil || c.s.deleted[cust.ID] {
		return domain.Customer{}, domain.ErrCustomerExists(cust.ID)
	}
	cust, act := cust.Onboard(by, c.s.now())
	c.s.actLocked(act)
	c.s.customers[cust.ID] = &tenant{
		Customer:  cust,
		counts:    newCounts(),
		byCreated: newTree(func(r *record) time.Time { return r.CreatedAt }),
		happened:  newHappened(),
		finished:  newTree(func(r *record) time.Time { return r.FinishedAt }),
		configs:   map[domain.ConfigID]*domain.WorkloadConfig{},
		uses:      map[string]*domain.KeyUse{},
		answers:   map[string]*domain.Answer{},
	}
	return cust, nil
}

// Get implements ports.CustomerStore.
func (c customers) Get(ctx context.Context, id domain.CustomerID) (domain.Customer, error) {
	if err := ctx.Err(); err != nil {
		return domain.Customer{}, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	t := c.s.customers[id]
	if t == nil {
		return domain.Customer{}, domain.NotFound("customer")
	}
	return t.Customer, nil
}

// List implements ports.CustomerStore.
func (c customers) List(ctx context.Context, after domain.CustomerID, limit int) ([]domain.Customer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	var out []domain.Customer
	for id, t := range c.s.customers {
		if id > after {
			out = append(out, t.Customer)
		}
	}
	slices.SortFunc(out, func(a, b domain.Customer) int { return cmp.Compare(a.ID, b.ID) })
	return out[:min(limit, len(out))], nil
}

// Update implements ports.CustomerStore.
func (c customers) Update(
	ctx context.Context, id domain.CustomerID, p domain.CustomerPatch, by domain.Admin,
) (domain.Customer, error) {
	if err := ctx.Err(); err != nil {
		return domain.Customer{}, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	t := c.s.customers[id]
	if t == nil {
		return domain.Customer{}, domain.NotFound("customer")
	}
	next, act, err := t.Change(p, by, c.s.now())
	if err != nil {
		return domain.Customer{}, err
	}
	c.s.actLocked(act)
	t.Customer = next
	return next, nil
}

// Delete implements ports.CustomerStore.
func (c customers) Delete(
	ctx context.Context, id domain.CustomerID, force bool, by domain.Admin,
) (domain.Customer, error) {
	if err := ctx.Err(); err != nil {
		return domain.Customer{}, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	t := c.s.customers[id]
	if t == nil {
		return domain.Customer{}, domain.NotFound("customer")
	}
	u, now := t.counts.total, c.s.now()
	next, act, err := t.Delete(u.Queued+u.Running+u.Paused, force, by, now)
	if err != nil {
		return domain.Customer{}, err
	}
	for _, key := range c.s.keys {
		if key.CustomerID == id && key.RevokedAt.IsZero() {
			key.RevokedAt = now
		}
	}
	c.s.deleted[id] = true
	c.s.actLocked(act)
	t.Customer = next
	return next, nil
}

// GetMany implements ports.CustomerStore.
func (c customers) GetMany(
	ctx context.Context, ids []domain.CustomerID,
) (map[domain.CustomerID]domain.Customer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	out := make(map[domain.CustomerID]domain.Customer, len(ids))
	for _, id := range ids {
		if t := c.s.customers[id]; t != nil {
			out[id] = t.Customer
		}
	}
	return out, nil
}

type configs struct{ s *Store }

// Create implements ports.ConfigStore.
func (c configs) Create(ctx context.Context, cfg domain.WorkloadConfig) (domain.WorkloadConfig, error) {
	if err := ctx.Err(); err != nil {
		return domain.WorkloadConfig{}, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	t := c.s.customers[cfg.CustomerID]
	if t == nil {
		return domain.WorkloadConfig{}, domain.NotFound("customer")
	}
	if err := t.CheckKept(); err != nil {
		return domain.WorkloadConfig{}, err
	}
	for _, other := range t.configs {
		if other.Type == cfg.Type {
			return domain.WorkloadConfig{}, domain.ErrTypeConfigured(cfg.Type)
		}
	}
	for _, other := range c.s.customers {
		if other.configs[cfg.ID] != nil {
			return domain.WorkloadConfig{}, domain.ErrConfigExists(cfg.ID)
		}
	}
	cfg.CreatedAt = c.s.now()
	cfg.UpdatedAt = cfg.CreatedAt
	t.configs[cfg.ID] = &cfg
	return cfg, nil
}

func (c configs) findLocked(
	customer domain.CustomerID, match func(*domain.WorkloadConfig) bool,
) (*domain.WorkloadConfig, error) {
	if t := c.s.customers[customer]; t != nil {
		for _, cfg := range t.configs {
			if match(cfg) {
				return cfg, nil
			}
		}
	}
	return nil, domain.NotFound("workload config")
}

func byConfigID(id domain.ConfigID) func(*domain.WorkloadConfig) bool {
	return func(cfg *domain.WorkloadConfig) bool { return cfg.ID == id }
}

func (c configs) read(
	ctx context.Context, customer domain.CustomerID, match func(*domain.WorkloadConfig) bool,
) (domain.WorkloadConfig, error) {
	if err := ctx.Err(); err != nil {
		return domain.WorkloadConfig{}, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	cfg, err := c.findLocked(customer, match)
	if err != nil {
		return domain.WorkloadConfig{}, err
	}
	return *cfg, nil
}

// Get implements ports.ConfigStore.
func (c configs) Get(
	ctx context.Context, customer domain.CustomerID, id domain.ConfigID,
) (domain.WorkloadConfig, error) {
	return c.read(ctx, customer, byConfigID(id))
}

// ForTypes implements ports.ConfigStore.
func (c configs) ForTypes(
	ctx context.Context, keys []domain.ConfigKey,
) (map[domain.ConfigKey]domain.WorkloadConfig, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	out := map[domain.ConfigKey]domain.WorkloadConfig{}
	for _, k := range keys {
		if cfg, err := c.findLocked(k.CustomerID,
			func(cfg *domain.WorkloadConfig) bool { return cfg.Type == k.Type }); err == nil {
			out[k] = *cfg
		}
	}
	return out, nil
}

// List implements ports.ConfigStore.
func (c configs) List(
	ctx context.Context, customer domain.CustomerID, after string, limit int,
) ([]domain.WorkloadConfig, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	var out []domain.WorkloadConfig
	if t := c.s.customers[customer]; t != nil {
		for _, cfg := range t.configs {
			if cfg.Type > after {
				out = append(out, *cfg)
			}
		}
	}
	slices.SortFunc(out, func(a, b domain.WorkloadConfig) int { return cmp.Compare(a.Type, b.Type) })
	return out[:min(limit, len(out))], nil
}

// Types implements ports.ConfigStore.
func (c configs) Types(ctx context.Context, customer domain.CustomerID, limit int) ([]string, error) {
	all, err := c.List(ctx, customer, "", limit)
	types := make([]string, len(all))
	for i := range all {
		types[i] = all[i].Type
	}
	return types, err
}

// Update implements ports.ConfigStore.
func (c configs) Update(
	ctx context.Context, customer domain.CustomerID, id domain.ConfigID, p domain.ConfigPatch,
) (domain.WorkloadConfig, error) {
	if err := ctx.Err(); err != nil {
		return domain.WorkloadConfig{}, err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	cur, err := c.findLocked(customer, byConfigID(id))
	if err != nil {
		return domain.WorkloadConfig{}, err
	}
	next, err := p.Apply(*cur, c.s.now())
	if err != nil {
		return domain.WorkloadConfig{}, err
	}
	*cur = next
	return next, nil
}

// Delete implements ports.ConfigStore.
func (c configs) Delete(ctx context.Context, customer domain.CustomerID, id domain.ConfigID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if _, err := c.findLocked(customer, byConfigID(id)); err != nil {
		return err
	}
	t := c.s.customers[customer]
	used := 0
	t.byCreated.Scan(func(r *record) bool {
		if r.ConfigID == id && !r.Status.Final() {
			used++
		}
		return true
	})
	if err := domain.CheckUnused(used); err != nil {
		return err
	}
	delete(t.configs, id)
	return nil
}
