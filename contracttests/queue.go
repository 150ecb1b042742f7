package contracttests

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func queueCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"heads are those that have waited longest",
			"the first n by QueueAt, ties by id, and whether there are more", func(t T, h StoreHarness) {
				f := given(t, h)
				later := f.submit(func(s *domain.Submission) { s.RunAt = time.Unix(1, 0) })
				first, second := f.submit(), f.submit()
				h.Advance(time.Minute)
				third := f.submit()
				hs := f.heads(3)
				require.Len(t, hs, 1)
				require.Equal(t, later.CreatedAt, later.QueueAt, "a run_at that has passed delays nothing")
				require.Equal(t, []domain.Candidate{candidate(later), candidate(first), candidate(second)}, hs[0].Heads)
				require.True(t, hs[0].More)
				require.Equal(t, candidate(third), f.heads(4)[0].Heads[3])
				require.False(t, f.heads(4)[0].More)
				require.Equal(t, first.Lane, hs[0].Lane.ID)
			}},
		{"a workload with a run_at waits from then on", "QueueAt is when it begins to wait", func(t T, h StoreHarness) {
			f := given(t, h)
			now := f.submit()
			due := now.CreatedAt.Add(time.Hour)
			a := f.submit(func(s *domain.Submission) { s.RunAt = due })
			require.Equal(t, due, a.QueueAt)
			h.Advance(30 * time.Minute)
			b := f.submit()
			h.Advance(time.Hour)
			require.Equal(t, []domain.Candidate{candidate(now), candidate(b), candidate(a)}, f.heads(5)[0].Heads)
		}},
		{"heads are read at a moment of the store's clock",
			"Now is when they were read, by the store's clock", func(t T, h StoreHarness) {
				f := given(t, h)
				f.submit()
				read := func() domain.QueueHeads {
					hs, err := f.Queue.Heads(t.Context(), domain.HeadsQuery{N: 1})
					require.NoError(t, err)
					return hs
				}
				before := read()
				require.False(t, before.Now.Before(before.Lanes[0].Heads[0].QueueAt.Add(-2*time.Hour)),
					"the queue's times are by the same clock")
				h.Advance(time.Hour)
				require.InDelta(t, time.Hour, read().Now.Sub(before.Now), float64(time.Minute))
			}},
		{"lanes are told apart and can be chosen",
			"for every lane that has an eligible workload; with lanes given, only of those", func(t T, h StoreHarness) {
				f := given(t, h)
				a := f.submit()
				b := f.submit(func(s *domain.Submission) {
					s.Affinity.Hard.WorkerTags = map[string]string{"gpu": "yes"}
					s.Run.Resources.MemoryMB = 4096
				})
				require.Len(t, f.heads(5), 2)
				of := func(lanes ...domain.LaneID) []domain.LaneHeads {
					got, err := f.Queue.Heads(t.Context(), domain.HeadsQuery{N: 5, Lanes: lanes})
					require.NoError(t, err)
					return got.Lanes
				}
				hs := of(b.Lane, "no such lane")
				require.Len(t, hs, 1)
				require.Equal(t, domain.Lane{ID: b.Lane, CustomerID: acme, Type: "t", Affinity: b.Affinity,
					Resources: b.Run.Resources, Priority: 10}, hs[0].Lane)
				c := f.submit(func(s *domain.Submission) { s.Priority = 11 })
				e := f.submit(func(s *domain.Submission) { s.Labels = map[string]string{"region": "eu"} })
				require.Len(t, f.heads(5), 4, "by priority, and by the region that a label names")
				hs = of(c.Lane, e.Lane)
				for _, l := range hs {
					if l.Lane.ID == c.Lane {
						require.Equal(t, 11, l.Lane.Priority)
					} else {
						require.Equal(t, map[string]string{"region": "eu"}, l.Lane.Affinity.Soft.WorkerTags)
					}
				}
				f.must(assign(a, f.worker("w", 1)))
				require.Len(t, f.heads(5), 3, "an assigned workload leaves its lane")
			}},
		{"lanes are told apart by program",
			"for every lane that has an eligible workload, with the capability that its workloads need",
			func(t T, h StoreHarness) {
				f := given(t, h)
				program := func(name string, args ...string) domain.Workload {
					return f.submit(func(s *domain.Submission) {
						command, err := json.Marshal(append([]string{name}, args...))
						require.NoError(t, err)
						s.Type, s.Input = domain.TypeExec, domain.JSON(`{"command":`+string(command)+`}`)
					})
				}
				ffmpeg := program("ffmpeg", "-i", "a")
				require.Equal(t, ffmpeg.Lane, program("ffmpeg", "-i", "b").Lane)
				path := program("/usr/bin/ffmpeg")
				hs := f.heads(5)
				require.Len(t, hs, 2, "one for each spelling")
				for _, l := range hs {
					needs := map[domain.LaneID]string{ffmpeg.Lane: "exec:ffmpeg",
						path.Lane: "exec:/usr/bin/ffmpeg"}[l.Lane.ID]
					require.Equal(t, []string{needs}, l.Lane.Affinity.Hard.WorkloadTypes)
				}
				w := f.worker("w", 1)
				f.must(assign(ffmpeg, w))
				occupied, err := f.Queue.Occupancy(t.Context())
				require.NoError(t, err)
				require.Len(t, occupied, 1)
				require.Equal(t, []string{"exec:ffmpeg"}, occupied[0].Lane.Affinity.Hard.WorkloadTypes)
				got, err := f.Workloads.Get(t.Context(), acme, ffmpeg.ID)
				require.NoError(t, err)
				require.True(t, got[0].Affinity.IsZero(), "what the client stated is unchanged")
			}},
		{"a workload that is not due is not eligible",
			"NotBefore not in the future; NextDue returns how long it is, by the store's clock, until the next one " +
				"becomes eligible",
			func(t T, h StoreHarness) {
				f := given(t, h)
				due := f.submit().CreatedAt.Add(time.Hour)
				f.submit(func(s *domain.Submission) { s.RunAt = due })
				f.submit(func(s *domain.Submission) { s.RunAt = due.Add(time.Hour) })
				require.Len(t, f.heads(5)[0].Heads, 1)
				in, ok, err := f.Queue.NextDue(t.Context())
				require.NoError(t, err)
				require.True(t, ok)
				require.InDelta(t, time.Hour, in, float64(time.Minute))
				h.Advance(time.Hour)
				require.Len(t, f.heads(5)[0].Heads, 2)
				in, _, err = f.Queue.NextDue(t.Context())
				require.NoError(t, err)
				require.InDelta(t, time.Hour, in, float64(time.Minute))
				h.Advance(time.Hour)
				require.Len(t, f.heads(5)[0].Heads, 3)
				_, ok, err = f.Queue.NextDue(t.Context())
				require.NoError(t, err)
				require.False(t, ok)
			}},
		{"a retry keeps its place in the queue", "by QueueAt", func(t T, h StoreHarness) {
			f := given(t, h)
			w := f.worker("w", 5)
			a := f.running(w)
			h.Advance(time.Minute)
			f.submit()
			f.must(report(a, w, domain.EventFail, 1))
			require.Len(t, f.heads(5)[0].Heads, 1, "its backoff is kept")
			h.Advance(time.Minute)
			hs := f.heads(5)[0].Heads
			require.Equal(t, a.ID, hs[0].ID)
			require.Equal(t, int64(1), hs[0].Generation)
		}},
		{"a cancelled workload leaves its lane", "eligible: PENDING or REDISTRIBUTING", func(t T, h StoreHarness) {
			f := given(t, h)
			f.must(cancel(f.submit()))
			f.must(cancel(f.submit(func(s *domain.Submission) { s.RunAt = time.Now().Add(time.Hour) })))
			require.Empty(t, f.heads(5))
			_, ok, err := f.Queue.NextDue(t.Context())
			require.NoError(t, err)
			require.False(t, ok)
		}},
		{"occupancy and holdings follow the states",
			"Occupancy counts what sessions hold by session and lane, those that are given or all; Fleet returns all with the " +
				"workers; Held returns what the given sessions hold",
			func(t T, h StoreHarness) {
				f := given(t, h)
				v, w := f.worker("v", 5), f.worker("w", 5)
				a, b := f.running(v), f.submit()
				f.must(assign(b, v))
				c := f.running(w, func(s *domain.Submission) { s.CustomerID = rival })
				h.Advance(time.Second)
				occ, err := f.Queue.Occupancy(t.Context())
				require.NoError(t, err)
				require.Equal(t, []domain.Occupancy{
					{SessionID: v.SessionID, Lane: f.lane(a), Count: 2},
					{SessionID: w.SessionID, Lane: f.lane(c), Count: 1},
				}, occ)
				fleet, err := f.Workers.Fleet(t.Context())
				require.NoError(t, err)
				workers, err := f.Workers.List(t.Context())
				require.NoError(t, err)
				require.Len(t, workers, 2)
				require.Equal(t, domain.Fleet{Workers: workers, Occupancy: occ}, fleet)
				ours, err := f.Queue.Occupancy(t.Context(), w.SessionID, "none")
				require.NoError(t, err)
				require.Equal(t, occ[1:], ours)
				ours, err = f.Queue.Occupancy(t.Context(), "")
				require.NoError(t, err)
				require.Empty(t, ours, "a worker without a session holds nothing")
				held, err := f.Queue.Held(t.Context(), v.SessionID, "none")
				require.NoError(t, err)
				require.Len(t, held, 2)
				require.Equal(t, ports.HeldWorkload{
					WorkloadID: a.ID, CustomerID: acme, WorkerID: v.ID, SessionID: v.SessionID,
					Lane: a.Lane, Generation: 1, Status: domain.StatusRunning, HeldFor: held[0].HeldFor,
				}, held[0])
				require.GreaterOrEqual(t, held[0].HeldFor, time.Second)
				require.Equal(t, domain.StatusScheduled, held[1].Status)
				f.must(report(a, v, domain.EventComplete, 1))
				f.must(domain.Transition{WorkloadID: c.ID, CustomerID: c.CustomerID, Event: domain.EventRequestPause})
				held, err = f.Queue.Held(t.Context(), v.SessionID, w.SessionID)
				require.NoError(t, err)
				require.Len(t, held, 2)
				require.Equal(t, c.ID, held[1].WorkloadID)
				require.True(t, held[1].PauseRequested)
			}},
		{"orphans say how they were lost",
			"held by a session which is no worker's live session any more, with how it was lost",
			func(t T, h StoreHarness) {
				f := given(t, h)
				x, r, m, ok := f.worker("expired", 5), f.worker("replaced", 5),
					f.worker("removed", 5), f.worker("ok", 5)
				lost := map[domain.WorkloadID]domain.Loss{
					f.running(x).ID: domain.LossExpired, f.running(r).ID: domain.LossReplaced,
					f.running(m).ID: domain.LossRemoved,
				}
				f.running(ok)
				h.Advance(lease + time.Second)
				f.beat(r, m, ok)
				_, err := f.Workers.Expire(t.Context(), f.epoch, 10)
				require.NoError(t, err)
				_, err = f.Workers.Register(t.Context(), takeOver("replaced", "second", 5), lease)
				require.NoError(t, err)
				require.NoError(t, f.Fleet.Remove(t.Context(), m.ID, admin))
				orphans, err := f.Queue.Orphans(t.Context(), "", 10)
				require.NoError(t, err)
				got := map[domain.WorkloadID]domain.Loss{}
				for _, o := range orphans {
					got[o.WorkloadID] = o.Loss
				}
				require.Equal(t, lost, got)
				first, err := f.Queue.Orphans(t.Context(), "", 2)
				require.NoError(t, err)
				rest, err := f.Queue.Orphans(t.Context(), first[1].WorkloadID, 2)
				require.NoError(t, err)
				require.Equal(t, ageless(orphans), ageless(append(first, rest...)))
				for _, o := range orphans {
					f.must(domain.Transition{
						WorkloadID: o.WorkloadID, Event: domain.EventLose, Generation: o.Generation,
						SessionID: o.SessionID, Loss: o.Loss,
					})
				}
				orphans, err = f.Queue.Orphans(t.Context(), "", 10)
				require.NoError(t, err)
				require.Empty(t, orphans)
			}},
		{"assignments that no worker took are found",
			"SCHEDULED workloads assigned longer than age ago", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				a, b := f.submit(), f.submit()
				f.must(assign(a, w))
				f.running(w)
				h.Advance(10 * time.Second)
				f.must(assign(b, w))
				found, err := f.Queue.Unstarted(t.Context(), 5*time.Second, "", 10)
				require.NoError(t, err)
				require.Len(t, found, 1)
				require.Equal(t, a.ID, found[0].WorkloadID)
				found, err = f.Queue.Unstarted(t.Context(), 5*time.Second, a.ID, 10)
				require.NoError(t, err)
				require.Empty(t, found)
			}},
		{"runs past their deadline are found",
			"RUNNING workloads whose deadline passed longer than grace ago", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				a := f.running(w, func(s *domain.Submission) { s.Run.Timeout = time.Minute })
				f.running(w, func(s *domain.Submission) { s.Run.Timeout = 0 })
				h.Advance(time.Minute + 9*time.Second)
				found, err := f.Queue.Overdue(t.Context(), 10*time.Second, "", 10)
				require.NoError(t, err)
				require.Empty(t, found)
				h.Advance(2 * time.Second)
				found, err = f.Queue.Overdue(t.Context(), 10*time.Second, "", 10)
				require.NoError(t, err)
				require.Len(t, found, 1)
				require.Equal(t, a.ID, found[0].WorkloadID)
			}},
	}
}

// ageless clears HeldFor, which grows from one query to the next.
func ageless(orphans []ports.Orphan) []ports.Orphan {
	out := slices.Clone(orphans)
	for i := range out {
		out[i].HeldFor = 0
	}
	return out
}

// heads reads the first n workloads of every lane.
func (f *fixture) heads(n int) []domain.LaneHeads {
	f.Helper()
	hs, err := f.Queue.Heads(f.Context(), domain.HeadsQuery{N: n})
	require.NoError(f, err)
	return hs.Lanes
}

func (f *fixture) lane(w domain.Workload) domain.Lane {
	return domain.NewLane(&w.Spec)
}

func candidate(w domain.Workload) domain.Candidate {
	return domain.Candidate{ID: w.ID, Generation: w.Generation, QueueAt: w.QueueAt}
}

// beat renews the leases of workers.
func (f *fixture) beat(ws ...domain.Worker) []ports.BeatResult {
	f.Helper()
	beats := make([]ports.Beat, len(ws))
	for i, w := range ws {
		beats[i] = ports.Beat{WorkerID: w.ID, SessionID: w.SessionID}
	}
	rs, err := f.Workers.Heartbeat(f.Context(), beats, lease)
	require.NoError(f, err)
	return rs
}
