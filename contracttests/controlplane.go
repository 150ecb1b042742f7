package contracttests

import (
	"context"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// PlaneHarness hooks a control plane into the suite, with its transport.
type PlaneHarness struct {
	StoreHarness
	// Plane returns a worker's client of a coordinator that uses the storage.
	Plane func(worker domain.WorkerID) ports.ControlPlane
	// Notifier sends commands to workers as the coordinator does.
	Notifier ports.Notifier
	// Junk sends a bad message to the coordinators. Dropped returns the number of messages that
	// they have dropped. Both are nil for a transport without messages.
	Junk    func(data []byte)
	Dropped func() float64
}

// plane is a fixture with a worker that has registered through the control plane.
type plane struct {
	*fixture
	ports.ControlPlane
	ref    ports.SessionRef
	worker domain.Worker
}

// givenPlane returns a plane with a worker "w" in session "s1".
func givenPlane(t T, h PlaneHarness) *plane {
	t.Helper()
	p := &plane{fixture: given(t, h.StoreHarness), ControlPlane: h.Plane("w")}
	g, err := p.Register(t.Context(), registration("w", "s1", 10))
	require.NoError(t, err)
	require.Positive(t, g.LeaseMS)
	require.Positive(t, g.HeartbeatIntervalMS)
	p.ref = ports.SessionRef{WorkerID: "w", SessionID: "s1"}
	p.worker = domain.Worker{ID: "w", SessionID: "s1"}
	return p
}

// beat sends a heartbeat and returns the commands of the answer.
func (p *plane) beat(inventory ...ports.InventoryItem) []ports.Command {
	p.Helper()
	a, err := p.Heartbeat(p.Context(), ports.Heartbeat{SessionRef: p.ref, Inventory: inventory})
	require.NoError(p, err)
	require.Positive(p, a.LeaseMS)
	return a.Commands
}

// item returns the inventory item of a workload that runs at generation 1.
func item(w domain.Workload) ports.InventoryItem {
	return ports.InventoryItem{WorkloadID: w.ID, Generation: 1, State: ports.RunRunning}
}

// says returns the worker's report of an event.
func (p *plane) says(e domain.Event, w domain.Workload, generation int64) ports.Report {
	r := ports.Report{ID: "r", WorkloadID: w.ID, Generation: generation, Event: e}
	if e == domain.EventComplete {
		r.Result = `{"n":1}`
	}
	return r
}

// audited returns the audit events of a workload.
func (p *plane) audited(w domain.Workload) []domain.AuditEvent {
	p.Helper()
	es, err := p.Audit.Workload(p.Context(), w.CustomerID, w.ID, 0, 1000)
	require.NoError(p, err)
	return es
}

// report sends reports and returns their answers.
func (p *plane) report(rs ...ports.Report) []ports.ReportAnswer {
	p.Helper()
	as, err := p.Report(p.Context(), p.ref, rs)
	require.NoError(p, err)
	require.Len(p, as, len(rs))
	return as
}

// PlaneCases is the suite of the ControlPlane port.
func PlaneCases() []Case[PlaneHarness] {
	return append([]Case[PlaneHarness]{
		{"sessions begin, are renewed, and end",
			"Heartbeat renews the session's lease; CodeFenced when the session is over, CodeConflict when " +
				"another process owns the id",
			func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				require.Empty(t, p.beat())
				_, err := p.Register(t.Context(), registration("w", "bad", 0))
				requireCode(t, err, domain.CodeInvalidInput)
				_, err = p.Heartbeat(t.Context(), ports.Heartbeat{
					SessionRef: ports.SessionRef{WorkerID: "nobody", SessionID: "x"},
				})
				requireCode(t, err, domain.CodeFenced)
				_, err = p.Register(t.Context(), takeOver("w", "s2", 10))
				require.NoError(t, err)
				_, err = p.Heartbeat(t.Context(), ports.Heartbeat{SessionRef: p.ref})
				requireCode(t, err, domain.CodeConflict)
				returning := registration("w", "s3", 10)
				returning.PreviousSessionID = "s1"
				_, err = p.Register(t.Context(), returning)
				requireCode(t, err, domain.CodeConflict)
				require.NoError(t, p.Fleet.Remove(t.Context(), "w", admin))
				_, err = p.Heartbeat(t.Context(), ports.Heartbeat{
					SessionRef: ports.SessionRef{WorkerID: "w", SessionID: "s2"},
				})
				requireCode(t, err, domain.CodeFenced)
			}},
		{"a registration arrives whole", "Register starts a session", func(t T, h PlaneHarness) {
			f := given(t, h.StoreHarness)
			r := registration("w", "s1", 3)
			r.Tags, r.Version, r.Resources = map[string]string{"a": "b"}, "v",
				domain.Offer{Amounts: domain.Amounts{CPUCores: 500, MemoryMB: 7, DiskMB: 9}}
			r.ProcessID, r.CertificateDigest = "proc_1", domain.CertificateDigest(secret)
			_, err := h.Plane("w").Register(t.Context(), r)
			require.NoError(t, err)
			w := f.workers()[0]
			got := domain.Registration{
				WorkerID: w.ID, SessionID: w.SessionID, Capabilities: w.Capabilities, Slots: w.Slots,
				Resources: w.Resources, Tags: w.Tags, Version: w.Version, ProcessID: w.ProcessID,
				CertificateDigest: w.CertificateDigest,
			}
			require.Equal(t, r, got)
		}},
		{"commands wait for the poll",
			"Poll returns commands for the session, waiting for the first one", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				none, err := p.Poll(t.Context(), p.ref, time.Millisecond)
				require.NoError(t, err)
				require.Empty(t, none)
				cmd := ports.Command{
					Kind: ports.CommandCancel, SessionID: "s1", WorkloadID: "wl_1", Generation: 3, Reason: "because",
				}
				other := cmd
				other.SessionID = "s0"
				h.Notifier.Command(t.Context(), "w", other)
				h.Notifier.Command(t.Context(), "w", cmd)
				var got []ports.Command
				eventually(t, func() bool {
					cs, err := p.Poll(t.Context(), p.ref, 50*time.Millisecond)
					require.NoError(t, err)
					got = append(got, cs...)
					return len(got) > 0
				}, "the command")
				require.Equal(t, []ports.Command{cmd}, got)
			}},
		{"an assignment whose command was lost comes with a heartbeat",
			"the answer carries whatever the worker must do that it may have missed", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				w, taken := p.submit(), p.submit()
				p.must(assign(w, p.worker))
				p.must(assign(taken, p.worker))
				require.Empty(t, p.beat(), "the message may still be on its way")
				h.Advance(2 * time.Second)
				starting := item(taken)
				starting.State = ports.RunStarting
				requireAssigned(t, p.beat(starting), w)
			}},
		{"a waiting poll is woken", "waiting for the first one at most as long as wait", func(t T, h PlaneHarness) {
			p := givenPlane(t, h)
			go func() {
				time.Sleep(20 * time.Millisecond) // usually the poll waits by then; the case also passes if not
				h.Notifier.Command(t.Context(), "w", ports.Command{Kind: ports.CommandDrain, SessionID: "s1"})
			}()
			begin := time.Now()
			cs, err := p.Poll(t.Context(), p.ref, patience)
			require.NoError(t, err)
			require.Len(t, cs, 1)
			require.Less(t, time.Since(begin), patience/2)
		}},
		{"reports are committed when answered",
			"they are committed in order when it returns, and answered each in its place", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a, b := p.submit(), p.submit()
				p.must(assign(a, p.worker))
				p.must(assign(b, p.worker))
				percent := 12.5
				progress := p.says(domain.EventProgress, b, 1)
				progress.Percent, progress.Message = &percent, "an eighth"
				fail := p.says(domain.EventFail, b, 1)
				fail.Failure = &domain.Failure{Type: "exit_status", Message: "exit status 1"}
				after := int64(60_000)
				fail.RetryAfterMS = &after
				batch := []ports.Report{
					p.says(domain.EventStart, a, 1), p.says(domain.EventComplete, a, 1),
					p.says(domain.EventStart, b, 1), progress, fail,
				}
				for i, want := range []domain.Outcome{domain.OutcomeApplied, domain.OutcomeAlready} {
					for k, ans := range p.report(batch...) {
						require.Equal(t, want, ans.Outcome, "try %d, report %d", i, k)
						require.Equal(t, "r", ans.ReportID)
					}
				}
				require.Equal(t, domain.JSON(`{"n":1}`), p.get(a.ID).Result)
				got := p.get(b.ID)
				require.Equal(t, domain.StatusPending, got.Status)
				require.Equal(t, *fail.Failure, *got.Failure)
				require.InDelta(t, 12.5, got.ProgressPercent, 0)
				require.Equal(t, time.Minute, got.NotBefore.Sub(got.UpdatedAt))
			}},
		{"stale reports are fenced one by one", "answered each in its place", func(t T, h PlaneHarness) {
			p := givenPlane(t, h)
			a := p.running(p.worker)
			as := p.report(p.says(domain.EventComplete, a, 2),
				p.says(domain.EventComplete, domain.Workload{Spec: domain.Spec{ID: "wl_none"}}, 1),
				p.says(domain.EventComplete, a, 1))
			require.Equal(t, []domain.Outcome{domain.OutcomeFenced, domain.OutcomeNotFound, domain.OutcomeApplied},
				[]domain.Outcome{as[0].Outcome, as[1].Outcome, as[2].Outcome})
			p.must(cancel(p.submit()))
			c := p.running(p.worker)
			p.must(cancel(c))
			ans := p.report(p.says(domain.EventComplete, c, 1))[0]
			require.Equal(t, ports.ReportAnswer{ReportID: "r", Outcome: domain.OutcomeFenced,
				Status: domain.StatusCancelled}, ans)
		}},
		{"log lines pass the fence or are dropped", "Report delivers reports", func(t T, h PlaneHarness) {
			p := givenPlane(t, h)
			a := p.running(p.worker)
			line := p.says(domain.EventLog, a, 1)
			line.Lines = []ports.LogEntry{
				{
					At: time.Unix(1_700_000_000, 0).UTC(), Level: "warn", Stream: "stderr", Message: "hello",
					Details: `{ "n": 9007199254740993 }`,
				},
			}
			stale := line
			stale.Generation = 2
			p.report(line, stale)
			lines, err := p.Logs.List(t.Context(), ports.LogQuery{Customer: acme, Workload: a.ID, Limit: 10})
			require.NoError(t, err)
			require.Len(t, lines, 1)
			require.Equal(t, domain.LogLine{
				WorkloadID: a.ID, CustomerID: acme, Generation: 1, Seq: 1, At: time.Unix(1_700_000_000, 0).UTC(),
				Level: domain.LevelWarn, Stream: "stderr", Message: "hello", Details: `{"n":9007199254740993}`,
			}, lines[0])
		}},
	}, slices.Concat(planeCheckpointCases(), planeMoreCases(), planeReportCases(), planeSessionCases(),
		planeEndCases())...)
}

func planeMoreCases() []Case[PlaneHarness] {
	return []Case[PlaneHarness]{
		{"a heartbeat brings missed commands",
			"the answer carries whatever the worker must do that it may have missed", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				ok, paused, cancelled, moved := p.running(p.worker), p.running(p.worker),
					p.running(p.worker), p.running(p.worker)
				p.must(domain.Transition{
					WorkloadID: paused.ID, CustomerID: paused.CustomerID, Event: domain.EventRequestPause,
				})
				p.must(cancel(cancelled))
				p.must(lose(moved, domain.LossMissing))
				ended := item(moved)
				ended.State = ports.RunReporting
				_, err := p.Fleet.Drain(t.Context(), "w", admin)
				require.NoError(t, err)
				kinds := map[string]ports.CommandKind{}
				for _, c := range p.beat(item(ok), item(paused), item(cancelled), item(moved)) {
					require.Equal(t, domain.SessionID("s1"), c.SessionID)
					kinds[string(c.WorkloadID)] = c.Kind
				}
				require.Equal(t, map[string]ports.CommandKind{
					string(paused.ID): ports.CommandPause, string(cancelled.ID): ports.CommandCancel,
					string(moved.ID): ports.CommandDrop, "": ports.CommandDrain,
				}, kinds)
				require.Len(t, p.beat(item(ok), item(paused), ended), 2,
					"nothing is sent for a run that waits for its last answer")
				p.must(domain.Transition{
					WorkloadID: cancelled.ID, Event: domain.EventLetGo, Generation: 1, SessionID: "s1", WorkerID: "w",
				})
				again := p.beat(item(ok), item(cancelled))
				require.Len(t, again, 2, "the drain beside it")
				require.Equal(t, ports.CommandCancel, again[0].Kind, "the slot was free, and the run is found after all")
			}},
		{"a workload missing from two inventories is taken back",
			"RUNNING but missing from two inventories of a live session: lost", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a, b := p.running(p.worker), p.running(p.worker)
				p.beat(item(b))
				p.beat(item(a), item(b)) // seen again: counting starts anew
				p.beat(item(b))
				require.Equal(t, domain.StatusRunning, p.get(a.ID).Status)
				p.beat(item(b))
				got := p.get(a.ID)
				require.Equal(t, domain.StatusRedistributing, got.Status)
				require.Zero(t, got.LossStreak, "it does not count as a death")
				require.Equal(t, domain.StatusRunning, p.get(b.ID).Status)
			}},
		{"a run that ignores its cancel keeps its slot while the inventory has it",
			"what a worker has in its hands takes its slot, whatever the store says of the workload",
			func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				stuck, other := p.running(p.worker), p.running(p.worker)
				ending := func() (n int) {
					for _, o := range p.occupancy() {
						n += o.Ending
					}
					return n
				}
				p.must(cancel(stuck))
				require.Equal(t, 1, ending())
				p.beat(item(other))
				require.Equal(t, 1, ending(), "an inventory may be older than the assignment")
				h.Advance(3 * time.Second)
				stopping := item(stuck)
				stopping.State = ports.RunStopping
				p.beat(stopping, item(other))
				require.Equal(t, 1, ending())
				p.beat(item(other))
				require.Zero(t, ending(), "it has returned")
				p.beat(stopping, item(other))
				require.Equal(t, 1, ending(), "a run in the inventory takes its slot")
				reporting := stopping
				reporting.State = ports.RunReporting
				p.beat(reporting, item(other))
				require.Equal(t, 1, ending())
				require.Equal(t, domain.OutcomeFenced, p.report(p.says(domain.EventComplete, stuck, 1))[0].Outcome)
				require.Zero(t, ending(), "its last report frees the slot")
				p.beat(reporting, item(other))
				require.Zero(t, ending(), "a run that waits for its last answer takes no slot")
				early := p.says(domain.EventRelease, other, 1)
				early.StillRunning = true
				require.Equal(t, domain.OutcomeApplied, p.report(early)[0].Outcome)
				require.Equal(t, 1, ending(), "reported as ended while its handler runs")
			}},
		{"a heartbeat that arrives again counts once",
			"What arrives twice, or late, counts once as an inventory that lacks a run", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a := p.running(p.worker)
				for _, number := range []int64{7, 7, 6} {
					_, err := p.Heartbeat(t.Context(), ports.Heartbeat{SessionRef: p.ref, Number: number})
					require.NoError(t, err)
					require.Equal(t, domain.StatusRunning, p.get(a.ID).Status, "number %d", number)
				}
				_, err := p.Heartbeat(t.Context(), ports.Heartbeat{SessionRef: p.ref, Number: 8})
				require.NoError(t, err)
				require.Equal(t, domain.StatusRedistributing, p.get(a.ID).Status)
			}},
		{"a worker's drain is known at once", "Heartbeat says whether the worker drains", func(t T, h PlaneHarness) {
			p := givenPlane(t, h)
			_, err := p.Heartbeat(t.Context(), ports.Heartbeat{SessionRef: p.ref, Draining: true})
			require.NoError(t, err)
			require.Equal(t, domain.WorkerDraining, p.workers()[0].Status)
		}},
		{"a cancelled context surfaces as itself",
			"A context that is cancelled surfaces as context.Canceled", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a := p.running(p.worker)
				ctx, cancelCtx := context.WithCancel(t.Context())
				cancelCtx()
				_, err := p.Register(ctx, registration("w", "s2", 1))
				require.ErrorIs(t, err, context.Canceled)
				_, err = p.Heartbeat(ctx, ports.Heartbeat{SessionRef: p.ref})
				require.ErrorIs(t, err, context.Canceled)
				_, err = p.Poll(ctx, p.ref, patience)
				require.ErrorIs(t, err, context.Canceled)
				_, err = p.Report(ctx, p.ref, []ports.Report{p.says(domain.EventComplete, a, 1)})
				require.ErrorIs(t, err, context.Canceled)
				_, err = p.SaveCheckpoint(ctx, p.ref, ports.CheckpointUpload{WorkloadID: a.ID, Generation: 1,
					Sequence: 1})
				require.ErrorIs(t, err, context.Canceled)
				_, err = p.LoadCheckpoint(ctx, p.ref, a.ID, 1, 1)
				require.ErrorIs(t, err, context.Canceled)
				require.Equal(t, domain.SessionID("s1"), p.workers()[0].SessionID)
			}},
	}
}
