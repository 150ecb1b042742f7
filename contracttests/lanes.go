package contracttests

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// laneCases are about the limit of lanes per customer, and about lanes without work.
func laneCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"the lanes of one customer are bounded",
			"Of a customer that has more lanes than the limit, only those are returned that Choose chooses",
			func(t T, h StoreHarness) {
				f := given(t, h)
				urgent := map[int]domain.Workload{}
				for n := range 12 { // later ones have higher priorities
					urgent[n] = f.submit(func(s *domain.Submission) { s.Priority = 10 + 80*n })
					h.Advance(time.Second)
				}
				other := f.submit(func(s *domain.Submission) { s.CustomerID = rival })
				q := domain.HeadsQuery{N: 1, Limit: 6, Policy: domain.PolicyPriority}
				want := []domain.LaneID{other.Lane}
				for _, n := range []int{0, 1, 2, 9, 10, 11} {
					want = append(want, urgent[n].Lane)
				}
				f.chosen(q, want, 0, 6)
				got, err := f.Queue.Heads(t.Context(), domain.HeadsQuery{N: 5, Lanes: []domain.LaneID{urgent[5].Lane},
					Limit: 1})
				require.NoError(t, err)
				require.Len(t, got.Lanes, 1, "the limit does not apply to lanes that the query names")
				for n := range 7 {
					f.must(cancel(urgent[n]))
				}
				want = want[:1]
				for n := 7; n < 12; n++ {
					want = append(want, urgent[n].Lane)
				}
				f.chosen(q, want, 0, 0)
			}},
		{"lanes that no worker admits are set aside",
			"those that none of them admits are set aside: they do not count against Limit", func(t T, h StoreHarness) {
				f := given(t, h)
				var unable []domain.LaneID
				for n := range 30 {
					unable = append(unable, f.submit(func(s *domain.Submission) {
						s.Affinity.Hard.WorkerTags = map[string]string{"gpu": fmt.Sprint(n)}
					}).Lane)
					h.Advance(time.Second)
				}
				able := []domain.LaneID{
					f.submit(func(s *domain.Submission) { s.Priority = 0 }).Lane,
					f.submit(func(s *domain.Submission) { s.Priority = 1 }).Lane,
				}
				plain := f.worker("w", 1)
				q := domain.HeadsQuery{
					N: 1, Limit: 2, Policy: domain.PolicyPriority, Roster: domain.NewRoster([]domain.Worker{plain}),
				}
				f.chosen(q, append(able, unable[:20]...), 10, 0)
				r := registration("gpu", "gpu-session", 1)
				r.Tags = map[string]string{"gpu": "29"}
				gpu, err := f.Workers.Register(t.Context(), r, lease)
				require.NoError(t, err)
				q.Limit, q.Roster = 3, domain.NewRoster([]domain.Worker{plain, gpu})
				f.chosen(q, append(append(able, unable[29]), unable[:20]...), 9, 0)
			}},
	}
}

// chosen waits until Heads returns the wanted lanes. A store may choose lanes in the background.
func (f *fixture) chosen(q domain.HeadsQuery, want []domain.LaneID, aside, cut int) {
	f.Helper()
	var got []domain.LaneID
	var heads domain.QueueHeads
	for until := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var err error
		heads, err = f.Queue.Heads(f.Context(), q)
		require.NoError(f, err)
		got = got[:0]
		for _, l := range heads.Lanes {
			got = append(got, l.Lane.ID)
		}
		require.IsIncreasing(f, got)
		if same(got, want) && heads.Aside == aside && heads.Cut == cut || time.Now().After(until) {
			break
		}
	}
	require.ElementsMatch(f, want, got)
	require.Equal(f, aside, heads.Aside)
	require.Equal(f, cut, heads.Cut)
}

// same reports whether a and b hold the same lanes, in any order.
func same(a, b []domain.LaneID) bool {
	in := map[domain.LaneID]bool{}
	for _, id := range a {
		in[id] = true
	}
	for _, id := range b {
		if !in[id] {
			return false
		}
	}
	return len(a) == len(b)
}
