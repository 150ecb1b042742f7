package http

import (
	"context"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

func customerID(s string) domain.CustomerID { return domain.CustomerID(id(s, domain.PrefixCustomer)) }

// CreateCustomer implements POST /v1/admin/customers.
func (a *api) CreateCustomer(ctx context.Context, req gen.CreateCustomerRequestObject) (gen.CreateCustomerResponseObject, error) {
	c, err := a.Tenancy.CreateCustomer(ctx, domain.Customer{
		ID: domain.CustomerID(deref(req.Body.CustomerID)), Name: req.Body.Name,
		Tier: domain.Tier(req.Body.Tier), Overrides: limitsIn(req.Body.Limits),
		NoPreemption: deref(not(req.Body.Preemptible)),
	})
	if err != nil {
		return nil, err
	}
	return gen.CreateCustomer201JSONResponse(customerOut(&c)), nil
}

// ListCustomers implements GET /v1/admin/customers.
func (a *api) ListCustomers(ctx context.Context, req gen.ListCustomersRequestObject) (gen.ListCustomersResponseObject, error) {
	const bound = "customers"
	limit, after := defaultPage, domain.CustomerID("")
	if req.Params.Limit != nil {
		limit = *req.Params.Limit
	}
	if c := deref(req.Params.Cursor); c != "" {
		if err := a.cursors.decode(c, &after, bound); err != nil {
			return nil, err
		}
	}
	found, err := a.Tenancy.ListCustomers(ctx, after, limit+1)
	if err != nil {
		return nil, err
	}
	out := gen.ListCustomers200JSONResponse{Pagination: gen.Pagination{Limit: limit, HasMore: len(found) > limit}}
	if out.Pagination.HasMore {
		found = found[:limit]
		next, err := a.cursors.encode(found[limit-1].ID, bound)
		if err != nil {
			return nil, err
		}
		out.Pagination.NextCursor = &next
	}
	out.Items = mapSlice(found, customerOut)
	return out, nil
}

// GetCustomerByID implements GET /v1/admin/customers/{id}.
func (a *api) GetCustomerByID(ctx context.Context, req gen.GetCustomerByIDRequestObject) (gen.GetCustomerByIDResponseObject, error) {
	out, err := a.customerUsage(ctx, customerID(req.ID))
	return gen.GetCustomerByID200JSONResponse(out), err
}

// UpdateCustomer implements PATCH /v1/admin/customers/{id}.
func (a *api) UpdateCustomer(ctx context.Context, req gen.UpdateCustomerRequestObject) (gen.UpdateCustomerResponseObject, error) {
	p := domain.CustomerPatch{Name: req.Body.Name, NoPreemption: not(req.Body.Preemptible)}
	if req.Body.Tier != nil {
		t := domain.Tier(*req.Body.Tier)
		p.Tier = &t
	}
	if l := req.Body.Limits; l != nil {
		p.Limits = domain.LimitsPatch{
			MaxConcurrent: l.MaxConcurrentWorkloads, MaxQueueDepth: l.MaxQueueDepth, RatePerSec: l.RateLimitPerSec, Burst: l.Burst,
		}
	}
	c, err := a.Tenancy.UpdateCustomer(ctx, customerID(req.ID), p)
	if err != nil {
		return nil, err
	}
	return gen.UpdateCustomer200JSONResponse(customerOut(&c)), nil
}

// CreateKey implements POST /v1/admin/customers/{id}/keys.
func (a *api) CreateKey(ctx context.Context, req gen.CreateKeyRequestObject) (gen.CreateKeyResponseObject, error) {
	k, secret, err := a.Tenancy.CreateKey(ctx, customerID(req.ID), domain.Role(req.Body.Role), deref(req.Body.ExpiresAt).Time)
	if err != nil {
		return nil, err
	}
	return gen.CreateKey201JSONResponse{
		KeyID: string(k.ID), Key: secret, Role: gen.KeyRole(k.Role), ExpiresAt: optTime(k.ExpiresAt),
	}, nil
}

// ListKeys implements GET /v1/admin/customers/{id}/keys.
func (a *api) ListKeys(ctx context.Context, req gen.ListKeysRequestObject) (gen.ListKeysResponseObject, error) {
	ks, err := a.Tenancy.ListKeys(ctx, customerID(req.ID))
	if err != nil {
		return nil, err
	}
	return gen.ListKeys200JSONResponse{Items: mapSlice(ks, func(k *domain.APIKey) gen.Key {
		return gen.Key{
			KeyID: string(k.ID), Prefix: k.Prefix, Role: gen.KeyRole(k.Role), CreatedAt: at(k.CreatedAt),
			ExpiresAt: optTime(k.ExpiresAt), RevokedAt: optTime(k.RevokedAt),
		}
	})}, nil
}

// RevokeKey implements DELETE /v1/admin/customers/{id}/keys/{key_id}.
func (a *api) RevokeKey(ctx context.Context, req gen.RevokeKeyRequestObject) (gen.RevokeKeyResponseObject, error) {
	key := domain.KeyID(id(req.KeyID, domain.PrefixKey))
	if err := a.Tenancy.RevokeKey(ctx, customerID(req.ID), key); err != nil {
		return nil, err
	}
	return gen.RevokeKey204Response{}, nil
}

// ListWorkers implements GET /v1/admin/workers.
func (a *api) ListWorkers(ctx context.Context, _ gen.ListWorkersRequestObject) (gen.ListWorkersResponseObject, error) {
	ws, err := a.Plane.ListWorkers(ctx)
	if err != nil {
		return nil, err
	}
	return gen.ListWorkers200JSONResponse{Items: mapSlice(ws, workerOut)}, nil
}

// DrainWorker implements POST /v1/admin/workers/{id}/drain.
func (a *api) DrainWorker(ctx context.Context, req gen.DrainWorkerRequestObject) (gen.DrainWorkerResponseObject, error) {
	w, err := a.Plane.DrainWorker(ctx, domain.WorkerID(req.ID), actor(ctx))
	if err != nil {
		return nil, err
	}
	v, err := a.Plane.ViewWorker(ctx, w)
	if err != nil {
		return nil, err
	}
	return gen.DrainWorker202JSONResponse(workerOut(&v)), nil
}

// UndrainWorker implements POST /v1/admin/workers/{id}/undrain.
func (a *api) UndrainWorker(ctx context.Context, req gen.UndrainWorkerRequestObject) (gen.UndrainWorkerResponseObject, error) {
	w, err := a.Plane.UndrainWorker(ctx, domain.WorkerID(req.ID), actor(ctx))
	if err != nil {
		return nil, err
	}
	v, err := a.Plane.ViewWorker(ctx, w)
	if err != nil {
		return nil, err
	}
	return gen.UndrainWorker200JSONResponse(workerOut(&v)), nil
}

// RemoveWorker implements DELETE /v1/admin/workers/{id}.
func (a *api) RemoveWorker(ctx context.Context, req gen.RemoveWorkerRequestObject) (gen.RemoveWorkerResponseObject, error) {
	if err := a.Plane.RemoveWorker(ctx, domain.WorkerID(req.ID), actor(ctx)); err != nil {
		return nil, err
	}
	return gen.RemoveWorker204Response{}, nil
}
