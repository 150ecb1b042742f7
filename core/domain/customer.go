package domain

import "time"

// Tier is a customer's service level.
type Tier string

// The tiers, lowest first.
const (
	TierFree       Tier = "free"
	TierStandard   Tier = "standard"
	TierPremium    Tier = "premium"
	TierEnterprise Tier = "enterprise"
)

// Tiers lists the tiers, lowest first.
func Tiers() []Tier { return []Tier{TierFree, TierStandard, TierPremium, TierEnterprise} }

// Limits say how much a customer may use. A zero field of an override means: as the tier says.
type Limits struct {
	// MaxConcurrent bounds SCHEDULED + RUNNING workloads.
	MaxConcurrent int
	// MaxQueueDepth bounds PENDING + REDISTRIBUTING workloads.
	MaxQueueDepth int
	// RatePerSec and Burst bound API requests (token bucket).
	RatePerSec float64
	Burst      int
}

type tierSpec struct {
	weight int
	wait   time.Duration
	limits Limits
}

var tiers = map[Tier]tierSpec{
	TierFree:       {1, 15 * time.Minute, Limits{10, 50, 1, 5}},
	TierStandard:   {10, 5 * time.Minute, Limits{100, 500, 10, 50}},
	TierPremium:    {50, time.Minute, Limits{500, 2_000, 50, 200}},
	TierEnterprise: {100, 15 * time.Second, Limits{2_000, 10_000, 200, 1_000}},
}

// Valid reports whether t is one of the tiers.
func (t Tier) Valid() bool { _, ok := tiers[t]; return ok }

// Weight returns the weight of the tier: it multiplies the priority, and it is the share of a
// customer. The weight of an unknown tier is 1.
func (t Tier) Weight() int {
	if s, ok := tiers[t]; ok {
		return s.weight
	}
	return 1
}

// Limits are the tier's defaults.
func (t Tier) Limits() Limits { return tiers[t].limits }

// Customer is a tenant.
type Customer struct {
	ID        CustomerID
	Name      string
	Tier      Tier
	Overrides Limits
	Retention CustomerRetention
	// NoPreemption keeps its running workloads from being asked to make room for a higher tier's,
	// where that is switched on at all.
	NoPreemption bool
	// EncryptionKeyID names the key that what is written to storages for large values from now on is
	// encrypted with. Empty: as the storage encrypts everything.
	EncryptionKeyID EncryptionKeyID
	// SuspendedAt is when the customer was suspended; zero: it is not. A suspended customer reads
	// and cancels. What runs goes on; nothing is submitted or placed.
	SuspendedAt time.Time
	// DeletingAt is when the deletion of the customer began; zero: it is not being deleted.
	DeletingAt time.Time
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// Suspended reports whether the customer is suspended.
func (c Customer) Suspended() bool { return !c.SuspendedAt.IsZero() }

// CheckActive returns CodeForbidden while the customer is suspended.
func (c Customer) CheckActive() error {
	if c.Suspended() || c.Deleting() {
		return ErrSuspended()
	}
	return nil
}

// ErrSuspended is the answer to what a suspended customer may not do.
func ErrSuspended() error {
	return NewError(CodeForbidden, "the customer is suspended: it may read and cancel, nothing else")
}

// Limits returns the limits that apply: the overrides where they are set, otherwise the tier's.
func (c Customer) Limits() Limits {
	l := c.Tier.Limits()
	if c.Overrides.MaxConcurrent > 0 {
		l.MaxConcurrent = c.Overrides.MaxConcurrent
	}
	if c.Overrides.MaxQueueDepth > 0 {
		l.MaxQueueDepth = c.Overrides.MaxQueueDepth
	}
	if c.Overrides.RatePerSec > 0 {
		l.RatePerSec = c.Overrides.RatePerSec
	}
	if c.Overrides.Burst > 0 {
		l.Burst = c.Overrides.Burst
	}
	return l
}

// Validate checks what a client may set.
func (c Customer) Validate() error {
	if err := ValidateCustomerID(c.ID); err != nil {
		return err
	}
	if err := validateText("name", c.Name, 1, 200); err != nil {
		return err
	}
	if !c.Tier.Valid() {
		return Invalid("tier", "must be one of free, standard, premium, enterprise")
	}
	if err := c.Retention.validate(); err != nil {
		return err
	}
	if err := c.EncryptionKeyID.Validate("encryption_key_id"); err != nil {
		return err
	}
	return c.Overrides.validate()
}

func (l Limits) validate() error {
	switch {
	case l.MaxConcurrent < 0 || l.MaxConcurrent > 1_000_000:
		return Invalid("limits.max_concurrent_workloads", "must be 1 to 1000000")
	case l.MaxQueueDepth < 0 || l.MaxQueueDepth > 10_000_000:
		return Invalid("limits.max_queue_depth", "must be 1 to 10000000")
	case l.RatePerSec < 0 || l.RatePerSec > 1_000_000:
		return Invalid("limits.rate_limit_per_sec", "must be above 0 and at most 1000000")
	case l.Burst < 0 || l.Burst > 1_000_000:
		return Invalid("limits.burst", "must be 1 to 1000000")
	}
	return nil
}

// CustomerPatch changes the fields that are set and no others.
type CustomerPatch struct {
	Name      *string
	Tier      *Tier
	Limits    LimitsPatch
	Retention RetentionPatch
	// NoPreemption is the opposite of what the API calls preemptible.
	NoPreemption *bool
	// EncryptionKeyID sets the key; the empty id removes it.
	EncryptionKeyID *EncryptionKeyID
	// Suspended suspends or reactivates. A customer that is suspended already stays so since then.
	Suspended *bool
}

// Apply returns c with the patch applied, validated.
func (p CustomerPatch) Apply(c Customer, now time.Time) (Customer, error) {
	if p.Name != nil {
		c.Name = *p.Name
	}
	if p.Tier != nil {
		c.Tier = *p.Tier
	}
	c.Overrides = p.Limits.Apply(c.Overrides)
	c.Retention = p.Retention.Apply(c.Retention)
	if p.NoPreemption != nil {
		c.NoPreemption = *p.NoPreemption
	}
	if p.EncryptionKeyID != nil {
		c.EncryptionKeyID = *p.EncryptionKeyID
	}
	switch {
	case p.Suspended == nil:
	case !*p.Suspended:
		c.SuspendedAt = time.Time{}
	case !c.Suspended():
		c.SuspendedAt = now
	}
	c.UpdatedAt = now
	return c, c.Validate()
}

// Entitlements is what a customer is entitled to when its workloads are placed.
type Entitlements struct {
	Tier Tier
	// MaxConcurrent bounds SCHEDULED + RUNNING workloads. It is 0 while the customer is suspended.
	MaxConcurrent int
	Suspended     bool
	// Preemptible reports whether its running workloads may be asked to make room for those of a
	// higher tier.
	Preemptible bool
}

// Entitlements returns what the customer is entitled to now.
func (c Customer) Entitlements() Entitlements {
	e := Entitlements{Tier: c.Tier, MaxConcurrent: c.Limits().MaxConcurrent, Preemptible: !c.NoPreemption}
	if c.Suspended() || c.Deleting() {
		e.MaxConcurrent, e.Suspended = 0, true
	}
	return e
}
