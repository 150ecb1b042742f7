package contracttests

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

func applyCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"every event in every state does what the domain decides",
			"Apply executes the transitions as domain.Decide says", everyEvent},
		{"start and completion in one batch are two events",
			"Results stand in the order of the batch; several items may concern one workload",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.submit()
				f.must(assign(a, w))
				rs := f.apply(report(a, w, domain.EventStart, 1), report(a, w, domain.EventComplete, 1))
				require.Equal(t, domain.StatusRunning, rs[0].State.Status)
				require.Equal(t, domain.StatusCompleted, rs[1].State.Status)
				got := f.get(a.ID)
				require.Equal(t, domain.JSON(`{"done":true}`), got.Result)
				require.Empty(t, got.WorkerID)
				require.Equal(t, w.ID, got.LastWorkerID)
				require.False(t, got.StartedAt.IsZero())
				require.Equal(t, []domain.AuditType{domain.AuditCreated, domain.AuditScheduled, domain.AuditStarted,
					domain.AuditCompleted}, f.trail(a))
			}},
		{"a fenced item changes nothing and leaves the others alone",
			"An item that is not applied changes nothing and does not affect the others", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				a, b := f.running(w), f.running(w)
				stale := report(a, w, domain.EventComplete, 0)
				missing := stale
				missing.WorkloadID = "wl_none"
				before := f.get(a.ID)
				rs := f.apply(stale, missing, report(b, w, domain.EventComplete, 1))
				require.Equal(t, []domain.Outcome{domain.OutcomeFenced, domain.OutcomeNotFound, domain.OutcomeApplied},
					[]domain.Outcome{rs[0].Outcome, rs[1].Outcome, rs[2].Outcome})
				require.Equal(t, before, f.get(a.ID))
				require.Equal(t, domain.StatusRunning, rs[0].State.Status, "the loser is told the current state")
			}},
		{"reports of an older generation are fenced",
			"rule 2: applied only if its generation is the workload's and it is held by its session",
			func(t T, h StoreHarness) {
				f := given(t, h)
				old, young := f.worker("old", 1), f.worker("young", 1)
				a := f.running(old)
				f.must(lose(a, domain.LossExpired))
				f.must(assign(f.get(a.ID), young))
				for _, e := range []domain.Event{
					domain.EventStart, domain.EventProgress, domain.EventComplete, domain.EventFail,
					domain.EventRelease, domain.EventPaused,
				} {
					r := f.apply(report(a, old, e, 1))[0]
					if e == domain.EventStart {
						require.Equal(t, domain.OutcomeAlready, r.Outcome)
						continue
					}
					require.Equal(t, domain.OutcomeFenced, r.Outcome, e)
					forged := report(a, old, e, 2)
					require.Equal(t, domain.OutcomeFenced, f.apply(forged)[0].Outcome,
						"%s with a guessed generation", e)
				}
				require.Equal(t, domain.StatusScheduled, f.get(a.ID).Status)
			}},
		{"a repeated transition is answered as already applied",
			"rule 3: repeating answers success and changes nothing", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.submit()
				first := assign(a, w)
				f.must(first)
				require.Equal(t, domain.OutcomeAlready, f.apply(first)[0].Outcome)
				done := []domain.Transition{report(a, w, domain.EventStart, 1), report(a, w, domain.EventComplete, 1)}
				f.apply(done...)
				before := f.get(a.ID)
				for _, r := range f.apply(done...) {
					require.Equal(t, domain.OutcomeAlready, r.Outcome)
				}
				require.Equal(t, before, f.get(a.ID))
				require.Len(t, f.trail(a), 4)
			}},
		{"a cancel is repeated by its own request only",
			"rule 3: a cancel is repeated only by the request that made it", func(t T, h StoreHarness) {
				f := given(t, h)
				a := f.submit()
				requested := func(request string) domain.Transition {
					tr := cancel(a)
					tr.Request = request
					return tr
				}
				rs := race(16, func(i int) domain.Outcome {
					out, err := h.Open().Workloads.Apply(t.Context(), domain.Batch{
						Transitions: []domain.Transition{requested([]string{"r", "s"}[i%2])},
					})
					if err != nil {
						return "error"
					}
					return out[0].Outcome
				})
				for outcome, want := range map[domain.Outcome]int{
					domain.OutcomeApplied: 1, domain.OutcomeAlready: 7, domain.OutcomeIllegal: 8,
				} {
					require.Equal(t, want, count(rs, func(o domain.Outcome) bool { return o == outcome }), "%s: %v", outcome, rs)
				}
				before := f.get(a.ID)
				r := f.apply(requested(before.CancelRequest), requested("x"), cancel(a))
				require.Equal(t, domain.OutcomeAlready, r[0].Outcome)
				require.Equal(t, before.State, r[0].State, "what the first one led to")
				require.Equal(t, domain.OutcomeIllegal, r[1].Outcome)
				require.Equal(t, domain.OutcomeIllegal, r[2].Outcome)
				require.Equal(t, domain.StatusCancelled, r[1].State.Status)
				require.Len(t, f.trail(a), 2)
				h.Advance(domain.IdempotencyRetention)
				require.Equal(t, domain.OutcomeIllegal, f.apply(requested(before.CancelRequest))[0].Outcome)
				require.Equal(t, before, f.get(a.ID))
			}},
		{"of complete, cancel and lose exactly one wins",
			"rule 1: the first transition to commit wins", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 50)
				for range 10 {
					a := f.running(w)
					ts := []domain.Transition{
						report(a, w, domain.EventComplete, 1), cancel(a), lose(a, domain.LossExpired),
						report(a, w, domain.EventFail, 1), report(a, w, domain.EventRelease, 1),
					}
					rs := race(len(ts)*4, func(i int) domain.Outcome {
						b := domain.Batch{Transitions: []domain.Transition{ts[i%len(ts)]}}
						if b.NeedsEpoch() {
							b.Epoch = f.epoch
						}
						out, err := h.Open().Workloads.Apply(t.Context(), b)
						if err != nil {
							return "error"
						}
						return out[0].Outcome
					})
					require.Zero(t, count(rs, func(o domain.Outcome) bool { return o == "error" }))
					ends := 0
					for _, e := range f.trail(a)[3:] {
						if e != domain.AuditCancelled {
							ends++
						}
					}
					require.LessOrEqual(t, ends, 1, "one end of the run: %v", f.trail(a))
					require.Len(t, f.trail(a)[3:], count(rs, func(o domain.Outcome) bool {
						return o == domain.OutcomeApplied
					}))
				}
			}},
		{"a decision of the leader on an older generation is fenced",
			"FromLeader events carry the generation they decided on", func(t T, h StoreHarness) {
				f := given(t, h)
				v, w := f.worker("v", 2), f.worker("w", 2)
				a := f.running(v)
				f.must(report(a, v, domain.EventRelease, 1))
				stale := assign(a, w)
				stale.Generation = 1
				require.Equal(t, domain.OutcomeFenced, f.apply(stale)[0].Outcome, "an assignment")
				f.must(assign(f.get(a.ID), v)) // the same session again, at generation 2
				late := lose(a, domain.LossExpired)
				late.SessionID = ""
				require.Equal(t, domain.OutcomeFenced, f.apply(late)[0].Outcome, "a loss")
				require.Equal(t, domain.StatusScheduled, f.get(a.ID).Status)
			}},
		{"a stale epoch applies nothing of its batch",
			"the epoch must be the current leader epoch at commit, else CodeFenced and nothing is applied",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				a, b := f.submit(), f.running(w)
				require.NoError(t, f.Leader.Release(t.Context(), holder, f.epoch))
				l, held, err := f.Leader.Acquire(t.Context(), "successor", ttl)
				require.NoError(t, err)
				require.True(t, held)
				for _, epoch := range []int64{0, f.epoch, l.Epoch + 1} {
					_, err := f.Workloads.Apply(t.Context(),
						domain.Batch{Epoch: epoch, Transitions: []domain.Transition{
							report(b, w, domain.EventComplete, 1), assign(a, w),
						}})
					requireCode(t, err, domain.CodeFenced)
				}
				require.Equal(t, domain.StatusPending, f.get(a.ID).Status)
				require.Equal(t, domain.StatusRunning, f.get(b.ID).Status)
				f.epoch = l.Epoch
				f.must(assign(a, w))
			}},
		{"a released epoch is nobody's", "the epoch must be the current leader epoch", func(t T, h StoreHarness) {
			f := given(t, h)
			a, w := f.submit(), f.worker("w", 1)
			require.NoError(t, f.Leader.Release(t.Context(), holder, f.epoch))
			_, err := f.Workloads.Apply(t.Context(), domain.Batch{
				Epoch: f.epoch, Transitions: []domain.Transition{assign(a, w)},
			})
			requireCode(t, err, domain.CodeFenced)
		}},
		{"another customer's workload is not there",
			"Another customer's id behaves exactly like a missing one", func(t T, h StoreHarness) {
				f := given(t, h)
				a := f.submit()
				foreign := cancel(a)
				foreign.CustomerID = rival
				none := foreign
				none.WorkloadID = "wl_none"
				rs := f.apply(foreign, none)
				require.Equal(t, domain.OutcomeNotFound, rs[0].Outcome)
				rs[0].WorkloadID, rs[1].WorkloadID = "", ""
				require.Equal(t, rs[1], rs[0])
				require.Equal(t, domain.StatusPending, f.get(a.ID).Status)
			}},
		{"a log event is checked and leaves no trace",
			"writes one audit event for each that is applied and audited", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.running(w)
				require.Equal(t, domain.OutcomeApplied, f.apply(report(a, w, domain.EventLog, 1))[0].Outcome)
				require.Equal(t, a, f.get(a.ID))
				require.Equal(t, domain.OutcomeFenced, f.apply(report(a, w, domain.EventLog, 2))[0].Outcome)
				require.Len(t, f.trail(a), 3)
			}},
		{"a requested pause survives the loss of the worker", "rule 5", func(t T, h StoreHarness) {
			f := given(t, h)
			a := f.running(f.worker("w", 1))
			f.must(domain.Transition{WorkloadID: a.ID, CustomerID: acme, Event: domain.EventRequestPause})
			require.Equal(t, domain.StatusPaused, f.must(lose(a, domain.LossExpired)).Status)
		}},
		{"the reason of a pause stays until it is over", "rule 5", func(t T, h StoreHarness) {
			f := given(t, h)
			w := f.worker("w", 1)
			a := f.running(w)
			const why = "the month is closed"
			f.must(domain.Transition{WorkloadID: a.ID, CustomerID: acme, Event: domain.EventRequestPause, Reason: why})
			for _, e := range []domain.Event{domain.EventProgress, domain.EventPaused} {
				f.must(report(a, w, e, 1))
				require.Equal(t, why, f.get(a.ID).Reason, e)
			}
			f.must(domain.Transition{WorkloadID: a.ID, CustomerID: acme, Event: domain.EventResume})
			require.Empty(t, f.get(a.ID).Reason)
		}},
	}
}

// everyEvent brings a workload into each state by legal events, and compares the store with
// domain.Decide for each event.
func everyEvent(t T, h StoreHarness) {
	f := given(t, h)
	w := f.worker("w", 10_000)
	f.limit(domain.Limits{MaxConcurrent: 10_000, MaxQueueDepth: 10_000})
	paths := map[domain.Status]func() domain.Workload{
		domain.StatusPending:   func() domain.Workload { return f.submit() },
		domain.StatusScheduled: func() domain.Workload { a := f.submit(); f.must(assign(a, w)); return a },
		domain.StatusRunning:   func() domain.Workload { return f.running(w) },
		domain.StatusPaused: func() domain.Workload {
			a := f.running(w)
			f.must(domain.Transition{WorkloadID: a.ID, CustomerID: a.CustomerID, Event: domain.EventRequestPause})
			f.must(report(a, w, domain.EventPaused, 1))
			return a
		},
		domain.StatusRedistributing: func() domain.Workload {
			a := f.running(w)
			f.must(report(a, w, domain.EventRelease, 1))
			return a
		},
		domain.StatusCompleted: func() domain.Workload {
			a := f.running(w)
			f.must(report(a, w, domain.EventComplete, 1))
			return a
		},
		domain.StatusFailed: func() domain.Workload {
			a := f.running(w)
			tr := report(a, w, domain.EventFail, 1)
			tr.Failure.Permanent = true
			f.must(tr)
			return a
		},
		domain.StatusCancelled: func() domain.Workload { a := f.submit(); f.must(cancel(a)); return a },
	}
	for _, status := range domain.Statuses() {
		for _, rule := range domain.Rules() {
			if rule.Event == domain.EventCheckpoint {
				continue // saved through the CheckpointStore
			}
			a := f.get(paths[status]().ID)
			require.Equal(t, status, a.Status)
			h.Advance(time.Second)
			tr := report(a, w, rule.Event, a.Generation)
			if rule.Event == domain.EventAssign {
				tr = assign(a, w)
			}
			tr.Loss, tr.Reason, tr.CustomerID = domain.LossExpired, "because", a.CustomerID
			out, next, audit := domain.Decide(&a, &tr, f.now())
			r := f.apply(tr)[0]
			require.Equal(t, out, r.Outcome, "%s in %s", rule.Event, status)
			got := f.get(a.ID)
			if out != domain.OutcomeApplied {
				require.Equal(t, a, got, "%s in %s changes nothing", rule.Event, status)
				continue
			}
			require.Equal(t, next.Status, r.State.Status)
			require.Equal(t, got.State, r.State)
			next.UpdatedAt, next.NotBefore, next.Deadline = got.UpdatedAt, got.NotBefore, got.Deadline
			next.ScheduledAt, next.StartedAt, next.FinishedAt = got.ScheduledAt, got.StartedAt, got.FinishedAt
			next.Executed = got.Executed
			require.Equal(t, timeless(next).Declines, timeless(got.State).Declines)
			next.Declines = got.Declines
			require.Equal(t, next, got.State, "%s in %s", rule.Event, status)
			trail := f.trail(a)
			if audit.Type != "" {
				require.Equal(t, audit.Type, trail[len(trail)-1])
			}
		}
	}
}

// now returns the store's time, which it reads from a row that the store writes.
func (f *fixture) now() time.Time {
	f.Helper()
	c, err := f.Customers.Update(f.Context(), rival, domain.CustomerPatch{}, admin)
	require.NoError(f, err)
	return c.UpdatedAt
}
