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

func TestEstimate_CustomerUnknownToTheForecast_LeavesTheSnapshotAsItIs(t *testing.T) {
	clock := fixedClock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	store := memory.NewStore(clock).Stores()
	s := New(Config{Policy: domain.PolicyPriority}, Deps{
		Queue: store.Queue, Insight: store.Insight, Workers: store.Workers,
		Customers: store.Customers, Clock: clock,
	})
	_, err := store.Customers.Create(t.Context(), domain.Customer{ID: "late", Name: "Late", Tier: domain.TierPremium},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	f := s.forecast(t.Context())
	require.NotNil(t, f)
	before := maps.Clone(f.Customers)
	w := domain.Workload{Spec: domain.Spec{
		ID: "wl_1", CustomerID: "late", Type: "t", Run: domain.DefaultRunConfig(), QueueAt: clock.now,
	}}
	s.Estimate(t.Context(), &w)
	require.Equal(t, before, f.Customers, "it is read without a lock")
	entitlements, known := f.explainer.Entitlements("late")
	require.True(t, known, "the explainer has its entitlements")
	require.Equal(t, domain.TierPremium, entitlements.Tier)
}

type movingClock struct{ now *time.Time }

func (c movingClock) Now() time.Time { return *c.now }

func TestEstimate_FromAnOlderForecast_IsNeverBeforeTheSubmission(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := movingClock{&now}
	store := memory.NewStore(clock).Stores()
	s := New(Config{Policy: domain.PolicyPriority}, Deps{
		Queue: store.Queue, Insight: store.Insight, Workers: store.Workers,
		Customers: store.Customers, Clock: clock,
	})
	_, err := store.Customers.Create(t.Context(), domain.Customer{ID: "cust_a", Name: "A", Tier: domain.TierPremium},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	_, err = store.Workers.Register(t.Context(), domain.Registration{WorkerID: "w", SessionID: "s",
		Capabilities: []string{"t"}, Slots: 3}, time.Minute)
	require.NoError(t, err)
	require.NotNil(t, s.forecast(t.Context()))
	for _, ahead := range []time.Duration{0, 3 * time.Second} { // of the store's clock
		now = now.Add(900 * time.Millisecond) // the age of the forecast
		w := domain.Workload{Spec: domain.Spec{
			ID: "wl_1", CustomerID: "cust_a", Type: "t", Run: domain.DefaultRunConfig(), CreatedAt: now.Add(ahead),
			QueueAt: now.Add(ahead),
		}}
		start, confidence := s.Estimate(t.Context(), &w)
		require.Equal(t, placement.ConfidenceHigh, confidence)
		require.Equal(t, w.CreatedAt, start)
	}
}
