package http

import (
	"context"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

func configID(s string) domain.ConfigID { return domain.ConfigID(id(s, domain.PrefixConfig)) }

// CreateWorkloadConfig implements POST /v1/workload-configs.
func (a *api) CreateWorkloadConfig(ctx context.Context, req gen.CreateWorkloadConfigRequestObject) (gen.CreateWorkloadConfigResponseObject, error) {
	p := scopeOf(ctx).principal
	c, err := a.Tenancy.CreateConfig(ctx, configIn(p.CustomerID, req.Body))
	if err != nil {
		return nil, err
	}
	return gen.CreateWorkloadConfig201JSONResponse(configOut(&c, p.Role)), nil
}

// ListWorkloadConfigs implements GET /v1/workload-configs.
func (a *api) ListWorkloadConfigs(ctx context.Context, _ gen.ListWorkloadConfigsRequestObject) (gen.ListWorkloadConfigsResponseObject, error) {
	p := scopeOf(ctx).principal
	cs, err := a.Tenancy.ListConfigs(ctx, p.CustomerID)
	if err != nil {
		return nil, err
	}
	return gen.ListWorkloadConfigs200JSONResponse{Items: mapSlice(cs, func(c *domain.WorkloadConfig) gen.WorkloadConfig {
		return configOut(c, p.Role)
	})}, nil
}

// GetWorkloadConfig implements GET /v1/workload-configs/{id}.
func (a *api) GetWorkloadConfig(ctx context.Context, req gen.GetWorkloadConfigRequestObject) (gen.GetWorkloadConfigResponseObject, error) {
	p := scopeOf(ctx).principal
	c, err := a.Tenancy.GetConfig(ctx, p.CustomerID, configID(req.ID))
	if err != nil {
		return nil, err
	}
	return gen.GetWorkloadConfig200JSONResponse(configOut(&c, p.Role)), nil
}

// UpdateWorkloadConfig implements PUT /v1/workload-configs/{id}.
func (a *api) UpdateWorkloadConfig(ctx context.Context, req gen.UpdateWorkloadConfigRequestObject) (gen.UpdateWorkloadConfigResponseObject, error) {
	p := scopeOf(ctx).principal
	c := configIn(p.CustomerID, req.Body)
	c.ID = configID(req.ID)
	c, err := a.Tenancy.UpdateConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	return gen.UpdateWorkloadConfig200JSONResponse(configOut(&c, p.Role)), nil
}

// DeleteWorkloadConfig implements DELETE /v1/workload-configs/{id}.
func (a *api) DeleteWorkloadConfig(ctx context.Context, req gen.DeleteWorkloadConfigRequestObject) (gen.DeleteWorkloadConfigResponseObject, error) {
	if err := a.Tenancy.DeleteConfig(ctx, scopeOf(ctx).principal.CustomerID, configID(req.ID)); err != nil {
		return nil, err
	}
	return gen.DeleteWorkloadConfig204Response{}, nil
}

// GetCustomer implements GET /v1/customer.
func (a *api) GetCustomer(ctx context.Context, _ gen.GetCustomerRequestObject) (gen.GetCustomerResponseObject, error) {
	out, err := a.customerUsage(ctx, scopeOf(ctx).principal.CustomerID)
	return gen.GetCustomer200JSONResponse(out), err
}

func (a *api) customerUsage(ctx context.Context, customer domain.CustomerID) (gen.CustomerUsage, error) {
	c, err := a.Tenancy.GetCustomer(ctx, customer)
	if err != nil {
		return gen.CustomerUsage{}, err
	}
	u, err := a.Tenancy.CustomerUsage(ctx, customer)
	return usageOut(&c, u), err
}
