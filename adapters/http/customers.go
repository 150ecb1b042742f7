package http

import (
	"context"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

// GetCustomer implements GET /v1/customer.
func (a *api) GetCustomer(ctx context.Context, _ gen.GetCustomerRequestObject) (gen.GetCustomerResponseObject, error) {
	out, err := a.customerUsage(ctx, scopeOf(ctx).principal.CustomerID)
	return gen.GetCustomer200JSONResponse(out), err
}

// CreateCustomer implements POST /v1/admin/customers.
func (a *api) CreateCustomer(
	ctx context.Context, req gen.CreateCustomerRequestObject,
) (gen.CreateCustomerResponseObject, error) {
	c, err := a.Tenancy.CreateCustomer(ctx, domain.Customer{
		ID: domain.CustomerID(deref(req.Body.CustomerID)), Name: req.Body.Name,
		Tier: domain.Tier(req.Body.Tier), Overrides: limitsIn(req.Body.Limits),
		Retention:       retentionIn(req.Body.Retention),
		NoPreemption:    deref(not(req.Body.Preemptible)),
		EncryptionKeyID: domain.EncryptionKeyID(deref(req.Body.EncryptionKeyID)),
	}, admin(ctx))
	if err != nil {
		return nil, err
	}
	return gen.CreateCustomer201JSONResponse(customerOut(&c)), nil
}

// ListCustomers implements GET /v1/admin/customers.
func (a *api) ListCustomers(
	ctx context.Context, req gen.ListCustomersRequestObject,
) (gen.ListCustomersResponseObject, error) {
	const bound = "customers"
	limit, after := limitOr(req.Params.Limit, defaultPage), domain.CustomerID("")
	if c := deref(req.Params.Cursor); c != "" {
		if err := a.cursors.decode(c, &after, bound); err != nil {
			return nil, err
		}
	}
	found, err := a.Tenancy.ListCustomers(ctx, after, limit+1)
	if err != nil {
		return nil, err
	}
	byID := func(c *domain.Customer) domain.CustomerID { return c.ID }
	found, pagination, err := paginate(a, found, byID, limit, bound)
	if err != nil {
		return nil, err
	}
	ids := mapSlice(found, byID)
	usages, err := a.Insight.Usages(ctx, ids)
	if err != nil {
		return nil, err
	}
	return gen.ListCustomers200JSONResponse{Pagination: pagination, Customers: mapSlice(found,
		func(c *domain.Customer) gen.Customer {
			out := customerOut(c)
			out.Usage = new(figuresOut(usages[c.ID]))
			return out
		})}, nil
}

// GetCustomerByID implements GET /v1/admin/customers/{id}.
func (a *api) GetCustomerByID(
	ctx context.Context, req gen.GetCustomerByIDRequestObject,
) (gen.GetCustomerByIDResponseObject, error) {
	out, err := a.customerUsage(ctx, customerID(req.ID))
	return gen.GetCustomerByID200JSONResponse(out), err
}

// UpdateCustomer implements PATCH /v1/admin/customers/{id}.
func (a *api) UpdateCustomer(
	ctx context.Context, req gen.UpdateCustomerRequestObject,
) (gen.UpdateCustomerResponseObject, error) {
	p := domain.CustomerPatch{Name: req.Body.Name, NoPreemption: not(req.Body.Preemptible)}
	if req.Body.Tier != nil {
		t := domain.Tier(*req.Body.Tier)
		p.Tier = &t
	}
	if k := req.Body.EncryptionKeyID; k != nil {
		p.EncryptionKeyID = new(domain.EncryptionKeyID(*k))
	}
	if l := req.Body.Limits; l != nil {
		p.Limits = domain.LimitsPatch{
			MaxConcurrent: l.MaxConcurrentWorkloads, MaxQueueDepth: l.MaxQueueDepth,
			RatePerSec: l.RateLimitPerSec, Burst: l.Burst,
		}
	}
	if r := req.Body.Retention; r != nil {
		p.Retention = domain.RetentionPatch{WorkloadDays: r.WorkloadDays, LogDays: r.LogDays}
	}
	c, err := a.Tenancy.UpdateCustomer(ctx, customerID(req.ID), p, admin(ctx))
	if err != nil {
		return nil, err
	}
	return gen.UpdateCustomer200JSONResponse(customerOut(&c)), nil
}

// SuspendCustomer implements POST /v1/admin/customers/{id}/suspend.
func (a *api) SuspendCustomer(
	ctx context.Context, req gen.SuspendCustomerRequestObject,
) (gen.SuspendCustomerResponseObject, error) {
	c, err := a.Tenancy.SuspendCustomer(ctx, customerID(req.ID), admin(ctx))
	if err != nil {
		return nil, err
	}
	return gen.SuspendCustomer200JSONResponse(customerOut(&c)), nil
}

// ReactivateCustomer implements POST /v1/admin/customers/{id}/reactivate.
func (a *api) ReactivateCustomer(
	ctx context.Context, req gen.ReactivateCustomerRequestObject,
) (gen.ReactivateCustomerResponseObject, error) {
	c, err := a.Tenancy.ReactivateCustomer(ctx, customerID(req.ID), admin(ctx))
	if err != nil {
		return nil, err
	}
	return gen.ReactivateCustomer200JSONResponse(customerOut(&c)), nil
}

// DeleteCustomer implements DELETE /v1/admin/customers/{id}.
func (a *api) DeleteCustomer(
	ctx context.Context, req gen.DeleteCustomerRequestObject,
) (gen.DeleteCustomerResponseObject, error) {
	c, err := a.Tenancy.DeleteCustomer(ctx, customerID(req.ID), deref(req.Params.Force), admin(ctx))
	if err != nil {
		return nil, err
	}
	out, err := a.usageOf(ctx, &c)
	return gen.DeleteCustomer202JSONResponse(out), err
}

func (a *api) customerUsage(ctx context.Context, customer domain.CustomerID) (gen.CustomerUsage, error) {
	c, err := a.Tenancy.GetCustomer(ctx, customer)
	if err != nil {
		return gen.CustomerUsage{}, err
	}
	return a.usageOf(ctx, &c)
}

// usageOf returns a customer with its usage, and with what is left of it if it is being deleted.
func (a *api) usageOf(ctx context.Context, c *domain.Customer) (gen.CustomerUsage, error) {
	u, err := a.Statistics.Usage(ctx, c.ID)
	if err != nil {
		return gen.CustomerUsage{}, err
	}
	out := usageOut(c, u)
	if c.Deleting() {
		n, atLeast, err := a.Tenancy.Remaining(ctx, c.ID)
		if err != nil {
			return out, err
		}
		out.Deleting = &gen.Deleting{Since: at(c.DeletingAt), Remaining: n, RemainingEstimated: atLeast}
	}
	return out, nil
}

func customerOut(c *domain.Customer) gen.Customer {
	return gen.Customer{
		CustomerID: string(c.ID), Name: c.Name, Tier: gen.Tier(c.Tier), Limits: limitsOut(c.Limits()),
		Preemptible: !c.NoPreemption, SuspendedAt: optTime(c.SuspendedAt), CreatedAt: at(c.CreatedAt),
		Retention: retentionOut(c.Retention), EncryptionKeyID: opt(string(c.EncryptionKeyID)),
	}
}

func usageOut(c *domain.Customer, u domain.Usage) gen.CustomerUsage {
	out := gen.CustomerUsage{
		CustomerID: string(c.ID), Name: c.Name, Tier: gen.Tier(c.Tier), Limits: limitsOut(c.Limits()),
		Preemptible: !c.NoPreemption, SuspendedAt: optTime(c.SuspendedAt), CreatedAt: at(c.CreatedAt),
		Retention: retentionOut(c.Retention), EncryptionKeyID: opt(string(c.EncryptionKeyID)),
	}
	out.Usage = figuresOut(u)
	return out
}

func figuresOut(u domain.Usage) gen.UsageFigures {
	return gen.UsageFigures{
		CurrentRunningWorkloads: u.Running, CurrentQueueDepth: u.Queued, WorkloadsToday: u.SubmittedToday,
	}
}

func limitsOut(l domain.Limits) gen.Limits {
	return gen.Limits{
		MaxConcurrentWorkloads: l.MaxConcurrent, MaxQueueDepth: l.MaxQueueDepth,
		RateLimitPerSec: l.RatePerSec, Burst: l.Burst,
	}
}

func limitsIn(l *gen.LimitsInput) domain.Limits {
	if l == nil {
		return domain.Limits{}
	}
	return domain.Limits{
		MaxConcurrent: deref(l.MaxConcurrentWorkloads), MaxQueueDepth: deref(l.MaxQueueDepth),
		RatePerSec: deref(l.RateLimitPerSec), Burst: deref(l.Burst),
	}
}

// retentionOut returns nil if the customer has no periods of its own.
func retentionOut(r domain.CustomerRetention) *gen.Retention {
	if r == (domain.CustomerRetention{}) {
		return nil
	}
	return &gen.Retention{WorkloadDays: opt(r.WorkloadDays), LogDays: opt(r.LogDays)}
}

func retentionIn(r *gen.Retention) domain.CustomerRetention {
	if r == nil {
		return domain.CustomerRetention{}
	}
	return domain.CustomerRetention{WorkloadDays: deref(r.WorkloadDays), LogDays: deref(r.LogDays)}
}
