package contracttests

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// endingCases are about ending runs. Their workloads are no longer held, but they still take a
// slot.
func endingCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"an ending run keeps its slot",
			"the worker's slots are taken, by what it holds and by what it has not let go of",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w, free := f.worker("w", 2), f.worker("free", 1)
				stuck, other := f.running(w), f.running(w)
				h.Advance(time.Minute)
				f.must(cancel(stuck))
				h.Advance(time.Second)
				require.Equal(t, []domain.Occupancy{{SessionID: w.SessionID, Lane: f.lane(stuck), Count: 1, Ending: 1}},
					f.occupancy())
				held := f.held(w)
				require.Len(t, held, 2)
				require.Equal(t, other.ID, held[0].WorkloadID)
				require.Equal(t, ports.HeldWorkload{
					WorkloadID: stuck.ID, CustomerID: acme, WorkerID: w.ID, SessionID: w.SessionID,
					Lane: stuck.Lane, Generation: 1, HeldFor: held[1].HeldFor, Ending: true,
					EndingFor: held[1].EndingFor, Status: domain.StatusCancelled,
				}, held[1])
				require.GreaterOrEqual(t, held[1].HeldFor, time.Minute)
				require.GreaterOrEqual(t, held[1].EndingFor, time.Second)
				require.Less(t, held[1].EndingFor, time.Minute)
				u, err := f.Statistics.Usage(t.Context(), acme)
				require.NoError(t, err)
				require.Equal(t, 1, u.Running, "it counts no longer against its customer")
				a := f.submit()
				r := f.apply(assign(a, w))[0]
				require.Equal(t, domain.OutcomeRefused, r.Outcome)
				require.Contains(t, r.Reason, "all 2 slots")
				f.must(assign(a, free))
				f.must(domain.Transition{
					WorkloadID: stuck.ID, Event: domain.EventLetGo, Generation: 1,
					SessionID: w.SessionID, WorkerID: w.ID,
				})
				f.must(assign(f.submit(), w))
			}},
		{"the last transition of a batch decides about an ending run",
			"Apply executes the transitions in order: ending runs are kept in the same transaction",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				kept, freed := f.running(w), f.running(w)
				ends := func(a domain.Workload, e domain.Event, lingers bool) domain.Transition {
					r := report(a, w, e, 1)
					r.StillRunning = lingers
					return r
				}
				f.apply(
					ends(kept, domain.EventDecline, false), // it is refused, and frees the run
					ends(kept, domain.EventComplete, true),
					ends(freed, domain.EventComplete, true), ends(freed, domain.EventFail, false),
				)
				held := f.held(w)
				require.Len(t, held, 1)
				require.Equal(t, kept.ID, held[0].WorkloadID)
				require.True(t, held[0].Ending)
			}},
		{"an ending run keeps its slot within one batch",
			"the worker's slots are taken, by what it holds and by what it has not let go of",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a, b := f.running(w), f.submit()
				rs := f.apply(cancel(a), assign(b, w))
				require.Equal(t, domain.OutcomeApplied, rs[0].Outcome)
				require.Equal(t, domain.OutcomeRefused, rs[1].Outcome)
			}},
		{"the last report frees the slot",
			"Ending runs are kept in the same transaction, as Result.Hands says", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				for _, last := range []domain.Event{domain.EventRelease, domain.EventComplete, domain.EventFail} {
					a := f.running(w)
					f.must(cancel(a))
					require.Len(t, f.held(w), 1)
					require.Equal(t, domain.OutcomeFenced, f.apply(report(a, w, last, 1))[0].Outcome)
					require.Empty(t, f.held(w), "%s", last)
				}
				a := f.running(w)
				early := report(a, w, domain.EventFail, 1)
				early.StillRunning = true
				f.must(early)
				require.Len(t, f.held(w), 1, "reported while the handler runs")
				require.Equal(t, domain.OutcomeAlready, f.apply(early)[0].Outcome)
				require.Len(t, f.held(w), 1)
				require.Equal(t, domain.OutcomeAlready, f.apply(report(a, w, domain.EventFail, 1))[0].Outcome)
				require.Empty(t, f.held(w))
				require.Empty(t, f.occupancy())
			}},
		{"an inventory keeps and frees slots",
			"Ending runs are kept in the same transaction, as Result.Hands says", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.running(w)
				says := func(e domain.Event) domain.Outcome {
					tr := report(a, w, e, 1)
					tr.WorkerID = w.ID
					r := f.apply(tr)[0]
					require.Equal(t, f.get(a.ID).State, r.State, "answers carry the whole state")
					return r.Outcome
				}
				require.Equal(t, domain.OutcomeIllegal, says(domain.EventLinger), "it holds it")
				f.must(report(a, w, domain.EventComplete, 1))
				trail, state := f.trail(a), f.get(a.ID).State
				for range 2 {
					require.Equal(t, domain.OutcomeApplied, says(domain.EventLinger))
					o := f.occupancy()
					require.Len(t, o, 1, "repeating it changes nothing")
					require.False(t, o[0].FoundAt.IsZero())
					o[0].FoundAt = time.Time{}
					require.Equal(t, []domain.Occupancy{{SessionID: w.SessionID, Lane: f.lane(a), Ending: 1}}, o)
				}
				for range 2 {
					require.Equal(t, domain.OutcomeApplied, says(domain.EventLetGo))
					require.Empty(t, f.occupancy())
				}
				require.Equal(t, trail, f.trail(a), "nothing is audited")
				require.Equal(t, state, f.get(a.ID).State)
			}},
		{"an assignment knows the runs that were found",
			"a run of the session was found in its worker's inventory after the plan", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				a, b, c := f.running(w), f.submit(), f.submit()
				f.must(report(a, w, domain.EventComplete, 1))
				found := report(a, w, domain.EventLinger, 1)
				found.WorkerID = w.ID
				require.Equal(t, domain.OutcomeApplied, f.apply(found)[0].Outcome)
				r := f.apply(assign(b, w))[0]
				require.Equal(t, domain.OutcomeRefused, r.Outcome, "the plan is older than what was found")
				require.NotEmpty(t, r.Reason)
				known := assign(b, w)
				known.FoundAt = f.occupancy()[0].FoundAt
				f.must(known)
				_, err := f.Workloads.Apply(t.Context(), domain.Batch{
					Epoch: f.epoch, Transitions: []domain.Transition{found, assign(c, w)},
				})
				require.Equal(t, domain.CodeInternal, domain.CodeOf(err),
					"assignments and inventory events are not allowed in one batch")
				gone := report(a, w, domain.EventLetGo, 1)
				gone.WorkerID = w.ID
				f.apply(gone)
				f.must(assign(c, w))
			}},
		{"an ending run ends with its session", "what live sessions have not let go of", func(t T, h StoreHarness) {
			f := given(t, h)
			w, r, m, x := f.worker("ok", 5), f.worker("replaced", 5), f.worker("removed", 5), f.worker("expired", 5)
			for _, wk := range []domain.Worker{w, r, m, x} {
				f.must(cancel(f.running(wk)))
			}
			lost := f.running(r)
			require.Len(t, f.occupancy(), 4)
			h.Advance(lease + time.Second)
			f.beat(w, r, m)
			_, err := f.Workers.Expire(t.Context(), f.epoch, 10)
			require.NoError(t, err)
			second := registration("replaced", "second", 5)
			second.TakeOver = true
			_, err = f.Workers.Register(t.Context(), second, lease)
			require.NoError(t, err)
			require.NoError(t, f.Fleet.Remove(t.Context(), m.ID, admin))
			require.Equal(t, []domain.Occupancy{
				{SessionID: w.SessionID, Lane: f.lane(lost), Ending: 1},
				{SessionID: r.SessionID, Lane: f.lane(lost), Count: 1},
			}, f.occupancy())
			f.must(lose(f.get(lost.ID), domain.LossReplaced))
			require.Len(t, f.occupancy(), 1)
			tr := report(lost, r, domain.EventLinger, 1)
			tr.WorkerID = r.ID
			f.must(cancel(lost))
			f.apply(tr)
			require.Len(t, f.occupancy(), 1, "a session that has ended keeps nothing")
		}},
		{"heads name the workers that declined",
			"which workers gave it back lately; the other workers are asked at once", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				a := f.submit()
				f.must(assign(a, w))
				f.must(report(a, w, domain.EventDecline, 1))
				got := f.get(a.ID)
				require.Len(t, got.Declines, 1)
				require.Equal(t, domain.Decline{WorkerID: "w", Count: 1, Until: got.UpdatedAt.Add(domain.DeclinePause)},
					got.Declines[0])
				heads := f.heads(5)
				require.Equal(t, []domain.Candidate{{ID: a.ID, Generation: 1, QueueAt: a.QueueAt,
					Declines: got.Declines}}, heads[0].Heads)
				heads[0].Heads[0].Declines[0].Count = 99
				require.Equal(t, 1, f.heads(5)[0].Heads[0].Declines[0].Count, "nothing is shared")
				f.must(assign(got, w))
				f.must(report(a, w, domain.EventStart, 2))
				require.Empty(t, f.get(a.ID).Declines)
				f.must(report(a, w, domain.EventFail, 2))
				h.Advance(2 * time.Hour)
				for _, c := range f.heads(5)[0].Heads {
					require.Empty(t, c.Declines)
				}
				require.Len(t, f.heads(5)[0].Heads, 1)
			}},
	}
}

// occupancy returns the occupancy of all sessions, without the ends of runs.
func (f *fixture) occupancy() []domain.Occupancy {
	f.Helper()
	occ, err := f.Queue.Occupancy(f.Context())
	require.NoError(f, err)
	return endless(occ)
}

// endless removes the ends of runs, which depend on the time.
func endless(occ []domain.Occupancy) []domain.Occupancy {
	for i := range occ {
		occ[i].Ends, occ[i].End = nil, time.Time{}
	}
	return occ
}

func (f *fixture) held(w domain.Worker) []ports.HeldWorkload {
	f.Helper()
	held, err := f.Queue.Held(f.Context(), w.SessionID)
	require.NoError(f, err)
	return held
}
