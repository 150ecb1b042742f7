package insight

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
)

// LaneView is a lane in which something waits.
type LaneView struct {
	Lane domain.Lane
	Tier domain.Tier
	// Depth counts the workloads of the lane that may be placed. Estimated reports that it is not
	// exact.
	Depth     int
	Estimated bool
	// Oldest is when the first of them began to wait, First which one that is.
	Oldest time.Time
	First  domain.WorkloadID
	// PerMinute is how many workloads of its type were placed per minute lately, while some had to
	// wait. 0: none were, or nothing is known.
	PerMinute float64
	// Blocked reports whether none can be placed until a worker, a limit or the customer changes.
	Blocked bool
	Reasons []placement.Reason
}

// Place is the position of the lane in the list.
func (v *LaneView) Place() LanePlace { return LanePlace{v.Oldest.UnixMicro(), v.Lane.ID} }

// LanePlace is a position in the list of lanes. The zero value is before all.
type LanePlace struct {
	Oldest int64         `json:"o"` // in microseconds
	ID     domain.LaneID `json:"l"`
}

func (p LanePlace) compare(o LanePlace) int {
	return cmp.Or(cmp.Compare(p.Oldest, o.Oldest), cmp.Compare(p.ID, o.ID))
}

// LanesQuery selects lanes. Empty fields select all.
type LanesQuery struct {
	Customer domain.CustomerID
	Type     string
	// Blocked selects the lanes that are blocked, or those that are not. nil: both.
	Blocked *bool
	After   LanePlace
	Limit   int
}

// Lanes returns the lanes in which a workload may be placed, those first whose first workload has
// waited longest. complete reports whether all lanes were looked at: of a customer with very many
// only some are.
func (s *Service) Lanes(ctx context.Context, q LanesQuery) (lanes []LaneView, complete bool, err error) {
	snap, err := s.snapshot(ctx)
	if err != nil {
		return nil, false, err
	}
	for i := range snap.lanes {
		l := LaneView{Lane: snap.lanes[i], Oldest: snap.first[i].QueueAt, First: snap.first[i].ID}
		if (q.Customer != "" && l.Lane.CustomerID != q.Customer) || (q.Type != "" && l.Lane.Type != q.Type) ||
			l.Place().compare(q.After) <= 0 {
			continue
		}
		entitlements, _ := snap.explainer.Entitlements(l.Lane.CustomerID)
		l.Tier, l.Blocked = entitlements.Tier, entitlements.Suspended || snap.blocked(&l.Lane)
		if q.Blocked == nil || l.Blocked == *q.Blocked {
			lanes = append(lanes, l)
		}
	}
	slices.SortFunc(lanes, func(a, b LaneView) int { return a.Place().compare(b.Place()) })
	lanes = lanes[:min(len(lanes), q.Limit)]
	cutoffs := make([]ports.Cutoff, len(lanes))
	for i := range lanes {
		cutoffs[i].Lane = lanes[i].Lane.ID
	}
	counts, exact, err := s.deps.Insight.Ahead(ctx, cutoffs, countLimit)
	if err != nil {
		return nil, false, err
	}
	for i := range lanes {
		l := &lanes[i]
		l.Depth, l.Estimated = counts[i], !exact
		l.PerMinute = snap.throughput.Types[l.Lane.Type].PerMinute()
		l.Reasons = snap.explainer.Explain(&l.Lane)
	}
	return lanes, !snap.cut && !snap.aside, nil
}
