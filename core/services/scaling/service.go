package scaling

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/statistics"
)

// Config must be the same on all coordinators.
type Config struct {
	// Pools are valid (domain.ValidatePools). The service does not change them.
	Pools []domain.Pool
}

// Deps are the dependencies of the service.
type Deps struct {
	Statistics *statistics.Service
	Workers    ports.WorkerStore
}

// Service answers how large pools should be. Safe for concurrent use.
type Service struct {
	cfg  Config
	deps Deps
}

// New returns the service.
func New(cfg Config, deps Deps) *Service { return &Service{cfg, deps} }

// Pools says of each pool, in the order of the configuration, how large it should be.
func (s *Service) Pools(ctx context.Context) ([]domain.PoolScale, error) {
	if len(s.cfg.Pools) == 0 {
		return nil, nil
	}
	// What waits is read before what runs. What is assigned in between counts twice for once. Read the
	// other way round it would not count at all, and a pool could shrink under it.
	backlog, entitlements, err := s.deps.Statistics.Backlog(ctx)
	if err != nil {
		return nil, err
	}
	load := domain.FleetLoad{Now: backlog.Now, Entitlements: entitlements}
	if load.Durations, err = s.deps.Statistics.Durations(ctx); err != nil {
		return nil, err
	}
	fleet, err := s.deps.Workers.Fleet(ctx)
	if err != nil {
		return nil, err
	}
	load.Workers, load.Occupancy = fleet.Workers, fleet.Occupancy
	backlog.Lanes = domain.Servable(s.cfg.Pools, fleet.Workers, backlog.Lanes)
	load.Lanes = backlog.Placeable(entitlements)
	return domain.ScalePools(s.cfg.Pools, &load), nil
}
