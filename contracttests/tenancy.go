package contracttests

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func tenancyCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"a customer is kept and changed",
			"Update applies the patch atomically and returns the result", func(t T, h StoreHarness) {
				f := given(t, h)
				c, err := f.Customers.Create(t.Context(), domain.Customer{
					ID: "cust_new", Name: "New", Tier: domain.TierFree,
					Overrides: domain.Limits{Burst: 9, RatePerSec: 0.5}, NoPreemption: true,
					EncryptionKeyID: "arn:aws:kms:eu-central-1:1:key/one",
				}, admin)
				require.NoError(t, err)
				require.False(t, c.CreatedAt.IsZero())
				got, err := h.Open().Customers.Get(t.Context(), "cust_new")
				require.NoError(t, err)
				require.Equal(t, c, got)
				tier, bad := domain.TierEnterprise, domain.Tier("gold")
				h.Advance(time.Second)
				c2, err := f.Customers.Update(t.Context(), c.ID, domain.CustomerPatch{Tier: &tier}, admin)
				require.NoError(t, err)
				require.Equal(t, domain.TierEnterprise, c2.Tier)
				require.Equal(t, c.Overrides, c2.Overrides)
				require.True(t, c2.NoPreemption)
				c2, err = f.Customers.Update(t.Context(), c.ID, domain.CustomerPatch{NoPreemption: new(false)}, admin)
				require.NoError(t, err)
				require.False(t, c2.NoPreemption)
				require.Equal(t, c.EncryptionKeyID, c2.EncryptionKeyID, "what is not in the patch stays")
				for _, want := range []domain.EncryptionKeyID{"alias/two", ""} {
					c2, err = f.Customers.Update(t.Context(), c.ID, domain.CustomerPatch{EncryptionKeyID: &want}, admin)
					require.NoError(t, err)
					require.Equal(t, want, c2.EncryptionKeyID)
					got, err := f.Customers.Get(t.Context(), c.ID)
					require.NoError(t, err)
					require.Equal(t, want, got.EncryptionKeyID)
				}
				require.True(t, c2.UpdatedAt.After(c.UpdatedAt))
				_, err = f.Customers.Update(t.Context(), c.ID, domain.CustomerPatch{Tier: &bad}, admin)
				requireCode(t, err, domain.CodeInvalidInput)
				got, err = f.Customers.Get(t.Context(), c.ID)
				require.NoError(t, err)
				require.Equal(t, c2, got, "a failed write changes nothing")
				many, err := f.Customers.GetMany(t.Context(), []domain.CustomerID{c.ID, "cust_nobody"})
				require.NoError(t, err)
				require.Equal(t, map[domain.CustomerID]domain.Customer{c.ID: c2}, many, "unknown ones are left out")
			}},
		{"a patch changes only what it sets",
			"Update applies the patch atomically and returns the result", func(t T, h StoreHarness) {
				f := given(t, h)
				_, err := f.Customers.Create(t.Context(), domain.Customer{
					ID: "cust_new", Name: "New", Tier: domain.TierFree, Overrides: domain.Limits{
						MaxConcurrent: 1, MaxQueueDepth: 2, RatePerSec: 0.5, Burst: 4,
					},
				}, admin)
				require.NoError(t, err)
				for _, c := range []struct {
					patch domain.LimitsPatch
					want  domain.Limits
				}{
					{domain.LimitsPatch{}, domain.Limits{MaxConcurrent: 1, MaxQueueDepth: 2, RatePerSec: 0.5,
						Burst: 4}},
					{domain.LimitsPatch{Burst: domain.To(9)},
						domain.Limits{MaxConcurrent: 1, MaxQueueDepth: 2, RatePerSec: 0.5, Burst: 9}},
					{domain.LimitsPatch{MaxConcurrent: domain.To(0), RatePerSec: domain.To(0.0)},
						domain.Limits{MaxQueueDepth: 2, Burst: 9}},
				} {
					got, err := f.Customers.Update(t.Context(), "cust_new", domain.CustomerPatch{Limits: c.patch}, admin)
					require.NoError(t, err)
					require.Equal(t, c.want, got.Overrides)
					require.Equal(t, "New", got.Name)
				}
				got, err := h.Open().Customers.Get(t.Context(), "cust_new")
				require.NoError(t, err)
				require.Equal(t, domain.Limits{MaxQueueDepth: 2, Burst: 9}, got.Overrides)
			}},
		{"customers that do not exist are not found, those that do conflict",
			"CodeConflict when the id exists; CodeNotFound when there is none", func(t T, h StoreHarness) {
				f := given(t, h)
				_, err := f.Customers.Create(t.Context(), domain.Customer{ID: acme, Name: "Other",
					Tier: domain.TierFree}, admin)
				requireCode(t, err, domain.CodeConflict)
				_, err = f.Customers.Get(t.Context(), "cust_nobody")
				requireCode(t, err, domain.CodeNotFound)
				_, err = f.Customers.Update(t.Context(), "cust_nobody", domain.CustomerPatch{}, admin)
				requireCode(t, err, domain.CodeNotFound)
				cs, err := f.Customers.List(t.Context(), "", 1)
				require.NoError(t, err)
				require.Len(t, cs, 1)
				require.Equal(t, acme, cs[0].ID)
				cs, err = f.Customers.List(t.Context(), acme, 10)
				require.NoError(t, err)
				require.Len(t, cs, 1)
			}},
		{"a config is kept, replaced and deleted",
			"Create, Get, ForType, List, Update, Delete", func(t T, h StoreHarness) {
				f := given(t, h)
				c := f.config("b", "wlcfg_b")
				for _, other := range []domain.ConfigID{"wlcfg_b", "wlcfg_x"} {
					dup := c
					dup.ID = other
					_, err := f.Configs.Create(t.Context(), dup)
					requireCode(t, err, domain.CodeConflict)
				}
				f.config("a", "wlcfg_a")
				key := domain.ConfigKey{CustomerID: acme, Type: "b"}
				byKey, err := h.Open().Configs.ForTypes(t.Context(), []domain.ConfigKey{
					key, {CustomerID: acme, Type: "none"}, {CustomerID: rival, Type: "b"},
				})
				require.NoError(t, err)
				require.Equal(t, map[domain.ConfigKey]domain.WorkloadConfig{key: c}, byKey,
					"those that do not exist are left out")
				h.Advance(time.Second)
				want := c
				want.Description, want.MaxRetries, want.Backoff = "changed", 9,
					domain.RetryBackoff{Initial: time.Minute, Factor: 1, Max: time.Minute}
				got, err := f.Configs.Update(t.Context(), acme, c.ID, domain.ConfigPatch{
					Type: new("b"), Description: new("changed"), MaxRetries: new(9),
					Backoff: domain.BackoffPatch{Initial: new(time.Minute), Factor: new(1.0), Max: new(time.Minute)},
				})
				require.NoError(t, err)
				require.True(t, got.UpdatedAt.After(c.UpdatedAt))
				want.UpdatedAt = got.UpdatedAt
				require.Equal(t, want, got, "what the patch leaves out stays")
				for _, bad := range []domain.ConfigPatch{{Type: new("z")}, {MaxRetries: new(-1), Description: new("x")}} {
					_, err = f.Configs.Update(t.Context(), acme, c.ID, bad)
					requireCode(t, err, domain.CodeInvalidInput)
				}
				got, err = h.Open().Configs.Get(t.Context(), acme, c.ID)
				require.NoError(t, err)
				require.Equal(t, want, got, "a failed write changes nothing")
				list, err := f.Configs.List(t.Context(), acme, "", 10)
				require.NoError(t, err)
				require.Equal(t, []string{"a", "b"}, []string{list[0].Type, list[1].Type})
				types, err := f.Configs.Types(t.Context(), acme, 10)
				require.NoError(t, err)
				require.Equal(t, []string{"a", "b"}, types)
				require.NoError(t, f.Configs.Delete(t.Context(), acme, c.ID))
				_, err = f.Configs.Get(t.Context(), acme, c.ID)
				requireCode(t, err, domain.CodeNotFound)
			}},
		{"configs are listed in pages",
			"List returns the customer's configs behind the type after, ordered by type, at most limit",
			func(t T, h StoreHarness) {
				f := given(t, h)
				for _, name := range []string{"b", "a.b", "B", "a", "a-b", "0"} {
					f.config(name, domain.ConfigID("wlcfg_"+name))
				}
				want := []string{"0", "B", "a", "a-b", "a.b", "b"}
				var got []string
				for after, more := "", true; more; more = after < "b" {
					page, err := f.Configs.List(t.Context(), acme, after, 4)
					require.NoError(t, err)
					require.NotEmpty(t, page)
					require.LessOrEqual(t, len(page), 4)
					for i := range page {
						got = append(got, page[i].Type)
					}
					after = got[len(got)-1]
				}
				require.Equal(t, want, got, "by the bytes of the type, as cursors compare it")
				end, err := f.Configs.List(t.Context(), acme, "b", 4)
				require.NoError(t, err)
				require.Empty(t, end)
				types, err := f.Configs.Types(t.Context(), acme, 5)
				require.NoError(t, err)
				require.Equal(t, want[:5], types)
			}},
		{"patches of one config at the same time are all kept",
			"Update applies the patch atomically: of patches at the same time none is lost", func(t T, h StoreHarness) {
				f := given(t, h)
				c := f.config("t", "wlcfg_t")
				patches := []domain.ConfigPatch{
					{Description: new("changed")}, {Config: new(domain.JSON(`{"b":2}`))}, {MaxRetries: new(7)},
					{Timeout: new(time.Hour)}, {CheckpointInterval: new(time.Minute)},
					{Limits: domain.AmountsPatch{CPUCores: new(4 * domain.One)}},
					{Limits: domain.AmountsPatch{MemoryMB: new(64)}},
					{Limits: domain.AmountsPatch{DiskMB: new(128)}},
					{Backoff: domain.BackoffPatch{Factor: new(2.0)}},
					{Resources: &domain.Resources{GPUs: 500, Custom: map[string]int64{"licence": 2}}},
				}
				stores := make([]ports.Stores, len(patches))
				for i := range stores {
					stores[i] = h.Open()
				}
				for _, err := range race(len(patches), func(i int) error {
					_, err := stores[i].Configs.Update(t.Context(), acme, c.ID, patches[i])
					return err
				}) {
					require.NoError(t, err)
				}
				got, err := f.Configs.Get(t.Context(), acme, c.ID)
				require.NoError(t, err)
				want, backoff := c, c.Backoff
				backoff.Factor = 2
				want.Description, want.RunConfig = "changed", domain.RunConfig{
					Config: `{"b":2}`, Limits: domain.Amounts{CPUCores: 4 * domain.One, MemoryMB: 64, DiskMB: 128},
					Resources:          domain.Resources{GPUs: 500, Custom: map[string]int64{"licence": 2}},
					CheckpointInterval: time.Minute, MaxRetries: 7, Backoff: backoff, Timeout: time.Hour,
				}
				want.UpdatedAt = got.UpdatedAt
				require.Equal(t, want, got)
			}},
		{"a config in use stays",
			"CodeConflict while a workload submitted under it is not final", func(t T, h StoreHarness) {
				f := given(t, h)
				c := f.config("t", "wlcfg_t")
				a := f.submit(func(s *domain.Submission) { s.ConfigID = c.ID })
				requireCode(t, f.Configs.Delete(t.Context(), acme, c.ID), domain.CodeConflict)
				f.must(cancel(a))
				require.NoError(t, f.Configs.Delete(t.Context(), acme, c.ID))
			}},
		{"another customer's config is not there",
			"Every method is limited to one customer", func(t T, h StoreHarness) {
				f := given(t, h)
				c := f.config("t", "wlcfg_t")
				_, err := f.Configs.Get(t.Context(), rival, c.ID)
				requireCode(t, err, domain.CodeNotFound)
				foreignKeys, err := f.Configs.ForTypes(t.Context(), []domain.ConfigKey{{CustomerID: rival, Type: "t"}})
				require.NoError(t, err)
				require.Empty(t, foreignKeys)
				requireCode(t, f.Configs.Delete(t.Context(), rival, c.ID), domain.CodeNotFound)
				_, err = f.Configs.Update(t.Context(), rival, c.ID, domain.ConfigPatch{MaxRetries: new(9)})
				requireCode(t, err, domain.CodeNotFound)
				kept, err := f.Configs.Get(t.Context(), acme, c.ID)
				require.NoError(t, err)
				require.Equal(t, c, kept)
				list, err := f.Configs.List(t.Context(), rival, "", 10)
				require.NoError(t, err)
				require.Empty(t, list)
				types, err := f.Configs.Types(t.Context(), rival, 10)
				require.NoError(t, err)
				require.Empty(t, types)
				foreign := c
				foreign.CustomerID = "cust_nobody"
				_, err = f.Configs.Create(t.Context(), foreign)
				requireCode(t, err, domain.CodeNotFound)
			}},
		{"a key is found by prefix and revoked",
			"ByPrefix returns the keys in one read, revoked and expired ones included; Revoke again is a success",
			func(t T, h StoreHarness) {
				f := given(t, h)
				k, err := f.Keys.Create(t.Context(), domain.APIKey{
					ID: "key_1", CustomerID: acme, Role: domain.RoleViewer, Prefix: "p1", Digest: [32]byte{1},
				}, admin)
				require.NoError(t, err)
				got, usable, err := keyBy(t, h.Open().Keys, "p1")
				require.NoError(t, err)
				require.Equal(t, k, got)
				require.Equal(t, domain.KeyForever, usable)
				both, err := f.Keys.ByPrefix(t.Context(), "p1", "p0", "p1")
				require.NoError(t, err)
				require.Equal(t, []ports.FoundKey{{APIKey: k, Usable: domain.KeyForever}}, both)
				_, err = f.Keys.Create(t.Context(), domain.APIKey{ID: "key_2", CustomerID: acme, Prefix: "p1"}, admin)
				requireCode(t, err, domain.CodeConflict)
				_, err = f.Keys.Create(t.Context(), domain.APIKey{ID: "key_3", CustomerID: "cust_nobody", Prefix: "p3"}, admin)
				requireCode(t, err, domain.CodeNotFound)
				_, _, err = keyBy(t, f.Keys, "p3")
				requireCode(t, err, domain.CodeNotFound)
				requireCode(t, f.Keys.Revoke(t.Context(), rival, "key_1", admin), domain.CodeNotFound)
				requireCode(t, f.Keys.Revoke(t.Context(), acme, "key_9", admin), domain.CodeNotFound)
				require.NoError(t, f.Keys.Revoke(t.Context(), acme, "key_1", admin))
				first, usable, err := keyBy(t, f.Keys, "p1")
				require.NoError(t, err)
				require.False(t, first.RevokedAt.IsZero())
				require.Zero(t, usable)
				h.Advance(time.Minute)
				require.NoError(t, f.Keys.Revoke(t.Context(), acme, "key_1", admin))
				list, err := f.Keys.List(t.Context(), acme)
				require.NoError(t, err)
				require.Equal(t, []domain.APIKey{first}, list, "the first revocation stands")
				list, err = f.Keys.List(t.Context(), rival)
				require.NoError(t, err)
				require.Empty(t, list)
			}},
		{"a customer is suspended and reactivated",
			"Update holds for every Submit and Apply that commits afterwards: customer suspended: " +
				"AdmissionSuspended, unless the submission repeats one before; its assignments are refused; what " +
				"runs goes on",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				runs, waits, first := f.running(w), f.submit(), f.submission(acme)
				keyed(1)(&first)
				rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{first})
				require.NoError(t, err)
				require.Equal(t, domain.Admitted, rs[0].Status)
				c := f.suspend(true)
				require.True(t, c.Suspended())
				h.Advance(time.Minute)
				require.Equal(t, c.SuspendedAt, f.suspend(true).SuspendedAt, "a second suspension keeps the time of the first")
				got, err := h.Open().Customers.Get(t.Context(), acme)
				require.NoError(t, err)
				require.Equal(t, c.SuspendedAt, got.SuspendedAt)

				again, fresh, rivals := f.submission(acme), f.submission(acme), f.submission(rival)
				keyed(1)(&again)
				rs, err = f.Workloads.Submit(t.Context(), []domain.Submission{again, fresh, rivals})
				require.NoError(t, err)
				require.Equal(t, domain.AdmittedBefore, rs[0].Status)
				require.Equal(t, domain.AdmissionSuspended, rs[1].Status)
				require.Equal(t, domain.Admitted, rs[2].Status, "another customer is not concerned")
				missing, err := f.Workloads.GetAny(t.Context(), fresh.ID)
				require.NoError(t, err)
				require.Empty(t, missing, "it leaves no trace")

				require.Equal(t, domain.OutcomeRefused, f.apply(assign(waits, w))[0].Outcome)
				f.must(cancel(f.get(rs[0].Workload.ID)))
				f.must(report(runs, w, domain.EventComplete, 1))
				require.False(t, f.suspend(false).Suspended())
				f.must(assign(waits, w))
				f.submit()
			}},
		{"an operator key belongs to the empty customer",
			"Operator keys belong to the empty customer; List returns the operator keys if it is empty; Revoke " +
				"ends an operator key",
			func(t T, h StoreHarness) {
				f := given(t, h)
				_, err := f.Keys.Create(t.Context(), domain.APIKey{
					ID: "key_acme", CustomerID: acme, Role: domain.RoleViewer, Name: "CI", Prefix: "pa",
				}, admin)
				require.NoError(t, err)
				k, err := f.Keys.Create(t.Context(), domain.APIKey{
					ID: "key_op", Role: domain.RoleWorker, Name: "Rack 7", WorkerIDs: "rack7-*",
					Prefix: "po", Digest: [32]byte{7},
				}, admin)
				require.NoError(t, err)
				got, usable, err := keyBy(t, h.Open().Keys, "po")
				require.NoError(t, err)
				require.Equal(t, k, got)
				require.Equal(t, domain.KeyForever, usable)
				list, err := f.Keys.List(t.Context(), "")
				require.NoError(t, err)
				require.Equal(t, []domain.APIKey{k}, list)
				list, err = f.Keys.List(t.Context(), acme)
				require.NoError(t, err)
				require.Len(t, list, 1)
				require.Equal(t, "CI", list[0].Name)
				requireCode(t, f.Keys.Revoke(t.Context(), acme, "key_op", admin), domain.CodeNotFound)
				requireCode(t, f.Keys.Revoke(t.Context(), "", "key_acme", admin), domain.CodeNotFound)
				_, err = f.Keys.Create(t.Context(), domain.APIKey{ID: "key_op", Role: domain.RoleAdmin, Prefix: "pp"}, admin)
				requireCode(t, err, domain.CodeConflict)
				require.NoError(t, f.Keys.Revoke(t.Context(), "", "key_op", admin))
				_, usable, err = keyBy(t, f.Keys, "po")
				require.NoError(t, err)
				require.Zero(t, usable)
				_, usable, err = keyBy(t, f.Keys, "pa")
				require.NoError(t, err)
				require.Equal(t, domain.KeyForever, usable)
			}},
		{"a key expires by the store's clock",
			"for how long it may be used by the store's clock; CodeInvalidInput naming expires_at when that is " +
				"not in the future by the store's clock",
			func(t T, h StoreHarness) {
				f := given(t, h)
				now := f.now()
				for i, past := range []time.Time{now.Add(-time.Hour), time.Unix(1, 0).UTC()} {
					_, err := f.Keys.Create(t.Context(), domain.APIKey{
						ID: domain.KeyID(fmt.Sprint("key_past", i)), CustomerID: acme,
						Prefix: fmt.Sprint("past", i), ExpiresAt: past,
					}, admin)
					requireCode(t, err, domain.CodeInvalidInput)
					_, _, err = keyBy(t, f.Keys, fmt.Sprint("past", i))
					requireCode(t, err, domain.CodeNotFound)
				}
				k, err := f.Keys.Create(t.Context(), domain.APIKey{
					ID: "key_1", CustomerID: acme, Role: domain.RoleViewer, Prefix: "p1", ExpiresAt: now.Add(time.Hour),
				}, admin)
				require.NoError(t, err)
				_, usable, err := keyBy(t, f.Keys, "p1")
				require.NoError(t, err)
				require.InDelta(t, time.Hour, usable, float64(time.Minute))
				h.Advance(30 * time.Minute)
				_, usable, err = keyBy(t, f.Keys, "p1")
				require.NoError(t, err)
				require.InDelta(t, 30*time.Minute, usable, float64(time.Minute))
				h.Advance(31 * time.Minute)
				got, usable, err := keyBy(t, f.Keys, "p1")
				require.NoError(t, err)
				require.Equal(t, k, got, "expired ones are found")
				require.Zero(t, usable)
			}},
	}
}

// suspend suspends acme, or reactivates it.
func (f *fixture) suspend(suspended bool) domain.Customer {
	f.Helper()
	c, err := f.Customers.Update(f.Context(), acme, domain.CustomerPatch{Suspended: &suspended}, admin)
	require.NoError(f, err)
	return c
}

func (f *fixture) config(workloadType string, id domain.ConfigID) domain.WorkloadConfig {
	f.Helper()
	c, err := f.Configs.Create(f.Context(), domain.WorkloadConfig{
		ID: id, CustomerID: acme, Type: workloadType, Description: "d",
		RunConfig: domain.RunConfig{
			Config: `{"a":1}`, Limits: domain.DefaultLimits(), MaxRetries: 1, Timeout: time.Minute,
			CheckpointInterval: time.Second, Backoff: domain.DefaultRetryBackoff(),
		},
	})
	require.NoError(f, err)
	return c
}

// keyBy returns the key with a lookup prefix. CodeNotFound.
func keyBy(t T, keys ports.KeyStore, prefix string) (domain.APIKey, time.Duration, error) {
	t.Helper()
	found, err := keys.ByPrefix(t.Context(), prefix)
	switch {
	case err != nil:
		return domain.APIKey{}, 0, err
	case len(found) == 0:
		return domain.APIKey{}, 0, domain.NotFound("key")
	}
	require.Len(t, found, 1)
	return found[0].APIKey, found[0].Usable, nil
}
