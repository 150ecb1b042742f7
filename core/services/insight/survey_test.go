package insight

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

type fixedClock struct{ now time.Time }

func (c fixedClock) Now() time.Time { return c.now }

func TestEstimate_CustomerThatJoinsAfterTheSurvey_LeavesTheSnapshotAsItIs(t *testing.T) {
	clock := fixedClock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	store := memory.NewStore(clock).Stores()
	s := New(Config{Policy: domain.PolicyPriority}, Deps{
		Queue: store.Queue, Insight: store.Insight, Workers: store.Workers, Workloads: store.Workloads, Customers: store.Customers,
		Clock: clock,
	})
	_, err := store.Customers.Create(t.Context(), domain.Customer{ID: "late", Name: "Late", Tier: domain.TierPremium})
	require.NoError(t, err)
	v := s.current(t.Context())
	require.NotNil(t, v)
	before := maps.Clone(v.Customers)
	w := domain.Workload{Spec: domain.Spec{ID: "wl_1", CustomerID: "late", Type: "t", Run: domain.DefaultRunConfig(), QueueAt: clock.now}}
	s.Estimate(t.Context(), &w)
	require.Equal(t, before, v.Customers, "the explainer and the picture read it without a lock")
	entitlements, known := v.explainer.Entitlements("late")
	require.True(t, known, "its entitlements count all the same")
	require.Equal(t, domain.TierPremium, entitlements.Tier)
}

type movingClock struct{ now *time.Time }

func (c movingClock) Now() time.Time { return *c.now }

func TestEstimate_FromAnOlderSurvey_IsNeverBeforeTheSubmission(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := movingClock{&now}
	store := memory.NewStore(clock).Stores()
	s := New(Config{Policy: domain.PolicyPriority}, Deps{
		Queue: store.Queue, Insight: store.Insight, Workers: store.Workers, Workloads: store.Workloads, Customers: store.Customers,
		Clock: clock,
	})
	_, err := store.Customers.Create(t.Context(), domain.Customer{ID: "cust_a", Name: "A", Tier: domain.TierPremium})
	require.NoError(t, err)
	_, err = store.Workers.Register(t.Context(), domain.Registration{WorkerID: "w", SessionID: "s", Capabilities: []string{"t"}, Slots: 3}, time.Minute)
	require.NoError(t, err)
	require.NotNil(t, s.current(t.Context()))
	for _, ahead := range []time.Duration{0, 3 * time.Second} { // of the store's clock
		now = now.Add(900 * time.Millisecond) // the survey is that much older
		w := domain.Workload{Spec: domain.Spec{
			ID: "wl_1", CustomerID: "cust_a", Type: "t", Run: domain.DefaultRunConfig(), CreatedAt: now.Add(ahead), QueueAt: now.Add(ahead),
		}}
		start, confidence := s.Estimate(t.Context(), &w)
		require.Equal(t, placement.ConfidenceHigh, confidence)
		require.Equal(t, w.CreatedAt, start)
	}
}
