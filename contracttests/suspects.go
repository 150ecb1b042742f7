package contracttests

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// suspectCases are about which losses count as deaths of workers, and about workloads whose workers
// have died.
func suspectCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"an expiry of a living or supervised process is no death",
			"Excused: the lease of a supervised worker expired, or the session has returned",
			func(t T, h StoreHarness) {
				f := given(t, h)
				plain := f.worker("plain", 5)
				r := registration("supervised", "supervised-session", 5)
				r.ProcessID, r.CertificateDigest = "process", domain.CertificateDigest("secret")
				supervised, err := f.Workers.Register(t.Context(), r, lease)
				require.NoError(t, err)
				back := f.worker("back", 5)
				want := map[domain.WorkloadID]bool{
					f.running(plain).ID: false, f.running(supervised).ID: true, f.running(back).ID: true,
				}
				h.Advance(lease + time.Second)
				_, err = f.Workers.Expire(t.Context(), f.epoch, 10)
				require.NoError(t, err)
				again := registration("back", "again", 5)
				again.PreviousSessionID = back.SessionID
				_, err = f.Workers.Register(t.Context(), again, lease)
				require.NoError(t, err)
				got := map[domain.WorkloadID]bool{}
				for _, o := range f.lost() {
					require.Equal(t, domain.LossExpired, o.Loss)
					require.False(t, o.Shared)
					got[o.WorkloadID] = o.Excused
				}
				require.Equal(t, want, got)
			}},
		{"re-registrations of a living process are no deaths",
			"Returned are the sessions that the workload's deaths name and that have returned since",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				a := f.running(w)
				for n := range 5 {
					h.Advance(lease + time.Second)
					_, err := f.Workers.Expire(t.Context(), f.epoch, 10)
					require.NoError(t, err)
					f.sweep() // before it returns
					r := registration("w", fmt.Sprint("again", n), 5)
					r.PreviousSessionID = w.SessionID
					w, err = f.Workers.Register(t.Context(), r, lease)
					require.NoError(t, err)
					got := f.get(a.ID)
					require.Equal(t, domain.StatusRedistributing, got.Status, "%d: %s", n, got.Reason)
					require.Equal(t, 1, got.LossStreak, "the one before is taken back")
					f.must(assign(got, w))
					f.must(report(a, w, domain.EventStart, got.Generation+1))
				}
			}},
		{"a process that registers again under its process id has returned",
			"Register: the ended sessions of the same process have returned", func(t T, h StoreHarness) {
				f := given(t, h)
				r := registration("w", "first", 5)
				r.ProcessID = "proc_1"
				w := f.register(r)
				elsewhere := registration("elsewhere", "second", 5)
				elsewhere.ProcessID = "proc_1"
				other := registration("other", "third", 5)
				other.ProcessID = "proc_2"
				own, beside, foreign := f.running(w), f.running(f.register(elsewhere)), f.running(f.register(other))
				h.Advance(lease + time.Second)
				_, err := f.Workers.Expire(t.Context(), f.epoch, 10)
				require.NoError(t, err)
				require.NoError(t, f.Fleet.Remove(t.Context(), "elsewhere", admin),
					"what is known of the process outlives the worker's row")
				r.SessionID = "again" // it names no previous session
				f.register(r)
				got := map[domain.WorkloadID]bool{}
				for _, o := range f.lost() {
					got[o.WorkloadID] = o.Excused
				}
				require.Equal(t, map[domain.WorkloadID]bool{own.ID: true, beside.ID: true, foreign.ID: false}, got)
			}},
		{"expired leases of unsupervised workers are deaths",
			"A death counts if it is certified, or, for a worker without supervisor, if the lease expired and " +
				"the session never returned",
			func(t T, h StoreHarness) {
				f := given(t, h)
				plain, supervised := f.submit(), f.submit()
				for n := range domain.MaxLossStreak {
					bare := f.worker(fmt.Sprint("bare", n), 5)
					watched := f.register(process(fmt.Sprint("watched", n), fmt.Sprint("session", n),
						fmt.Sprint("proc_", n)))
					for id, w := range map[domain.WorkloadID]domain.Worker{plain.ID: bare, supervised.ID: watched} {
						f.must(assign(f.get(id), w))
						f.must(report(f.get(id), w, domain.EventStart, f.get(id).Generation))
					}
					h.Advance(lease + time.Second)
					_, err := f.Workers.Expire(t.Context(), f.epoch, 10)
					require.NoError(t, err)
					f.sweep()
				}
				require.Equal(t, domain.StatusFailed, f.get(plain.ID).Status)
				require.Equal(t, domain.FailurePoison, f.get(plain.ID).Failure.Type)
				got := f.get(supervised.ID)
				require.Equal(t, domain.StatusRedistributing, got.Status)
				require.Zero(t, got.LossStreak)
				require.Equal(t, domain.MaxLossStreak, got.RedistributionCount)
			}},
		{"heads and workers show suspects",
			"Suspects counts the suspects among what a session holds", func(t T, h StoreHarness) {
				f := given(t, h)
				a, b := f.suspect(), f.suspect()
				require.True(t, a.Suspect())
				require.Len(t, a.Deaths, 2)
				h.Advance(2 * time.Second)
				for _, c := range f.heads(5)[0].Heads {
					require.Equal(t, f.get(c.ID).SuspectSince, c.SuspectSince)
					require.False(t, c.SuspectSince.IsZero())
				}
				w, other := f.worker("w", 5), f.worker("other", 5)
				f.must(assign(a, w))
				refused := f.apply(assign(b, w))[0]
				require.Equal(t, domain.OutcomeRefused, refused.Outcome)
				require.Contains(t, refused.Reason, "under which workers died")
				require.Equal(t, 1, f.occupancy()[0].Suspects)
				require.True(t, f.held(w)[0].Suspect)
				f.must(assign(b, other))
				f.must(report(b, other, domain.EventDecline, b.Generation+1))
				h.Advance(domain.SuspectPatience)
				f.must(assign(f.get(b.ID), w))
				require.Equal(t, 2, f.occupancy()[0].Suspects, "after a minute it shares one")
				f.must(report(a, w, domain.EventStart, a.Generation+1))
				h.Advance(domain.SuspectCleared + time.Second)
				require.Equal(t, 1, f.occupancy()[0].Suspects, "five minutes of running clear it")
				f.must(report(b, w, domain.EventStart, f.get(b.ID).Generation))
				saved, err := f.Checkpoints.Save(t.Context(),
					report(f.get(b.ID), w, domain.EventCheckpoint, f.get(b.ID).Generation),
					domain.Checkpoint{}, []byte("x"))
				require.NoError(t, err)
				require.Equal(t, domain.OutcomeApplied, saved.Outcome)
				require.Zero(t, f.occupancy()[0].Suspects, "so does a checkpoint")
			}},
		{"deaths say whether suspects shared them",
			"Shared tells that the session held another suspect when it ended", func(t T, h StoreHarness) {
				f := given(t, h)
				a, b, single := f.suspect(), f.suspect(), f.suspect()
				w, own := f.worker("w", 5), f.worker("own", 5)
				h.Advance(domain.SuspectPatience)
				f.beat(w, own)
				f.must(assign(a, w))
				f.must(assign(b, w))
				f.must(assign(single, own))
				beside := f.submit()
				f.must(assign(beside, w))
				for _, id := range []domain.WorkloadID{a.ID, b.ID, beside.ID} {
					f.must(report(f.get(id), w, domain.EventStart, f.get(id).Generation))
				}
				f.must(report(single, own, domain.EventStart, single.Generation+1))
				h.Advance(lease + time.Second)
				_, err := f.Workers.Expire(t.Context(), f.epoch, 10)
				require.NoError(t, err)
				got := map[domain.WorkloadID]bool{}
				for _, o := range f.lost() {
					got[o.WorkloadID] = o.Shared
				}
				require.Equal(t, map[domain.WorkloadID]bool{a.ID: true, b.ID: true, single.ID: false, beside.ID: false},
					got)
			}},
		sharedDeath("cancelled while the worker is silent", func(f *fixture, a domain.Workload) { f.must(cancel(a)) }, nil),
		sharedDeath("cancelled before the sweep", nil, func(f *fixture, a domain.Workload) { f.must(cancel(a)) }),
		sharedDeath("lost in an earlier page", nil, func(f *fixture, a domain.Workload) {
			f.must(lose(a, domain.LossDied))
		}),
	}
}

// sharedDeath lets one of two suspects on a worker go before or after its session has ended. The other
// one has shared that death all the same.
func sharedDeath(becomes string, before, after func(*fixture, domain.Workload)) Case[StoreHarness] {
	return Case[StoreHarness]{
		"a death stays shared when the other suspect is " + becomes,
		"Shared tells that the session held another suspect when it ended, or one that was cancelled and not yet seen to end",
		func(t T, h StoreHarness) {
			f := given(t, h)
			a, b := f.suspect(), f.suspect()
			w := f.worker("w", 5)
			h.Advance(domain.SuspectPatience)
			f.beat(w)
			for _, id := range []domain.WorkloadID{a.ID, b.ID} {
				f.must(assign(f.get(id), w))
				f.must(report(f.get(id), w, domain.EventStart, f.get(id).Generation))
			}
			if before != nil {
				before(f, f.get(a.ID))
			}
			h.Advance(lease + time.Second)
			_, err := f.Workers.Expire(t.Context(), f.epoch, 10)
			require.NoError(t, err)
			if after != nil {
				after(f, f.get(a.ID))
			}
			shared := map[domain.WorkloadID]bool{}
			for _, o := range f.lost() {
				shared[o.WorkloadID] = o.Shared
			}
			require.True(t, shared[b.ID], "%v", shared)
		},
	}
}

// suspect returns a waiting workload that has lost two workers in a row by death.
func (f *fixture) suspect() domain.Workload {
	f.Helper()
	id := f.submit().ID
	for range 2 {
		f.n++
		w := f.worker(fmt.Sprint("dies", f.n), 1)
		f.must(assign(f.get(id), w))
		f.must(report(f.get(id), w, domain.EventStart, f.get(id).Generation))
		f.must(lose(f.get(id), domain.LossDied))
		require.NoError(f, f.Fleet.Remove(f.Context(), w.ID, admin))
	}
	return f.get(id)
}

func (f *fixture) lost() []ports.Orphan {
	f.Helper()
	orphans, err := f.Queue.Orphans(f.Context(), "", 100)
	require.NoError(f, err)
	return orphans
}

// sweep takes back orphaned workloads, as the leader does.
func (f *fixture) sweep() {
	f.Helper()
	for _, o := range f.lost() {
		tr := lose(f.get(o.WorkloadID), o.Loss)
		tr.Excused, tr.Returned = o.Excused, o.Returned
		f.must(tr)
	}
}
