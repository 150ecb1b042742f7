package insight

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/core/domain"
)

type fixedClock struct{ now time.Time }

func (c fixedClock) Now() time.Time { return c.now }

func TestEstimate_CustomerThatJoinsAfterTheSurvey_LeavesTheSnapshotAsItIs(t *testing.T) {
	clock := fixedClock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	store := memory.NewStore(clock)
	s := New(Deps{
		Queue: store.Queue(), Insight: store.Insight(), Workers: store.Workers(), Workloads: store.Workloads(), Customers: store.Customers(),
		Clock: clock, Policy: domain.PolicyPriority,
	})
	_, err := store.Customers().Create(t.Context(), domain.Customer{ID: "late", Name: "Late", Tier: domain.TierPremium})
	require.NoError(t, err)
	v := s.current(t.Context())
	require.NotNil(t, v)
	before := maps.Clone(v.Customers)
	w := domain.Workload{Spec: domain.Spec{ID: "wl_1", CustomerID: "late", Type: "t", Run: domain.DefaultRunConfig(), QueueAt: clock.now}}
	s.Estimate(t.Context(), &w)
	require.Equal(t, before, v.Customers, "the explainer and the picture read it without a lock")
	terms, known := v.explainer.Terms("late")
	require.True(t, known, "its terms count all the same")
	require.Equal(t, domain.TierPremium, terms.Tier)
}
