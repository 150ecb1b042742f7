package insight

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Stuck is what of a customer's workloads of one type no worker could run, even if it were empty. Only
// those count that may be placed now.
type Stuck struct {
	Depth int
	// Estimated reports that Depth is not exact.
	Estimated bool
	// First is the one that has waited longest, Since when it began to.
	First domain.WorkloadID
	Since time.Time
}

// Stuck returns what no worker could run of a customer's workloads, by type. It is as old as a forecast
// may be, and empty when none could be made. The caller may not change it.
func (s *Service) Stuck(ctx context.Context, customer domain.CustomerID) map[string]Stuck {
	f := s.forecast(ctx)
	if f == nil {
		return nil
	}
	return f.stuck[customer]
}

// addStuck adds a lane that no worker could run, with its first workload. If the customer has more lanes
// than are looked at, there may be others.
func (f *forecast) addStuck(l *domain.Lane, first *domain.Candidate, depth int, exact bool) {
	of := f.stuck[l.CustomerID]
	if of == nil {
		of = map[string]Stuck{}
		f.stuck[l.CustomerID] = of
	}
	t := of[l.Type]
	if t.First == "" || first.QueueAt.Before(t.Since) {
		t.First, t.Since = first.ID, first.QueueAt
	}
	t.Depth, t.Estimated = t.Depth+depth, t.Estimated || !exact || f.cut || f.aside
	of[l.Type] = t
}
