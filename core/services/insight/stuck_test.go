package insight

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/core/domain"
)

func TestStuck_OfEachCustomer_CountsByTypeWhatNoWorkerCouldRun(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	clock := movingClock{&now}
	store := memory.NewStore(clock).Stores()
	s := New(Config{Policy: domain.PolicyPriority}, Deps{
		Queue: store.Queue, Insight: store.Insight, Workers: store.Workers,
		Customers: store.Customers, Clock: clock,
	})
	for _, id := range []domain.CustomerID{"cust_a", "cust_b"} {
		_, err := store.Customers.Create(t.Context(), domain.Customer{ID: id, Name: "C", Tier: domain.TierPremium},
			domain.Admin{KeyID: "key_admin"})
		require.NoError(t, err)
	}
	join := func(worker domain.WorkerID, types ...string) {
		_, err := store.Workers.Register(t.Context(), domain.Registration{WorkerID: worker,
			SessionID: domain.SessionID("s_" + worker), Capabilities: types, Slots: 1}, time.Hour)
		require.NoError(t, err)
	}
	submit := func(id domain.WorkloadID, customer domain.CustomerID, typ string, change func(*domain.Spec)) {
		now = now.Add(time.Second)
		spec := domain.Spec{ID: id, CustomerID: customer, Type: typ, Input: "{}", Run: domain.DefaultRunConfig()}
		if change != nil {
			change(&spec)
		}
		rs, err := store.Workloads.Submit(t.Context(), []domain.Submission{{Spec: spec}})
		require.NoError(t, err)
		require.Equal(t, domain.Admitted, rs[0].Status)
	}
	fresh := func(customer domain.CustomerID) map[string]Stuck {
		now = now.Add(forecastLifetime)
		return s.Stuck(t.Context(), customer)
	}
	join("w1", "sleep")
	require.Empty(t, fresh("cust_a"))
	submit("wl_1", "cust_a", "sleep", nil)
	submit("wl_2", "cust_b", "train", nil)
	elsewhere := func(s *domain.Spec) { s.Affinity.Hard.WorkerTags = map[string]string{"zone": "b"} }
	submit("wl_3", "cust_a", "sleep", elsewhere)
	first := now
	submit("wl_4", "cust_a", "sleep", elsewhere)
	submit("wl_5", "cust_a", "sleep", func(s *domain.Spec) { elsewhere(s); s.Priority = 90 })
	submit("wl_6", "cust_a", "train", func(s *domain.Spec) { s.RunAt = now.Add(time.Hour) })
	require.Equal(t, map[string]Stuck{"sleep": {Depth: 3, First: "wl_3", Since: first}}, fresh("cust_a"),
		"the others of the type only wait for a slot, and what is delayed may not be placed yet")
	require.Equal(t, 1, fresh("cust_b")["train"].Depth)
	require.Empty(t, fresh("cust_c"))

	join("w2", "train")
	require.Empty(t, fresh("cust_b"), "a worker offers it now")
	_, err := store.Workers.Register(t.Context(), domain.Registration{WorkerID: "w3", SessionID: "s_w3",
		Capabilities: []string{"sleep"}, Slots: 1, Tags: map[string]string{"zone": "b"}}, time.Hour)
	require.NoError(t, err)
	require.Empty(t, fresh("cust_a"), "a worker has the tag now")
}
