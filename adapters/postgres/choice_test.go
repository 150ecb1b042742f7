package postgres_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// A customer with ten thousand lanes that nobody can run adds almost nothing to the cycles of
// others.
func TestHeads_TenThousandLanesOfOneCustomer_LeaveTheOthersWhatTheyHad(t *testing.T) {
	b := newBench(t)
	_, err := b.sane.Customers.Update(
		t.Context(), acme, domain.CustomerPatch{Limits: domain.LimitsPatch{MaxQueueDepth: domain.To(20_000)}},
		domain.Admin{KeyID: "key_admin"},
	)
	require.NoError(t, err)
	_, err = b.sane.Customers.Create(t.Context(), domain.Customer{ID: "cust_b", Name: "B", Tier: domain.TierPremium},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	const lanes = 10_000
	var batch []domain.Submission
	for n := range lanes {
		s := b.submission()
		s.Affinity.Hard.WorkerTags = map[string]string{"gpu": fmt.Sprint(n)}
		if batch = append(batch, s); len(batch) == 1000 {
			_, err := b.sane.Workloads.Submit(t.Context(), batch)
			require.NoError(t, err)
			batch = nil
		}
	}
	other := b.submission()
	other.CustomerID = "cust_b"
	_, err = b.sane.Workloads.Submit(t.Context(), []domain.Submission{other})
	require.NoError(t, err)
	workers, err := b.sane.Workers.List(t.Context())
	require.NoError(t, err)
	look := func() (domain.QueueHeads, time.Duration) {
		begun := time.Now()
		heads, err := b.sane.Queue.Heads(
			t.Context(), domain.HeadsQuery{N: 8, Policy: domain.PolicyPriority, Roster: domain.NewRoster(workers)},
		)
		require.NoError(t, err)
		require.LessOrEqual(t, len(heads.Lanes), domain.LanesOfCustomer+1)
		require.True(
			t, slices.ContainsFunc(heads.Lanes, func(l domain.LaneHeads) bool { return l.Lane.CustomerID == "cust_b" }),
			"the other's is there at once",
		)
		return heads, time.Since(begun)
	}
	require.Eventually(t, func() bool {
		heads, _ := look()
		return heads.Aside == lanes-20 && heads.Cut == 0 && len(heads.Lanes) == 21
	}, time.Minute, 20*time.Millisecond, "all are set aside, but for a few that are shown")
	var took []time.Duration
	for range 101 {
		_, d := look()
		took = append(took, d)
	}
	slices.Sort(took)
	t.Logf("Heads beside %d lanes of one customer: p50 %s, longest %s", lanes, took[50], took[100])
}
