package contracttests

import (
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

func assignCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"an assignment that is done answers with all that its worker needs",
			"Assigned is the workload after an assignment, with all that its worker needs to know",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.submit(func(s *domain.Submission) {
					s.Input, s.Labels = `{"n":1}`, map[string]string{"team": "red"}
					s.Run.Config, s.Run.Timeout = `{"c":2}`, time.Minute
				})
				for _, want := range []domain.Outcome{domain.OutcomeApplied, domain.OutcomeAlready} {
					r := f.apply(assign(a, w))[0]
					require.Equal(t, want, r.Outcome)
					require.Equal(t, f.get(a.ID), *r.Assigned)
				}
				refused := f.apply(assign(f.submit(), w))[0]
				require.Equal(t, domain.OutcomeRefused, refused.Outcome)
				require.Nil(t, refused.Assigned)
			}},
		{"an assignment leaves out what is large or has all of it",
			"A store that would have to read a large input or config leaves both empty",
			func(t T, h StoreHarness) {
				f := given(t, h)
				large := domain.JSON(`{"x":"` + strings.Repeat("x", 512<<10) + `"}`)
				w := f.worker("w", 2)
				for _, set := range []func(*domain.Submission){
					func(s *domain.Submission) { s.Input = large },
					func(s *domain.Submission) { s.Run.Config = large },
				} {
					a := f.submit(set)
					got, whole := *f.apply(assign(a, w))[0].Assigned, f.get(a.ID)
					require.NotEmpty(t, whole.Input)
					if got.Input == "" {
						whole.Input, whole.Run.Config = "", ""
					}
					require.Equal(t, whole, got)
				}
			}},
		{"a brief read has all but what may be large",
			"GetBrief is Get of the workloads as domain.Workload.Brief returns them", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 2)
				a := f.submit(func(s *domain.Submission) {
					s.Input, s.Labels = `{"n":1}`, map[string]string{"team": "red"}
					s.Run.Config, s.Run.Resources = `{"c":2}`, domain.Resources{Amounts: domain.Amounts{MemoryMB: 5}}
				})
				b := f.running(w)
				done := report(b, w, domain.EventComplete, 1)
				done.Result = `{"r":1}`
				f.must(done)
				f.must(assign(a, w))
				got, err := f.Workloads.GetBrief(t.Context(), acme, b.ID, "wl_nothing", a.ID)
				require.NoError(t, err)
				require.Equal(t, []domain.Workload{f.get(b.ID).Brief(), f.get(a.ID).Brief()}, got)
			}},
		{"a workload that is not due is not assigned",
			"NotBefore delays the next assignment", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.running(w)
				failed := report(a, w, domain.EventFail, 1)
				failed.RetryAfter = new(time.Minute)
				f.must(failed)
				a = f.get(a.ID)
				require.Equal(t, domain.OutcomeIllegal, f.apply(assign(a, w))[0].Outcome)
				h.Advance(time.Minute)
				f.must(assign(a, f.worker("later", 1)))
			}},
		{"a refused assignment takes nothing out of the queue that its batch puts there",
			"a workload that waits stands in the queue", func(t T, h StoreHarness) {
				f := given(t, h)
				on, other := f.worker("w", 5), f.worker("x", 5)
				ran, waited := f.running(on), f.submit()
				assigned := waited
				assigned.Generation, assigned.SessionID = waited.Generation+1, on.SessionID
				rs := f.apply(assign(ran, other), lose(ran, domain.LossExpired),
					assign(waited, on), assign(waited, other), lose(assigned, domain.LossExpired))
				for i, refused := range []bool{true, false, false, true, false} {
					require.Equal(t, refused, !rs[i].Outcome.OK(), "transition %d: %s", i, rs[i].Outcome)
				}
				heads := f.heads(5)
				require.Len(t, heads, 1)
				require.ElementsMatch(t, []domain.WorkloadID{ran.ID, waited.ID},
					[]domain.WorkloadID{heads[0].Heads[0].ID, heads[0].Heads[1].ID})
			}},
		{"two assigners of one workload: one wins", "conditional on the generation", func(t T, h StoreHarness) {
			f := given(t, h)
			v, w := f.worker("v", 1), f.worker("w", 1)
			a := f.submit()
			rs := race(2, func(i int) domain.Outcome {
				tr := assign(a, []domain.Worker{v, w}[i])
				out, err := f.Workloads.Apply(t.Context(), domain.Batch{Epoch: f.epoch,
					Transitions: []domain.Transition{tr}})
				if err != nil {
					return "error"
				}
				return out[0].Outcome
			})
			require.Equal(t, 1, count(rs, func(o domain.Outcome) bool { return o == domain.OutcomeApplied }))
			require.Equal(t, int64(1), f.get(a.ID).Generation)
		}},
		{"a customer never runs more than its limit",
			"An assignment is refused when SCHEDULED + RUNNING would exceed MaxConcurrent in force",
			func(t T, h StoreHarness) {
				f := given(t, h)
				f.limit(domain.Limits{MaxConcurrent: 3})
				w := f.worker("w", 50)
				var ts []domain.Transition
				for range 24 {
					ts = append(ts, assign(f.submit(), w))
				}
				race(len(ts), func(int) error { // opens connections, so that the assignments start together
					_, err := f.Statistics.Usage(t.Context(), acme)
					return err
				})
				rs := race(len(ts), func(i int) domain.Outcome {
					out, err := f.Workloads.Apply(t.Context(), domain.Batch{Epoch: f.epoch, Transitions: ts[i : i+1]})
					if err != nil {
						return "error"
					}
					return out[0].Outcome
				})
				require.Equal(t, 3, count(rs, func(o domain.Outcome) bool { return o == domain.OutcomeApplied }))
				require.Equal(t, 21, count(rs, func(o domain.Outcome) bool { return o == domain.OutcomeRefused }))
				f.limit(domain.Limits{MaxConcurrent: 2})
				require.Equal(t, domain.OutcomeRefused, f.apply(assign(f.submit(), w))[0].Outcome)
			}},
		{"a worker never holds more than its slots",
			"refused when the worker's slots are taken", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 2)
				rs := f.apply(assign(f.submit(), w), assign(f.submit(), w), assign(f.submit(), w))
				require.Equal(t, domain.OutcomeRefused, rs[2].Outcome)
				require.NotEmpty(t, rs[2].Reason)
				require.Equal(t, domain.StatusPending, rs[2].State.Status)
			}},
		{"only a healthy worker's current session gets work",
			"refused when the session is not a HEALTHY worker's current one", func(t T, h StoreHarness) {
				f := given(t, h)
				old := f.worker("w", 5)
				_, err := f.Workers.Register(t.Context(), takeOver("w", "second", 5), lease)
				require.NoError(t, err)
				require.Equal(t, domain.OutcomeRefused, f.apply(assign(f.submit(), old))[0].Outcome, "replaced session")
				d := f.worker("d", 5)
				_, err = f.Fleet.Drain(t.Context(), d.ID, admin)
				require.NoError(t, err)
				require.Equal(t, domain.OutcomeRefused, f.apply(assign(f.submit(), d))[0].Outcome, "draining")
				x := f.worker("x", 5)
				require.NoError(t, f.Fleet.Remove(t.Context(), x.ID, admin))
				require.Equal(t, domain.OutcomeRefused, f.apply(assign(f.submit(), x))[0].Outcome, "removed")
			}},
	}
}
