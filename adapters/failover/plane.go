package failover

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Plane implements ports.ControlPlane over routes. Safe for concurrent use.
type Plane struct {
	push  Push    // nil: none
	paths []*path // the push route first
	// lease is the session's, in nanoseconds. 0 means unknown.
	lease atomic.Int64
	// pullsFailed counts the polls in a row that failed.
	pullsFailed atomic.Int32
	// pushed is set while commands come over the push route.
	pushed     atomic.Bool
	pinging    atomic.Bool
	background sync.WaitGroup // tries and pings that nobody waits for
}

var _ ports.ControlPlane = (*Plane)(nil)

// New returns a view of the coordinators over push, which may be nil, and others. There must be at
// least one route. Tries use the routes in this order; those that failed come last. Close the Plane
// before its routes.
func New(push Push, others []Route, log *slog.Logger) *Plane {
	p := &Plane{push: push}
	if push != nil {
		p.paths = append(p.paths, &path{Route: push, log: log})
	}
	for _, r := range others {
		p.paths = append(p.paths, &path{Route: r, log: log})
	}
	return p
}

// Close waits for tries that nobody waits for. All calls must have returned.
func (p *Plane) Close() { p.background.Wait() }

// order returns the paths that work, followed by the others, the one that failed longest ago first.
func order(paths []*path) []*path {
	rank := make(map[*path]time.Time, len(paths))
	for _, q := range paths {
		rank[q] = q.rank()
	}
	return slices.SortedStableFunc(slices.Values(paths), func(a, b *path) int { return rank[a].Compare(rank[b]) })
}

// elsewhere reports whether to try another route after err. Another coordinator may do better.
func elsewhere(err error) bool {
	switch domain.CodeOf(err) {
	case domain.CodeUnavailable, domain.CodeInternal, domain.CodeRateLimited:
		return err != nil
	default:
		return false
	}
}

// Register implements ports.ControlPlane.
func (p *Plane) Register(ctx context.Context, r domain.Registration) (ports.Grant, error) {
	g, err := try(ctx, p, func(ctx context.Context, plane ports.ControlPlane) (ports.Grant, error) {
		return plane.Register(ctx, r)
	})
	if err == nil {
		p.lease.Store(int64(time.Duration(g.LeaseMS) * time.Millisecond))
	}
	return g, err
}

// Heartbeat implements ports.ControlPlane. It does not wait for a try to fail: while one is not
// answered, others run beside it.
func (p *Plane) Heartbeat(ctx context.Context, h ports.Heartbeat) (ports.HeartbeatAnswer, error) {
	a, err := p.race(ctx, h)
	if err == nil {
		p.lease.Store(int64(time.Duration(a.LeaseMS) * time.Millisecond))
	}
	return a, err
}

// Report implements ports.ControlPlane.
func (p *Plane) Report(ctx context.Context, s ports.SessionRef, reports []ports.Report) ([]ports.ReportAnswer, error) {
	if len(reports) == 0 {
		return nil, nil
	}
	return try(ctx, p, func(ctx context.Context, plane ports.ControlPlane) ([]ports.ReportAnswer, error) {
		return plane.Report(ctx, s, reports)
	})
}

// SaveCheckpoint implements ports.ControlPlane.
func (p *Plane) SaveCheckpoint(
	ctx context.Context, s ports.SessionRef, up ports.CheckpointUpload,
) (ports.ReportAnswer, error) {
	return try(ctx, p, func(ctx context.Context, plane ports.ControlPlane) (ports.ReportAnswer, error) {
		return plane.SaveCheckpoint(ctx, s, up)
	})
}

// LoadCheckpoint implements ports.ControlPlane.
func (p *Plane) LoadCheckpoint(
	ctx context.Context, s ports.SessionRef, id domain.WorkloadID, generation, sequence int64,
) (ports.CheckpointData, error) {
	return try(ctx, p, func(ctx context.Context, plane ports.ControlPlane) (ports.CheckpointData, error) {
		return plane.LoadCheckpoint(ctx, s, id, generation, sequence)
	})
}

// End implements ports.ControlPlane.
func (p *Plane) End(ctx context.Context, e domain.SessionEnd) error {
	_, err := try(ctx, p, func(ctx context.Context, plane ports.ControlPlane) (struct{}, error) {
		return struct{}{}, plane.End(ctx, e)
	})
	return err
}
