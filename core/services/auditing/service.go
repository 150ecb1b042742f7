package auditing

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Deps are what the service stands on.
type Deps struct {
	AdminAudit ports.AdminAuditStore
}

// Service is the auditing service. Safe for concurrent use.
type Service struct{ deps Deps }

// New returns the service.
func New(deps Deps) *Service { return &Service{deps: deps} }

// List returns what administrators did, as q selects.
func (s *Service) List(ctx context.Context, q ports.AdminAuditQuery) ([]domain.AdminEvent, error) {
	return s.deps.AdminAudit.List(ctx, q)
}
