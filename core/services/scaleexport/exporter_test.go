package scaleexport_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/scaleexport"
)

var errAway = errors.New("away")

// group is a group of machines in memory. It fails in the steps that are named.
type group struct {
	machines  []ports.Machine
	fails     map[string]bool
	calls     []string
	published []ports.GroupFigures
}

func (g *group) call(name string) error {
	g.calls = append(g.calls, name)
	if g.fails[name] {
		return errAway
	}
	return nil
}

func (g *group) Machines(context.Context) ([]ports.Machine, error) {
	if g.fails["machines"] {
		return nil, errAway
	}
	return slices.Clone(g.machines), nil
}

func (g *group) Protect(_ context.Context, protect bool, ids ...string) error {
	name := "unprotect"
	if protect {
		name = "protect"
	}
	for _, id := range ids {
		if err := g.call(name + " " + id); err != nil {
			return err
		}
		for i := range g.machines {
			if g.machines[i].ID == id {
				g.machines[i].Protected = protect
			}
		}
	}
	return nil
}

func (g *group) Publish(_ context.Context, f ports.GroupFigures) error {
	if g.fails["publish"] {
		return errAway
	}
	g.published = append(g.published, f)
	return nil
}

func (g *group) Hold(_ context.Context, id string) error { return g.call("hold " + id) }

func (g *group) Release(_ context.Context, id string) error {
	if err := g.call("release " + id); err != nil {
		return err
	}
	g.machines = slices.DeleteFunc(g.machines, func(m ports.Machine) bool { return m.ID == id })
	return nil
}

type fleet struct {
	view ports.FleetView
	err  error
}

func (f *fleet) View(context.Context) (ports.FleetView, error) { return f.view, f.err }

type clock struct{}

func (clock) Now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func exporter(g *group, f *fleet) *scaleexport.Exporter {
	return scaleexport.New(scaleexport.Deps{
		Group: g, Fleet: f, Clock: clock{}, Log: slog.New(slog.DiscardHandler),
	}, true)
}

func machine(id string, s ports.MachineState, protected bool) ports.Machine {
	return ports.Machine{ID: id, State: s, Protected: protected}
}

const (
	starting  = ports.MachineStarting
	inService = ports.MachineInService
	waiting   = ports.MachineWaiting
	leaving   = ports.MachineLeaving
)

func TestRound_OfMachines_ProtectsThoseWithWorkAndNoOthers(t *testing.T) {
	g := &group{machines: []ports.Machine{
		machine("i-busy", inService, false), machine("i-idle", inService, true), machine("i-still", inService, true),
		machine("i-free", inService, false), machine("i-dead", inService, true), machine("i-empty", inService, true),
		machine("i-several", inService, false), machine("i-new", starting, false), machine("i-gone", leaving, false),
	}}
	f := &fleet{view: ports.FleetView{FleetWorkers: []ports.FleetWorker{
		{ID: "w1", Tags: map[string]string{"instance": "i-busy"}, Used: 1}, {ID: "i-idle"}, {ID: "i-still", Used: 2},
		{ID: "w2", Tags: map[string]string{"instance": "i-free"}}, {ID: "i-dead", Used: 3, Dead: true},
		{ID: "i-several-1"}, {ID: "i-several-2", Used: 1}, {ID: "i-new", Used: 1}, {ID: "i-gone", Used: 1},
		{ID: "elsewhere", Used: 5},
		{ID: "i-idleness", Used: 1}, // another machine's: the id only begins alike
	}}}
	r := exporter(g, f).Round(t.Context())
	require.NoError(t, r.Err())
	assert.Equal(t, []string{
		"protect i-busy", "protect i-several", "unprotect i-idle", "unprotect i-dead", "unprotect i-empty",
	}, g.calls)
	assert.Equal(t, 3, r.Protected)
	assert.Equal(t, map[ports.MachineState]int{inService: 7, starting: 1, leaving: 1}, r.Machines)

	g.calls = nil
	require.NoError(t, new(exporter(g, f).Round(t.Context())).Err())
	assert.Empty(t, g.calls, "another exporter finds nothing to do")
}

func TestRound_OfFigures_ComparesWhatIsDesiredWithMachinesThatStartOrServe(t *testing.T) {
	for name, x := range map[string]struct {
		machines                []ports.Machine
		waiting, desired        int
		perWorker               float64
		missing, spare, figures int
	}{
		"from nothing":      {nil, 7, 2, 7, 2, 0, 1},
		"nothing, for none": {nil, 0, 0, 0, 0, 0, 1},
		"starting counts":   {[]ports.Machine{machine("a", starting, false)}, 6, 3, 6, 2, 0, 1},
		"leaving does not": {[]ports.Machine{machine("a", waiting, false), machine("b", leaving, false),
			machine("c", inService, false), machine("d", inService, false)}, 6, 2, 3, 0, 0, 1},
		"too many": {[]ports.Machine{machine("a", inService, false), machine("b", inService, false)}, 0, 0, 0, 0, 2, 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := &group{machines: x.machines}
			f := &fleet{view: ports.FleetView{Waiting: x.waiting, Desired: x.desired, OldestWait: time.Minute, Running: 4,
				Capacity: 9, Workers: 3}}
			exporter(g, f).Round(t.Context())
			require.Len(t, g.published, x.figures)
			assert.Equal(t, ports.GroupFigures{At: clock{}.Now(), Waiting: x.waiting, Running: 4, Capacity: 9, Workers: 3,
				OldestWait: time.Minute, Desired: x.desired, Missing: x.missing, Spare: x.spare,
				WaitingPerWorker: x.perWorker}, g.published[0])
		})
	}
}

func TestRound_OfAMachineThatWaits_ReleasesItWhenItsWorkerHasDrained(t *testing.T) {
	on := func(w ports.FleetWorker) *fleet {
		w.ID = "i-a"
		return &fleet{view: ports.FleetView{FleetWorkers: []ports.FleetWorker{w}}}
	}
	for name, x := range map[string]struct {
		fleet *fleet
		want  []string
	}{
		"it has not been told yet":    {on(ports.FleetWorker{}), nil},
		"it works on":                 {on(ports.FleetWorker{Used: 1}), nil},
		"it drains":                   {on(ports.FleetWorker{Used: 1, Draining: true}), []string{"hold i-a"}},
		"it has drained":              {on(ports.FleetWorker{Draining: true}), []string{"release i-a"}},
		"it died":                     {on(ports.FleetWorker{Used: 1, Dead: true}), []string{"release i-a"}},
		"it left":                     {&fleet{}, []string{"release i-a"}},
		"the coordinators are silent": {&fleet{err: errAway}, []string{"hold i-a"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := &group{machines: []ports.Machine{machine("i-a", waiting, true)}}
			exporter(g, x.fleet).Round(t.Context())
			assert.Equal(t, x.want, g.calls)
		})
	}
	g := &group{machines: []ports.Machine{machine("i-a", waiting, true)}}
	scaleexport.New(scaleexport.Deps{
		Group: g, Fleet: &fleet{}, Clock: clock{}, Log: slog.New(slog.DiscardHandler),
	}, false).Round(t.Context())
	assert.Empty(t, g.calls, "without a hook nothing waits for it")
}

func TestRound_WhenTheCoordinatorsDoNotAnswer_ChangesAndPublishesNothing(t *testing.T) {
	g := &group{machines: []ports.Machine{machine("i-a", inService, true), machine("i-b", inService, false)}}
	r := exporter(g, &fleet{err: errAway}).Round(t.Context())
	require.ErrorIs(t, r.Failed[scaleexport.StepFleet], errAway)
	assert.Empty(t, g.calls, "a protection that is ended by mistake costs work")
	assert.Empty(t, g.published, "a figure of nothing would shrink the group")
	assert.Nil(t, r.Figures)
}

func TestRound_WhenAStepFails_DoesTheOthers(t *testing.T) {
	whole := []string{"protect i-busy", "unprotect i-idle", "release i-1", "release i-2"}
	for failing, want := range map[string][]string{
		"machines": nil, "publish": whole, "protect i-busy": whole, "unprotect i-idle": whole, "release i-1": whole,
	} {
		t.Run(failing, func(t *testing.T) {
			g := &group{fails: map[string]bool{failing: true}, machines: []ports.Machine{
				machine("i-busy", inService, false), machine("i-idle", inService, true), machine("i-1", waiting, false),
				machine("i-2", waiting, false),
			}}
			f := &fleet{view: ports.FleetView{FleetWorkers: []ports.FleetWorker{{ID: "i-busy", Used: 1}}}}
			r := exporter(g, f).Round(t.Context())
			require.ErrorIs(t, r.Err(), errAway)
			assert.Len(t, r.Failed, 1)
			assert.Equal(t, want, g.calls)
		})
	}
}
