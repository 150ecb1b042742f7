package contracttests

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// nestedJSON returns arrays nested to a depth.
func nestedJSON(levels int) domain.JSON {
	return domain.JSON(strings.Repeat("[", levels) + strings.Repeat("]", levels))
}

// OddResults returns results by name. Some transports or stores cannot carry most of them
// unchanged.
func OddResults() map[string]domain.JSON {
	return map[string]domain.JSON{
		"NUL": `{"a":"\u0000"}`, "a raw NUL": "\"\x00\"", "byte FF": "{\"a\":\"\xff\"}", "61 levels": nestedJSON(61),
		"64 levels": nestedJSON(64), "70 levels": nestedJSON(70), "10,000 levels": nestedJSON(10_000),
		"a key twice": `{"a":1,"a":2}`, "a lone surrogate": `"\ud800"`,
		"2 MiB":         domain.JSON(`"` + strings.Repeat("x", 2<<20) + `"`),
		"exactly 1 MiB": domain.JSON(`"` + strings.Repeat("x", 1<<20-2) + `"`), "not JSON": "hello", "NaN": "NaN",
		"HTML": `{"a":"<b>&\u003c"}`, "white space": " { \"a\" : 1 } ", "null": "null", "none": "",
	}
}

// OddMessages returns messages of failures by name. Some transports or stores cannot carry most of
// them unchanged.
func OddMessages() map[string]string {
	return map[string]string{
		"NUL": "no\x00 space left", "byte FF": "\xff\xfe", "long": strings.Repeat("é", 100_000),
		"a control character": "\x1b[31mred", "none": "",
	}
}

// planeReportCases are about what workers report.
func planeReportCases() []Case[PlaneHarness] {
	return []Case[PlaneHarness]{
		{"an outcome lands, whatever the result",
			"An outcome always lands: results and text are cleaned and cut, never refused", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				for name, result := range OddResults() {
					w, neighbour := p.running(p.worker), p.running(p.worker)
					end := p.says(domain.EventComplete, w, 1)
					end.Result = result
					for _, want := range []domain.Outcome{domain.OutcomeApplied, domain.OutcomeAlready} {
						as := p.report(p.says(domain.EventComplete, neighbour, 1), end)
						require.Equal(t, want, as[0].Outcome, name)
						require.Equal(t, want, as[1].Outcome, name)
					}
					got := p.get(w.ID)
					require.Equal(t, domain.StatusCompleted, got.Status, name)
					require.Equal(t, domain.CleanResult(result), got.Result, name)
					require.Zero(t, got.RetryCount, name)
					require.Nil(t, got.Failure, name)
					require.Equal(t, domain.JSON(`{"n":1}`), p.get(neighbour.ID).Result, name)
				}
			}},
		{"a failure lands, whatever its message and its lines",
			"An outcome always lands: results and text are cleaned and cut, never refused", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				for name, message := range OddMessages() {
					for _, permanent := range []bool{false, true} {
						w := p.running(p.worker)
						end := p.says(domain.EventFail, w, 1)
						end.Failure = &domain.Failure{Type: "t\x00" + message, Message: message, Permanent: permanent}
						require.Equal(t, domain.OutcomeApplied, p.report(end)[0].Outcome, name)
						got := p.get(w.ID)
						require.Equal(t, end.Failure.Clean(), *got.Failure, name)
						want, retries := domain.StatusPending, 1
						if permanent {
							want, retries = domain.StatusFailed, 0
						}
						require.Equal(t, want, got.Status, name)
						require.Equal(t, retries, got.RetryCount, name)
					}
				}
				loud := p.running(p.worker)
				end := p.says(domain.EventComplete, loud, 1)
				end.Lines = []ports.LogEntry{{Level: "banana", Message: "still a line"}}
				require.Equal(t, domain.OutcomeApplied, p.report(end)[0].Outcome,
					"bad log lines do not make the outcome fail")
				require.Equal(t, domain.LevelInfo, p.lines(loud)[0].Level)
				silent := p.running(p.worker)
				require.Equal(t, domain.OutcomeApplied, p.report(p.says(domain.EventFail, silent, 1))[0].Outcome)
				require.NotEmpty(t, p.get(silent.ID).Failure.Message, "a failure without a reason gets a message")
			}},
		{"a bad report costs the others nothing",
			"illegal for what no worker may say, refused for what the store cannot take, each with a reason",
			func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a := p.running(p.worker)
				var bad []ports.Report
				for _, e := range []domain.Event{
					domain.EventAssign, domain.EventCancel, domain.EventLose, domain.EventCheckpoint,
					domain.EventLinger, domain.EventLetGo, "nonsense", "", "\x00\xff",
				} {
					bad = append(bad, p.says(e, a, 1))
				}
				for _, percent := range []float64{150, -1, math.MaxFloat64} {
					r := p.says(domain.EventProgress, a, 1)
					r.Percent = &percent
					bad = append(bad, r)
				}
				r := p.says(domain.EventLog, a, 1)
				r.Lines = []ports.LogEntry{{Level: "info", Message: "fine"}, {Level: "banana", Message: "not"}}
				bad = append(bad, r)
				for _, id := range []domain.WorkloadID{
					"", "wl_\x00", "wl_\xff", domain.WorkloadID(strings.Repeat("x", 500)),
				} {
					bad = append(bad, p.says(domain.EventComplete, domain.Workload{Spec: domain.Spec{ID: id}}, 1))
				}
				var batch []ports.Report
				for _, b := range bad {
					batch = append(batch, b, p.says(domain.EventProgress, a, 1))
				}
				last := p.running(p.worker)
				as := p.report(append(batch, p.says(domain.EventComplete, last, 1))...)
				for i := range bad {
					require.Contains(t, []domain.Outcome{domain.OutcomeIllegal, domain.OutcomeNotFound},
						as[2*i].Outcome, "%d: %+v", i, bad[i])
					require.NotEmpty(t, as[2*i].Reason, "%d: %+v", i, bad[i])
					require.Equal(t, domain.OutcomeApplied, as[2*i+1].Outcome, "the neighbour of %d", i)
				}
				require.Equal(t, domain.OutcomeApplied, as[len(as)-1].Outcome)
				got := p.get(a.ID)
				require.Equal(t, domain.StatusRunning, got.Status)
				require.Zero(t, got.ProgressPercent)
				require.Empty(t, p.lines(a), "a report that is not accepted leaves no lines")
				nan := math.NaN()
				r = p.says(domain.EventProgress, a, 1)
				r.Percent = &nan
				require.Equal(t, domain.OutcomeApplied, p.report(r)[0].Outcome, "NaN counts as no percentage")
			}},
		{"a batch of reports is bounded",
			"Report delivers at most domain.MaxReports reports", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a := p.running(p.worker)
				batch := make([]ports.Report, domain.MaxReports+1)
				for i := range batch {
					batch[i] = p.says(domain.EventProgress, a, 1)
				}
				_, err := p.Report(t.Context(), p.ref, batch)
				requireCode(t, err, domain.CodeInvalidInput)
				for _, ans := range p.report(batch[1:]...) {
					require.Equal(t, domain.OutcomeApplied, ans.Outcome)
				}
			}},
		{"lines are kept clean and bounded",
			"results and text are cleaned and cut, never refused", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a := p.running(p.worker)
				r := p.says(domain.EventLog, a, 1)
				for i := range domain.MaxReportLines + 100 {
					r.Lines = append(r.Lines, ports.LogEntry{Level: "INFO", Message: fmt.Sprint("line ", i)})
				}
				odd := p.says(domain.EventLog, a, 1)
				odd.Lines = []ports.LogEntry{
					{At: time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC), Level: "warning", Stream: "std\x00err",
						Message: "a\x00b\xff"},
					{Message: strings.Repeat("é", domain.MaxLogMessage)},
				}
				for _, ans := range p.report(r, odd) {
					require.Equal(t, domain.OutcomeApplied, ans.Outcome)
				}
				got := p.lines(a)
				require.Len(t, got, domain.MaxReportLines+2)
				require.Contains(t, got[0].Message, "101 log lines were dropped")
				require.Equal(t, fmt.Sprint("line ", domain.MaxReportLines+99), got[domain.MaxReportLines-1].Message,
					"the newest are kept")
				line, long := got[domain.MaxReportLines], got[domain.MaxReportLines+1]
				require.Equal(t, "ab\uFFFD", line.Message)
				require.Equal(t, domain.LevelWarn, line.Level)
				require.Equal(t, "stderr", line.Stream)
				require.WithinDuration(t, time.Now(), line.At, 24*time.Hour,
					"an impossible time is replaced by the time of arrival")
				require.LessOrEqual(t, len(long.Message), domain.MaxLogMessage)
				require.Equal(t, domain.LevelInfo, long.Level)
			}},
		{"log lines are there when the outcome is",
			"The lines of a run are kept with the report that brings them", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				for i := range 20 {
					w := p.running(p.worker)
					log, end := p.says(domain.EventLog, w, 1), p.says(domain.EventComplete, w, 1)
					log.Lines = []ports.LogEntry{{Level: "info", Message: "one"}, {Level: "info", Message: "two"}}
					end.Lines = []ports.LogEntry{{Level: "info", Message: "three"}}
					answered := make(chan struct{})
					go func() {
						defer close(answered)
						// the result is read from the store below
						_, _ = p.ControlPlane.Report(t.Context(), p.ref, []ports.Report{log, end})
					}()
					eventually(t, func() bool { return p.get(w.ID).Status == domain.StatusCompleted }, "the outcome")
					require.Len(t, p.lines(w), 3, "run %d", i)
					<-answered
				}
			}},
		{"progress of a checkpoint is clean and bounded",
			"SaveCheckpoint stores a checkpoint", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a := p.running(p.worker)
				half, over := 50.0, 150.0
				up := ports.CheckpointUpload{
					WorkloadID: a.ID, Generation: 1, Sequence: 1, Percent: &half,
					Message: "a\x00b" + strings.Repeat("x", 5000), Data: []byte("x"),
				}
				ans, err := p.SaveCheckpoint(t.Context(), p.ref, up)
				require.NoError(t, err)
				require.Equal(t, domain.OutcomeApplied, ans.Outcome)
				got := p.get(a.ID)
				require.Equal(t, domain.CleanAndCut(up.Message, domain.MaxProgressMessage), got.ProgressMessage)
				up.Sequence, up.Percent = 2, &over
				_, err = p.SaveCheckpoint(t.Context(), p.ref, up)
				requireCode(t, err, domain.CodeInvalidInput)
				require.Equal(t, int64(1), p.get(a.ID).CheckpointSequence)
			}},
		{"bad messages are dropped",
			"bad ones are dropped with a metric; none of them can stop a consumer", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				if h.Junk == nil {
					return // the transport has no messages
				}
				junk := []string{"", "x", "\x00\xff", "[]", "{}", `{"type":7}`,
					`{"type":"worker.reports","version":1,"payload":7}`, `{"type":"worker.dance","version":1}`,
					`{"type":"worker.reports","version":1,"payload":` + string(nestedJSON(20_000)) + `}`}
				before := h.Dropped()
				for _, data := range junk {
					h.Junk([]byte(data))
				}
				w := p.running(p.worker)
				require.Equal(t, domain.OutcomeApplied, p.report(p.says(domain.EventComplete, w, 1))[0].Outcome)
				eventually(t, func() bool { return h.Dropped()-before >= float64(len(junk)) },
					"all of them to be counted")
			}},
	}
}

// lines returns the log lines of a workload.
func (p *plane) lines(w domain.Workload) []domain.LogLine {
	p.Helper()
	got, err := p.Logs.List(p.Context(), ports.LogQuery{
		Customer: w.CustomerID, Workload: w.ID, Limit: 2 * domain.MaxReportLines,
	})
	require.NoError(p, err)
	return got
}

// planeSessionCases are about what each call may do in which session.
func planeSessionCases() []Case[PlaneHarness] {
	return []Case[PlaneHarness]{
		{"a heartbeat is answered whatever customers have submitted",
			"the answer carries whatever the worker must do that it may have missed; an answer is small enough to " +
				"be read before the lease is over", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				var small domain.Workload
				for i := range 5 {
					w := p.submit(func(s *domain.Submission) {
						if i < 4 {
							s.Input = domain.JSON(`{"x":"` + strings.Repeat("x", 300<<10) + `"}`)
						}
					})
					p.must(assign(w, p.worker))
					small = w
				}
				h.Advance(2 * time.Second)
				commands := p.beat()
				requireAssigned(t, commands, small)
				size := 0
				for i := range commands {
					size += commands[i].Assignment.Size()
				}
				require.Less(t, size, 512<<10)
			}},
		{"a call names its session",
			"without a worker id and a session id it is CodeInvalidInput", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a := p.running(p.worker)
				p.save(a, p.worker, 1, domain.OutcomeApplied)
				p.must(report(a, p.worker, domain.EventComplete, 1)) // not held now: its session is empty, too
				for _, ref := range []ports.SessionRef{
					{}, {WorkerID: "w"}, {SessionID: "s1"}, {WorkerID: "w", SessionID: "s\x00"},
					{WorkerID: "w.*", SessionID: "s1"},
				} {
					for name, err := range everyCall(p, ref, a) {
						require.Error(t, err, "%s by %q", name, ref)
						require.Equal(t, domain.CodeInvalidInput, domain.CodeOf(err), "%s by %q: %v", name, ref, err)
					}
				}
			}},
		{"every call of an ended session is fenced",
			"CodeFenced when the session is not live; the reports of a session that is not live are fenced, each",
			func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a := p.running(p.worker)
				p.save(a, p.worker, 1, domain.OutcomeApplied)
				_, err := p.LoadCheckpoint(t.Context(), p.ref, a.ID, 1, 1)
				require.NotEqual(t, domain.CodeFenced, domain.CodeOf(err), "the holder may")
				require.NoError(t, p.Fleet.Remove(t.Context(), "w", admin))
				p.fenced(a)
				require.Equal(t, a.Status, p.get(a.ID).Status)
			}},
		{"only the holder loads a checkpoint",
			"Only the holder of the workload at that generation may, in a live session", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a := p.running(p.worker)
				// One that is damaged would be refused to others by the record of that, in any case.
				saved, err := p.SaveCheckpoint(t.Context(), p.ref, ports.CheckpointUpload{
					WorkloadID: a.ID, Generation: 1, Sequence: 1, Data: []byte("x"),
				})
				require.NoError(t, err)
				require.Equal(t, domain.OutcomeApplied, saved.Outcome)
				_, err = h.Plane("v").Register(t.Context(), registration("v", "v1", 1))
				require.NoError(t, err)
				other := ports.SessionRef{WorkerID: "v", SessionID: "v1"}
				_, err = h.Plane("v").LoadCheckpoint(t.Context(), other, a.ID, 1, 1)
				requireCode(t, err, domain.CodeFenced)
				// Worker v names w's session: fenced, because the session is not v's.
				_, err = h.Plane("v").LoadCheckpoint(t.Context(), ports.SessionRef{WorkerID: "v", SessionID: "s1"},
					a.ID, 1, 1)
				requireCode(t, err, domain.CodeFenced)
				_, err = p.LoadCheckpoint(t.Context(), p.ref, "wl_none", 1, 1)
				requireCode(t, err, domain.CodeFenced)
				p.must(report(a, p.worker, domain.EventComplete, 1))
				_, err = p.LoadCheckpoint(t.Context(), p.ref, a.ID, 1, 1)
				requireCode(t, err, domain.CodeFenced)
			}},
		{"an old session takes nothing from its successor",
			"such a poll takes nothing from the session that came after it", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				successor := h.Plane("w")
				_, err := successor.Register(t.Context(), takeOver("w", "s2", 10))
				require.NoError(t, err)
				_, err = successor.Poll(t.Context(), ports.SessionRef{WorkerID: "w", SessionID: "s2"}, 0)
				require.NoError(t, err)
				cmd := ports.Command{Kind: ports.CommandCancel, SessionID: "s2", WorkloadID: "wl_1", Generation: 3}
				h.Notifier.Command(t.Context(), "w", cmd)
				for range 3 {
					// an error is allowed: a coordinator fences the old session
					stolen, _ := p.Poll(t.Context(), p.ref, 10*time.Millisecond)
					require.Empty(t, stolen)
				}
				var got []ports.Command
				eventually(t, func() bool {
					got, err = successor.Poll(t.Context(), ports.SessionRef{WorkerID: "w", SessionID: "s2"},
						50*time.Millisecond)
					require.NoError(t, err)
					return len(got) > 0
				}, "the command")
				require.Equal(t, []ports.Command{cmd}, got)
			}},
		{"an inventory is bounded",
			"An inventory has at most MaxInventory items", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				// On a loaded machine a transport may give up, as it does for workers.
				beat := func(n int) (err error) {
					inventory := make([]ports.InventoryItem, n)
					for i := range inventory {
						inventory[i] = ports.InventoryItem{
							WorkloadID: domain.WorkloadID(fmt.Sprint("wl_", i)), Generation: 1, State: ports.RunReporting,
						}
					}
					eventually(t, func() bool {
						_, err = p.Heartbeat(t.Context(), ports.Heartbeat{SessionRef: p.ref, Inventory: inventory})
						return !domain.IsCode(err, domain.CodeUnavailable)
					}, "an answer")
					return err
				}
				err := beat(ports.MaxInventory + 1)
				requireCode(t, err, domain.CodeInvalidInput)
				require.ErrorContains(t, err, fmt.Sprint("inventory: must be at most ", ports.MaxInventory, " items"))
				require.NoError(t, beat(ports.MaxInventory))
			}},
		{"a heartbeat with an unknown state is refused",
			"CodeInvalidInput for an inventory that names no workload or a state that is not known",
			func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a := p.running(p.worker)
				for _, bad := range []ports.InventoryItem{
					{WorkloadID: a.ID, Generation: 1, State: "dancing"}, {WorkloadID: a.ID, Generation: 1},
					{Generation: 1, State: ports.RunRunning},
					{WorkloadID: "wl_\x00", Generation: 1, State: ports.RunRunning},
				} {
					_, err := p.Heartbeat(t.Context(), ports.Heartbeat{
						SessionRef: p.ref, Inventory: []ports.InventoryItem{item(a), bad},
					})
					requireCode(t, err, domain.CodeInvalidInput)
				}
				require.Empty(t, p.beat(item(a)))
			}},
	}
}

// everyCall makes each call that names a session, and returns the errors by name.
func everyCall(p *plane, ref ports.SessionRef, w domain.Workload) map[string]error {
	ctx := p.Context()
	_, beat := p.Heartbeat(ctx, ports.Heartbeat{SessionRef: ref})
	_, reported := p.Report(ctx, ref, []ports.Report{p.says(domain.EventComplete, w, 1)})
	_, saved := p.SaveCheckpoint(ctx, ref, ports.CheckpointUpload{
		WorkloadID: w.ID, Generation: 1, Sequence: 2, Data: []byte("x"),
	})
	_, loaded := p.LoadCheckpoint(ctx, ref, w.ID, 1, 1)
	return map[string]error{"Heartbeat": beat, "Report": reported, "SaveCheckpoint": saved, "LoadCheckpoint": loaded}
}

// fenced requires that every call of the session is fenced.
func (p *plane) fenced(w domain.Workload) {
	p.Helper()
	for _, ans := range p.report(p.says(domain.EventProgress, w, 1), p.says(domain.EventComplete, w, 1),
		p.says(domain.EventRelease, w, 1)) {
		require.Equal(p, domain.OutcomeFenced, ans.Outcome)
	}
	ans, err := p.SaveCheckpoint(p.Context(), p.ref, ports.CheckpointUpload{
		WorkloadID: w.ID, Generation: 1, Sequence: w.CheckpointSequence + 2, Data: []byte("x"),
	})
	require.NoError(p, err)
	require.Equal(p, domain.OutcomeFenced, ans.Outcome)
	_, err = p.LoadCheckpoint(p.Context(), p.ref, w.ID, 1, 1)
	requireCode(p, err, domain.CodeFenced)
	_, err = p.Heartbeat(p.Context(), ports.Heartbeat{SessionRef: p.ref})
	requireCode(p, err, domain.CodeFenced)
}
