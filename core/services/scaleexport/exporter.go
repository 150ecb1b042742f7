package scaleexport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/niyanta/niyanta/core/ports"
)

// InstanceTag is the tag of a worker that names the machine it runs on.
const InstanceTag = "instance"

// Step names a part of a round.
type Step string

// The steps.
const (
	StepMachines  Step = "machines"  // list the machines
	StepFleet     Step = "fleet"     // ask the coordinators
	StepPublish   Step = "publish"   // publish the figures
	StepProtect   Step = "protect"   // protect machines, or end that
	StepLifecycle Step = "lifecycle" // hold or release machines that wait
)

// Steps returns all steps.
func Steps() []Step {
	return []Step{StepMachines, StepFleet, StepPublish, StepProtect, StepLifecycle}
}

// Round is the result of a round.
type Round struct {
	// Machines counts the machines by state.
	Machines map[ports.MachineState]int
	// Figures are those that were published; nil if none were.
	Figures *ports.GroupFigures
	// Protected counts machines that are protected now.
	Protected int
	// Held and Released are the machines that wait to be terminated.
	Held, Released []string
	// Failed are the steps that failed, with their errors.
	Failed map[Step]error
}

// Err returns the errors of all steps.
func (r *Round) Err() error {
	var errs []error
	for _, s := range Steps() {
		if err := r.Failed[s]; err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Round) fail(s Step, err error) {
	if err != nil {
		r.Failed[s] = errors.Join(r.Failed[s], err)
	}
}

// Deps are what an Exporter uses.
type Deps struct {
	Group ports.MachineGroup
	Fleet ports.FleetReader
	Clock ports.Clock
	Log   *slog.Logger
}

// Exporter informs a group of machines. One goroutine at a time may call Round.
type Exporter struct {
	deps Deps
	// lifecycle reports whether machines wait before they are terminated.
	lifecycle bool
}

// New returns an exporter. lifecycle says that machines of the group wait for Release before they
// are terminated.
func New(d Deps, lifecycle bool) *Exporter { return &Exporter{d, lifecycle} }

// Round looks at the group and the fleet once, and does what follows from both. A step that fails
// does not keep the others from being done, except that nothing is done on guesses: without an
// answer of the coordinators no figures are published, no protection is ended, and a machine that
// waits to be terminated is held.
func (e *Exporter) Round(ctx context.Context) Round {
	r := Round{Machines: map[ports.MachineState]int{}, Failed: map[Step]error{}}
	machines, err := e.deps.Group.Machines(ctx)
	r.fail(StepMachines, err)
	view, ferr := e.deps.Fleet.View(ctx)
	r.fail(StepFleet, ferr)
	for _, m := range machines {
		r.Machines[m.State]++
	}
	if err == nil && ferr == nil {
		f := figures(&view, r.Machines[ports.MachineStarting]+r.Machines[ports.MachineInService])
		f.At = e.deps.Clock.Now()
		if err := e.deps.Group.Publish(ctx, f); err == nil {
			r.Figures = &f
		} else {
			r.fail(StepPublish, err)
		}
		e.protect(ctx, &r, machines, &view)
	}
	if e.lifecycle && err == nil {
		for _, m := range machines {
			if m.State == ports.MachineWaiting {
				r.fail(StepLifecycle, e.leave(ctx, &r, m, &view, ferr == nil))
			}
		}
	}
	return r
}

// figures computes what is published about a group with so many machines that start or are in
// service.
func figures(v *ports.FleetView, machines int) ports.GroupFigures {
	return ports.GroupFigures{
		Waiting: v.Waiting, Running: v.Running, Capacity: v.Capacity, Workers: v.Workers, OldestWait: v.OldestWait,
		Desired: v.Desired, Missing: max(v.Desired-machines, 0), Spare: max(machines-v.Desired, 0),
		WaitingPerWorker: float64(v.Waiting) / float64(max(machines, 1)),
	}
}

// protect protects the machines whose workers have work, and ends the protection of the others.
func (e *Exporter) protect(ctx context.Context, r *Round, machines []ports.Machine, v *ports.FleetView) {
	change := map[bool][]string{}
	for _, m := range machines {
		if m.State != ports.MachineInService {
			continue
		}
		busy := slices.ContainsFunc(workersOn(v, m.ID), func(w ports.FleetWorker) bool { return w.Used > 0 })
		if busy {
			r.Protected++
		}
		if m.Protected != busy {
			change[busy] = append(change[busy], m.ID)
		}
	}
	// Protection comes first: until it is there, a machine with work may be chosen.
	for _, protect := range []bool{true, false} {
		if ids := change[protect]; len(ids) > 0 {
			r.fail(StepProtect, e.deps.Group.Protect(ctx, protect, ids...))
		}
	}
}

// leave holds or releases a machine that waits to be terminated.
func (e *Exporter) leave(
	ctx context.Context, r *Round, m ports.Machine, v *ports.FleetView, known bool,
) error {
	if !known {
		r.Held = append(r.Held, m.ID)
		return e.deps.Group.Hold(ctx, m.ID) // its worker may still drain
	}
	on := workersOn(v, m.ID)
	switch {
	case slices.ContainsFunc(on, func(w ports.FleetWorker) bool { return !w.Draining }):
		// It drains soon, or nobody has told it to. In the second case the group's own timeout must
		// end the machine some day. So it is not held.
		e.deps.Log.Warn("a machine waits to be terminated, and its worker does not drain yet; does its service stop "+
			"when the machine is told?", "instance", m.ID, "worker_id", on[0].ID)
		return nil
	case slices.ContainsFunc(on, func(w ports.FleetWorker) bool { return w.Used > 0 }):
		r.Held = append(r.Held, m.ID)
		return e.deps.Group.Hold(ctx, m.ID)
	}
	if err := e.deps.Group.Release(ctx, m.ID); err != nil {
		return err
	}
	r.Released = append(r.Released, m.ID)
	e.deps.Log.Info("a machine has drained and may be terminated", "instance", m.ID)
	return nil
}

// workersOn returns the workers on a machine that are not dead: those whose tag names it, and those
// whose id is the machine's, or begins with it and "-".
func workersOn(v *ports.FleetView, machine string) []ports.FleetWorker {
	var on []ports.FleetWorker
	for _, w := range v.FleetWorkers {
		named := w.Tags[InstanceTag] == machine || w.ID == machine || strings.HasPrefix(w.ID, machine+"-")
		if named && !w.Dead {
			on = append(on, w)
		}
	}
	return on
}
