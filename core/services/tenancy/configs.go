package tenancy

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
)

// CreateConfig stores a workload config under a new id. CodeInvalidInput; CodeConflict if the
// customer already has a config for the type.
func (s *Service) CreateConfig(ctx context.Context, c domain.WorkloadConfig) (domain.WorkloadConfig, error) {
	c.ID = domain.ConfigID(s.deps.IDs.New(domain.PrefixConfig))
	if err := c.Validate(); err != nil {
		return domain.WorkloadConfig{}, err
	}
	return s.deps.Configs.Create(ctx, c)
}

// GetConfig returns a customer's config. CodeNotFound.
func (s *Service) GetConfig(
	ctx context.Context, customer domain.CustomerID, id domain.ConfigID,
) (domain.WorkloadConfig, error) {
	return s.deps.Configs.Get(ctx, customer, id)
}

// ListConfigs returns up to limit of a customer's configs with types above after, ordered by type.
func (s *Service) ListConfigs(
	ctx context.Context, customer domain.CustomerID, after string, limit int,
) ([]domain.WorkloadConfig, error) {
	return s.deps.Configs.List(ctx, customer, after, limit)
}

// UpdateConfig changes a config. Later submissions use it; earlier ones keep the config that they
// were submitted with. CodeInvalidInput, CodeNotFound.
func (s *Service) UpdateConfig(
	ctx context.Context, customer domain.CustomerID, id domain.ConfigID, p domain.ConfigPatch,
) (domain.WorkloadConfig, error) {
	return s.deps.Configs.Update(ctx, customer, id, p)
}

// DeleteConfig removes a config. CodeConflict while unfinished workloads use it. CodeNotFound.
func (s *Service) DeleteConfig(ctx context.Context, customer domain.CustomerID, id domain.ConfigID) error {
	return s.deps.Configs.Delete(ctx, customer, id)
}
