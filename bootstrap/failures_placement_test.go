package bootstrap

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
	"github.com/niyanta/niyanta/core/ports"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// unstoppable is a workload that ignores the end of its context. It returns when the test says so.
type unstoppable struct{ returns <-chan struct{} }

func (d *unstoppable) Init(context.Context, ports.Task) error { return nil }

func (d *unstoppable) Execute(context.Context, ports.Progress) (domain.JSON, error) {
	<-d.returns
	return "{}", nil
}

func (d *unstoppable) Checkpoint(context.Context) ([]byte, error) { return nil, ports.ErrNoCheckpoint }

func (d *unstoppable) Close() error { return nil }

// placementFailures are failures of placement.
func placementFailures() []failureKind {
	return []failureKind{
		{"a run that ignores its cancel keeps its slot visibly", func(t *testing.T, a *arena) {
			returns := make(chan struct{})
			released := false
			release := func() {
				if !released {
					released = true
					close(returns)
				}
			}
			cfg := a.cfg
			cfg.WorkerSlots = 1
			a.joinAs(t, cfg, a.transport, "ignores-stop",
				map[string]ports.WorkloadFactory{"unstoppable": func() ports.Workload { return &unstoppable{returns} }})
			t.Cleanup(release) // runs before the cleanup that ends the worker
			submit := func() domain.WorkloadID {
				s, err := a.Submit(t.Context(), niyanta.Submission{WorkloadType: "unstoppable", InputParams: []byte("{}")}, "")
				require.NoError(t, err)
				return domain.WorkloadID(s.WorkloadID)
			}
			until := func(what string, ok func() bool) {
				require.Eventually(t, ok, 30*time.Second, 20*time.Millisecond, what)
			}
			stuck := submit()
			until("it runs", func() bool { return a.stored(t, string(stuck)).Status == domain.StatusRunning })
			_, err := a.Cancel(t.Context(), string(stuck), "", "")
			require.NoError(t, err)
			next := submit()
			admin, err := niyanta.NewClient(a.App.URL(), a.AdminKey)
			require.NoError(t, err)
			defer admin.Close()
			until("the worker list shows the run", func() bool {
				workers, err := niyanta.Collect(admin.Workers(t.Context()))
				require.NoError(t, err)
				for _, w := range workers {
					if w.WorkerID == "ignores-stop" {
						return len(w.EndingRuns) == 1 && w.EndingRuns[0].WorkloadID == string(stuck) &&
							w.CapacityUsed == 1 && len(w.RunningWorkloads) == 0
					}
				}
				return false
			})
			until("a heartbeat passes", func() bool {
				workers, err := niyanta.Collect(admin.Workers(t.Context()))
				require.NoError(t, err)
				for _, w := range workers {
					for _, e := range w.EndingRuns {
						return e.EndingForSeconds > 1.2*a.cfg.HeartbeatInterval.Seconds()
					}
				}
				return false
			})
			p, err := a.Placement(t.Context(), string(next))
			require.NoError(t, err)
			told := false
			for _, r := range p.Reasons {
				told = told || r.Code == string(placement.ReasonEnding)
			}
			require.True(t, told, "%+v", p.Reasons)
			require.Zero(t, a.stored(t, string(next)).Generation, "it was neither assigned nor declined")
			release()
			until("the slot is free, and the next one runs", func() bool {
				return a.stored(t, string(next)).Status == domain.StatusCompleted
			})
		}},
	}
}
