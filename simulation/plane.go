package simulation

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// plane is the control plane as one worker sees it. Each call goes to any coordinator that lives,
// over a network that loses requests and answers.
type plane struct {
	w      *World
	worker *worker
}

// call sends a request of the worker to some coordinator.
func call[R any](p *plane, name string, f func(c ports.ControlPlane) (R, error)) (R, error) {
	var none R
	w := p.w
	c := w.reachable()
	if p.worker.dead || c == nil || w.Now().Before(p.worker.cutUntil) || w.faulty(w.P.Drop) {
		return none, errInjected
	}
	harm := w.Boundary("call " + name)
	if died := harm == CrashBefore || w.faulty(w.P.Die); died || harm == LoseRequest {
		p.worker.dieIf(died)
		return none, errInjected
	}
	var r R
	var err error
	if !w.actAs(c, p.worker, func() { r, err = f(c.Plane) }) || w.faulty(w.P.Drop) {
		return none, errInjected // the coordinator died before it answered, or the answer was lost
	}
	if died := harm == CrashAfter || w.faulty(w.P.Die); died || harm == LoseAnswer {
		p.worker.dieIf(died)
		return none, errInjected
	}
	return r, err
}

// End implements ports.ControlPlane.
func (p *plane) End(ctx context.Context, e domain.SessionEnd) error {
	_, err := call(p, "end", func(c ports.ControlPlane) (struct{}, error) { return struct{}{}, c.End(ctx, e) })
	return err
}

// Register implements ports.ControlPlane.
func (p *plane) Register(ctx context.Context, r domain.Registration) (ports.Grant, error) {
	return call(p, "register", func(c ports.ControlPlane) (ports.Grant, error) { return c.Register(ctx, r) })
}

// Heartbeat implements ports.ControlPlane.
func (p *plane) Heartbeat(ctx context.Context, h ports.Heartbeat) (ports.HeartbeatAnswer, error) {
	return call(p, "heartbeat", func(c ports.ControlPlane) (ports.HeartbeatAnswer, error) {
		return c.Heartbeat(ctx, h)
	})
}

// Poll implements ports.ControlPlane.
func (p *plane) Poll(ctx context.Context, s ports.SessionRef, _ time.Duration) ([]ports.Command, error) {
	return call(p, "poll", func(c ports.ControlPlane) ([]ports.Command, error) { return c.Poll(ctx, s, 0) })
}

// Report implements ports.ControlPlane.
func (p *plane) Report(ctx context.Context, s ports.SessionRef, rs []ports.Report) ([]ports.ReportAnswer, error) {
	return call(p, "report", func(c ports.ControlPlane) ([]ports.ReportAnswer, error) { return c.Report(ctx, s, rs) })
}

// SaveCheckpoint implements ports.ControlPlane.
func (p *plane) SaveCheckpoint(
	ctx context.Context, s ports.SessionRef, up ports.CheckpointUpload,
) (ports.ReportAnswer, error) {
	return call(p, "save checkpoint", func(c ports.ControlPlane) (ports.ReportAnswer, error) {
		return c.SaveCheckpoint(ctx, s, up)
	})
}

// LoadCheckpoint implements ports.ControlPlane.
func (p *plane) LoadCheckpoint(
	ctx context.Context, s ports.SessionRef, id domain.WorkloadID, g, seq int64,
) (ports.CheckpointData, error) {
	return call(p, "load checkpoint", func(c ports.ControlPlane) (ports.CheckpointData, error) {
		return c.LoadCheckpoint(ctx, s, id, g, seq)
	})
}
