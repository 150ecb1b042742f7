package http

import (
	"context"
	"encoding/json"
	"math"
	"time"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

// CreateWorkloadConfig implements POST /v1/workload-configs.
func (a *api) CreateWorkloadConfig(
	ctx context.Context, req gen.CreateWorkloadConfigRequestObject,
) (gen.CreateWorkloadConfigResponseObject, error) {
	p := scopeOf(ctx).principal
	c, err := configIn(p.CustomerID, req.Body)
	if err != nil {
		return nil, err
	}
	c, err = a.Tenancy.CreateConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	return gen.CreateWorkloadConfig201JSONResponse(configOut(&c, p.Role)), nil
}

// ListWorkloadConfigs implements GET /v1/workload-configs.
func (a *api) ListWorkloadConfigs(
	ctx context.Context, req gen.ListWorkloadConfigsRequestObject,
) (gen.ListWorkloadConfigsResponseObject, error) {
	p := scopeOf(ctx).principal
	limit, after, bound := limitOr(req.Params.Limit, defaultPage), "", "configs "+string(p.CustomerID)
	if c := deref(req.Params.Cursor); c != "" {
		if err := a.cursors.decode(c, &after, bound); err != nil {
			return nil, err
		}
	}
	cs, err := a.Tenancy.ListConfigs(ctx, p.CustomerID, after, limit+1)
	if err != nil {
		return nil, err
	}
	byType := func(c *domain.WorkloadConfig) string { return c.Type }
	cs, pagination, err := paginate(a, cs, byType, limit, bound)
	if err != nil {
		return nil, err
	}
	size := 0
	for i := range cs {
		size += len(cs[i].Config)
	}
	if err := scopeOf(ctx).place.carry(size); err != nil {
		return nil, err
	}
	configs := mapSlice(cs, func(c *domain.WorkloadConfig) gen.WorkloadConfig { return configOut(c, p.Role) })
	return gen.ListWorkloadConfigs200JSONResponse{Configs: configs, Pagination: pagination}, nil
}

// GetWorkloadConfig implements GET /v1/workload-configs/{id}.
func (a *api) GetWorkloadConfig(
	ctx context.Context, req gen.GetWorkloadConfigRequestObject,
) (gen.GetWorkloadConfigResponseObject, error) {
	p := scopeOf(ctx).principal
	c, err := a.Tenancy.GetConfig(ctx, p.CustomerID, configID(req.ID))
	if err != nil {
		return nil, err
	}
	return gen.GetWorkloadConfig200JSONResponse(configOut(&c, p.Role)), nil
}

// UpdateWorkloadConfig implements PUT /v1/workload-configs/{id}.
func (a *api) UpdateWorkloadConfig(
	ctx context.Context, req gen.UpdateWorkloadConfigRequestObject,
) (gen.UpdateWorkloadConfigResponseObject, error) {
	p := scopeOf(ctx).principal
	c, err := a.Tenancy.UpdateConfig(ctx, p.CustomerID, configID(req.ID), configPatch(req.Body))
	if err != nil {
		return nil, err
	}
	return gen.UpdateWorkloadConfig200JSONResponse(configOut(&c, p.Role)), nil
}

// DeleteWorkloadConfig implements DELETE /v1/workload-configs/{id}.
func (a *api) DeleteWorkloadConfig(
	ctx context.Context, req gen.DeleteWorkloadConfigRequestObject,
) (gen.DeleteWorkloadConfigResponseObject, error) {
	if err := a.Tenancy.DeleteConfig(ctx, scopeOf(ctx).principal.CustomerID, configID(req.ID)); err != nil {
		return nil, err
	}
	return gen.DeleteWorkloadConfig204Response{}, nil
}

func configOut(c *domain.WorkloadConfig, role domain.Role) gen.WorkloadConfig {
	out := gen.WorkloadConfig{
		ConfigID: string(c.ID), CustomerID: string(c.CustomerID), WorkloadType: c.Type, Description: c.Description,
		ConfigJSON: raw(c.Config), ResourceLimits: amountsOut(c.Limits), Resources: resourcesOut(c.Resources),
		CheckpointIntervalSec: int(c.CheckpointInterval / time.Second), MaxRetries: c.MaxRetries,
		RetryBackoff:   backoffOut(c.Backoff),
		TimeoutSeconds: int(c.Timeout / time.Second), CreatedAt: at(c.CreatedAt), UpdatedAt: at(c.UpdatedAt),
	}
	if c.Config == "" {
		out.ConfigJSON = json.RawMessage("{}")
	}
	if role == domain.RoleViewer {
		out.ConfigJSON = raw("")
	}
	return out
}

func configIn(customer domain.CustomerID, in *gen.WorkloadConfigInput) (domain.WorkloadConfig, error) {
	c := domain.WorkloadConfig{CustomerID: customer, Type: in.WorkloadType, RunConfig: domain.DefaultRunConfig()}
	return configPatch(&gen.WorkloadConfigChange{
		Description: in.Description, ConfigJSON: in.ConfigJSON, ResourceLimits: in.ResourceLimits, Resources: in.Resources,
		CheckpointIntervalSec: in.CheckpointIntervalSec, MaxRetries: in.MaxRetries, RetryBackoff: in.RetryBackoff,
		TimeoutSeconds: in.TimeoutSeconds,
	}).Apply(c, time.Time{})
}

// configPatch returns the patch that sets the fields that in has.
func configPatch(in *gen.WorkloadConfigChange) domain.ConfigPatch {
	p := domain.ConfigPatch{
		Type: in.WorkloadType, Description: in.Description, MaxRetries: in.MaxRetries, Resources: in.Resources,
		CheckpointInterval: converted(in.CheckpointIntervalSec, wholeSeconds),
		Timeout:            converted(in.TimeoutSeconds, wholeSeconds),
	}
	if in.ConfigJSON != nil {
		p.Config = new(domain.JSON(*in.ConfigJSON))
	}
	if r := in.ResourceLimits; r != nil {
		p.Limits = domain.AmountsPatch{
			CPUCores: converted(r.CPUCores, domain.MilliOf), MemoryMB: r.MemoryMb, DiskMB: r.DiskMb,
		}
	}
	if b := in.RetryBackoff; b != nil {
		p.Backoff = domain.BackoffPatch{
			Initial: converted(b.InitialSeconds, seconds), Factor: b.Factor, Max: converted(b.MaxSeconds, seconds),
		}
	}
	return p
}

func wholeSeconds(n int) time.Duration { return time.Duration(n) * time.Second }

func backoffOut(b domain.RetryBackoff) gen.RetryBackoff {
	return gen.RetryBackoff{InitialSeconds: new(b.Initial.Seconds()), Factor: &b.Factor, MaxSeconds: new(b.Max.Seconds())}
}

// seconds converts a number of seconds to a duration, rounded to microseconds.
func seconds(s float64) time.Duration { return time.Duration(math.Round(s*1e6)) * time.Microsecond }

// resourcesOut returns what is reserved, nil if that is nothing.
func resourcesOut(r domain.Resources) *domain.Resources {
	if r.IsZero() {
		return nil
	}
	return &r
}

func amountsOut(a domain.Amounts) gen.Amounts {
	return gen.Amounts{CPUCores: new(a.CPUCores.Float()), MemoryMb: &a.MemoryMB, DiskMb: &a.DiskMB}
}
