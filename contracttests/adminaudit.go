package contracttests

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// acts reads the recorded actions of administrators.
func (f *fixture) acts(q ports.AdminAuditQuery) []domain.AdminEvent {
	f.Helper()
	if q.Limit == 0 {
		q.Limit = 1000
	}
	events, err := f.h.Open().AdminAudit.List(f.Context(), q)
	require.NoError(f, err)
	return events
}

// act is a recorded action with its target and the target's customer.
type act struct {
	action domain.AdminAction
	target string
	owner  domain.CustomerID
}

// actsOf returns the actions of audit events.
func actsOf(events []domain.AdminEvent) []act {
	out := make([]act, len(events))
	for i, e := range events {
		out[i] = act{e.Action, string(e.Target.Kind) + " " + e.Target.ID, e.CustomerID}
	}
	return out
}

func adminAuditCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"every action is recorded with who, what, before and after",
			"What a method changes is recorded in the same transaction as an action of by", func(t T, h StoreHarness) {
				f := given(t, h)
				first := f.acts(ports.AdminAuditQuery{Ascending: true})
				require.Equal(t, []act{
					{domain.ActionCustomerCreated, "customer cust_acme", acme},
					{domain.ActionCustomerCreated, "customer cust_rival", rival},
				}, actsOf(first))
				f.worker("w", 1)
				h.Advance(time.Minute)
				ctx := t.Context()
				_, err := f.Customers.Update(ctx, acme, domain.CustomerPatch{Tier: new(domain.TierFree)}, admin)
				require.NoError(t, err)
				f.suspend(true)
				f.suspend(false)
				_, err = f.Keys.Create(ctx, domain.APIKey{ID: "key_a", CustomerID: acme, Role: domain.RoleViewer,
					Prefix: "pa-secret", Digest: [32]byte{1, 2, 3}}, admin)
				require.NoError(t, err)
				_, err = f.Keys.Create(ctx, domain.APIKey{ID: "key_o", Role: domain.RoleAdmin, Name: "Bob",
					Prefix: "po-secret"}, admin)
				require.NoError(t, err)
				require.NoError(t, f.Keys.Revoke(ctx, acme, "key_a", admin))
				require.NoError(t, f.Keys.Revoke(ctx, "", "key_o", admin))
				_, err = f.Fleet.Drain(ctx, "w", admin)
				require.NoError(t, err)
				_, err = f.Fleet.Undrain(ctx, "w", admin)
				require.NoError(t, err)
				require.NoError(t, f.Fleet.Remove(ctx, "w", admin))
				events := f.acts(ports.AdminAuditQuery{Ascending: true, After: first[1].ID})
				require.Equal(t, []act{
					{domain.ActionCustomerUpdated, "customer cust_acme", acme},
					{domain.ActionCustomerSuspended, "customer cust_acme", acme},
					{domain.ActionCustomerReactivated, "customer cust_acme", acme},
					{domain.ActionKeyCreated, "key key_a", acme}, {domain.ActionKeyCreated, "key key_o", ""},
					{domain.ActionKeyRevoked, "key key_a", acme}, {domain.ActionKeyRevoked, "key key_o", ""},
					{domain.ActionWorkerDrained, "worker w", ""}, {domain.ActionWorkerUndrained, "worker w", ""},
					{domain.ActionWorkerRemoved, "worker w", ""},
				}, actsOf(events))
				last := map[domain.Target]domain.JSON{first[0].Target: first[0].After}
				for i, e := range events {
					require.Equal(t, admin, e.By)
					require.GreaterOrEqual(t, e.At.Sub(first[0].At), time.Minute, "by the store's clock")
					require.NotContains(t, e.Before+e.After, "secret")
					if i > 0 {
						require.Greater(t, e.ID, events[i-1].ID)
					}
					if was, known := last[e.Target]; known {
						require.Equal(t, was, e.Before, "%s: Before is the After of the last action on the target", e.Action)
						require.NotEqual(t, e.Before, e.After)
					}
					last[e.Target] = e.After
				}
				require.Empty(t, events[3].Before, "there was no key")
				require.Empty(t, events[9].After, "there is no worker any more")
			}},
		{"what an administrator does to a workload is recorded with the transition",
			"What an administrator did (Actor.Admin) is recorded in the same transaction", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				runs, waits := f.running(w), f.submit()
				before := len(f.acts(ports.AdminAuditQuery{}))
				by := domain.Actor{Kind: domain.ActorUser, ID: string(admin.KeyID), Admin: &admin}
				order := func(w domain.Workload, e domain.Event, customer domain.CustomerID) domain.Transition {
					return domain.Transition{WorkloadID: w.ID, CustomerID: customer, Event: e, Actor: by}
				}
				f.apply(
					order(runs, domain.EventRequestPause, acme), order(waits, domain.EventResume, acme),
					order(waits, domain.EventCancel, rival), order(waits, domain.EventCancel, acme),
					report(runs, w, domain.EventPaused, 1),
				)
				f.must(order(runs, domain.EventResume, acme))
				events := f.acts(ports.AdminAuditQuery{Ascending: true})[before:]
				require.Equal(t, []act{
					{domain.ActionWorkloadPauseAsked, "workload " + string(runs.ID), acme},
					{domain.ActionWorkloadCancelled, "workload " + string(waits.ID), acme},
					{domain.ActionWorkloadResumed, "workload " + string(runs.ID), acme},
				}, actsOf(events), "refused actions are not recorded, nor those of customers and workers")
				require.Equal(t, admin, events[0].By)
				require.JSONEq(t, fmt.Sprintf(`{"workload_id": %q, "status": "PENDING"}`, waits.ID), string(events[1].Before))
				require.JSONEq(t, fmt.Sprintf(`{"workload_id": %q, "status": "CANCELLED"}`, waits.ID), string(events[1].After))
				trail, err := f.Audit.Workload(t.Context(), acme, waits.ID, 0, 10)
				require.NoError(t, err)
				require.Equal(t, domain.Actor{Kind: domain.ActorUser, ID: "key_ada"}, trail[1].Actor)
			}},
		{"what is refused is not recorded", "what was refused is not", func(t T, h StoreHarness) {
			f := given(t, h)
			ctx := t.Context()
			f.worker("w", 1)
			h.Advance(lease + time.Second)
			_, err := f.Workers.Expire(ctx, f.epoch, 10)
			require.NoError(t, err)
			before := f.acts(ports.AdminAuditQuery{})
			_, err = f.Customers.Create(ctx, domain.Customer{ID: acme, Name: "A", Tier: domain.TierFree}, admin)
			requireCode(t, err, domain.CodeConflict)
			_, err = f.Customers.Update(ctx, "cust_nobody", domain.CustomerPatch{}, admin)
			requireCode(t, err, domain.CodeNotFound)
			_, err = f.Customers.Update(ctx, acme, domain.CustomerPatch{Name: new("")}, admin)
			requireCode(t, err, domain.CodeInvalidInput)
			_, err = f.Keys.Create(ctx, domain.APIKey{ID: "key_x", CustomerID: "cust_nobody", Prefix: "p"}, admin)
			requireCode(t, err, domain.CodeNotFound)
			requireCode(t, f.Keys.Revoke(ctx, acme, "key_x", admin), domain.CodeNotFound)
			_, err = f.Fleet.Drain(ctx, "w", admin)
			requireCode(t, err, domain.CodeInvalidState)
			requireCode(t, f.Fleet.Remove(ctx, "nobody", admin), domain.CodeNotFound)
			require.Equal(t, before, f.acts(ports.AdminAuditQuery{}))
		}},
		{"actions are selected and read in pages", "List returns up to q.Limit events that q selects",
			func(t T, h StoreHarness) {
				f := given(t, h)
				bob := domain.Admin{KeyID: "key_bob"}
				_, err := f.Customers.Update(t.Context(), acme, domain.CustomerPatch{Name: new("B")}, bob)
				require.NoError(t, err)
				h.Advance(time.Hour)
				f.worker("w", 1)
				_, err = f.Fleet.Drain(t.Context(), "w", admin)
				require.NoError(t, err)
				require.NoError(t, f.AdminAudit.Record(t.Context(), []domain.AdminEvent{
					{By: bob, Action: "workload.read", Target: domain.Target{Kind: "workload", ID: "wl_1"}, CustomerID: rival},
					{By: bob, Action: "workload.read", Target: domain.Target{Kind: "workload", ID: "wl_2"}, CustomerID: rival},
				}))
				require.NoError(t, f.AdminAudit.Record(t.Context(), nil))
				all := f.acts(ports.AdminAuditQuery{Ascending: true})
				require.Len(t, all, 6)
				require.False(t, all[5].At.IsZero())
				for name, c := range map[string]struct {
					q    ports.AdminAuditQuery
					want []domain.AdminEvent
				}{
					"by key":            {ports.AdminAuditQuery{KeyID: "key_bob"}, []domain.AdminEvent{all[2], all[4], all[5]}},
					"by action":         {ports.AdminAuditQuery{Action: domain.ActionWorkerDrained}, all[3:4]},
					"by target":         {ports.AdminAuditQuery{TargetID: "wl_2"}, all[5:]},
					"by customer":       {ports.AdminAuditQuery{Customer: new(acme)}, []domain.AdminEvent{all[0], all[2]}},
					"that concern none": {ports.AdminAuditQuery{Customer: new(domain.CustomerID(""))}, all[3:4]},
					"since":             {ports.AdminAuditQuery{Since: all[3].At}, all[3:]},
					"until":             {ports.AdminAuditQuery{Until: all[3].At}, all[:3]},
					"together": {
						ports.AdminAuditQuery{KeyID: "key_bob", Customer: new(rival), TargetID: "wl_1"}, all[4:5],
					},
					"of nobody":                {ports.AdminAuditQuery{KeyID: "key_nobody"}, nil},
					"a customer is no pattern": {ports.AdminAuditQuery{Customer: new(domain.CustomerID("%"))}, nil},
				} {
					up, down := c.q, c.q
					up.Ascending = true
					require.Equal(t, c.want, f.acts(up), name)
					want := slices.Clone(c.want)
					slices.Reverse(want)
					require.Equal(t, want, f.acts(down), "%s, newest first", name)
				}
				for _, ascending := range []bool{true, false} {
					q := ports.AdminAuditQuery{Ascending: ascending, Limit: 4}
					want := f.acts(ports.AdminAuditQuery{Ascending: ascending})
					got := f.acts(q)
					require.Len(t, got, 4)
					q.After = got[3].ID
					require.Equal(t, want, append(got, f.acts(q)...))
				}
			}},
		{"a reader that follows the actions misses none",
			"The order of ids is that of the commits: no event appears later behind one that was returned",
			func(t T, h StoreHarness) {
				const racers, each = 8, 12
				f := given(t, h)
				for i := range racers {
					_, err := f.Customers.Create(t.Context(), domain.Customer{
						ID: domain.CustomerID(fmt.Sprint("cust_", i)), Name: "C", Tier: domain.TierFree,
					}, admin)
					require.NoError(t, err)
				}
				stores := make([]ports.Stores, racers)
				for i := range stores {
					stores[i] = h.Open()
				}
				var done atomic.Bool
				var follower sync.WaitGroup
				var followed []domain.AdminEvent
				var failed error
				follower.Go(func() {
					q := ports.AdminAuditQuery{Ascending: true, Limit: 5}
					for {
						last := done.Load()
						events, err := f.AdminAudit.List(t.Context(), q)
						if failed = err; err != nil || last && len(events) == 0 {
							return
						}
						for _, e := range events {
							followed, q.After = append(followed, e), e.ID
						}
					}
				})
				errs := race(racers, func(i int) error {
					for n := range each {
						_, err := stores[i].Customers.Update(t.Context(), domain.CustomerID(fmt.Sprint("cust_", i)),
							domain.CustomerPatch{Name: new(fmt.Sprint(n))}, admin)
						if err != nil {
							return err
						}
					}
					return nil
				})
				done.Store(true)
				follower.Wait()
				for _, err := range append(errs, failed) {
					require.NoError(t, err)
				}
				require.Len(t, followed, 2+racers+racers*each)
				require.Equal(t, f.acts(ports.AdminAuditQuery{Ascending: true}), followed)
			}},
	}
}
