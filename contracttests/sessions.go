package contracttests

import (
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// sessionCases are about the requests of a worker whose session has ended.
func sessionCases() []Case[StoreHarness] {
	const clause = "A worker's event is fenced when its session is not the worker's current one, or DEAD"
	ends := map[string]func(f *fixture, w domain.Worker){
		"replaced": func(f *fixture, _ domain.Worker) {
			_, err := f.Workers.Register(f.Context(), takeOver("w", "another", 5), lease)
			require.NoError(f, err)
		},
		"expired": func(f *fixture, _ domain.Worker) {
			f.h.Advance(2 * lease)
			dead, err := f.Workers.Expire(f.Context(), f.epoch, 10)
			require.NoError(f, err)
			require.Len(f, dead, 1)
		},
		"removed": func(f *fixture, w domain.Worker) {
			require.NoError(f, f.Fleet.Remove(f.Context(), w.ID, admin))
		},
	}
	cases := []Case[StoreHarness]{{
		"a report names its worker, or none", clause, func(t T, h StoreHarness) {
			f := given(t, h)
			w, other := f.worker("w", 5), f.worker("other", 5)
			for worker, want := range map[domain.WorkerID]domain.Outcome{
				"": domain.OutcomeApplied, w.ID: domain.OutcomeApplied,
				other.ID: domain.OutcomeFenced, "none": domain.OutcomeFenced,
			} {
				r := report(f.running(w), w, domain.EventComplete, 1)
				r.WorkerID = worker
				require.Equal(t, want, f.apply(r)[0].Outcome, "%q", worker)
			}
		},
	}}
	for how, end := range ends {
		cases = append(cases, Case[StoreHarness]{"reports of a session that was " + how + " are fenced", clause,
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				a, done := f.running(w), f.running(w)
				f.must(report(done, w, domain.EventComplete, 1))
				scheduled := f.submit()
				f.must(assign(scheduled, w))
				end(f, w)
				for _, r := range domain.Rules() {
					if r.Source != domain.FromWorker {
						continue
					}
					on := a
					if r.Event == domain.EventStart || r.Event == domain.EventDecline {
						on = scheduled
					}
					rep := report(on, w, r.Event, 1)
					rep.Lines = []domain.LogLine{{Message: "too late"}}
					named := rep
					named.WorkerID = w.ID
					for _, late := range f.apply(rep, named) {
						require.Equal(t, domain.OutcomeFenced, late.Outcome, r.Event)
					}
				}
				require.Equal(t, a, f.get(a.ID))
				saved, err := f.Checkpoints.Save(t.Context(), report(a, w, domain.EventCheckpoint, 1),
					domain.Checkpoint{}, []byte("x"))
				require.NoError(t, err)
				require.Equal(t, domain.OutcomeFenced, saved.Outcome)
				require.Equal(t, domain.OutcomeAlready, f.apply(report(done, w, domain.EventComplete, 1))[0].Outcome,
					"a report that was applied before gets the same answer")
				// The workload that it held can still be taken back.
				f.must(lose(a, domain.LossExpired))
			}})
	}
	return append(cases, Case[StoreHarness]{"workers are found by id", "with ids, those of them that exist",
		func(t T, h StoreHarness) {
			f := given(t, h)
			a, _, c := f.worker("a", 1), f.worker("b", 2), f.worker("c", 3)
			got, err := f.Workers.List(t.Context(), "c", "nobody", "a")
			require.NoError(t, err)
			require.ElementsMatch(t, []domain.Worker{a, c}, got)
			none, err := f.Workers.List(t.Context(), "nobody")
			require.NoError(t, err)
			require.Empty(t, none)
		}})
}
