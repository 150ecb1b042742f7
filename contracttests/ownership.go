package contracttests

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// nobody lists ids of customers that own nothing: an empty one, an unknown one, and patterns.
var nobody = []domain.CustomerID{"", "cust_nobody", "%", "*"}

// ownershipCases are about every method of a store port that names a customer.
func ownershipCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"an empty customer owns nothing",
			"An empty customer is a customer that owns nothing, never any", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				a := f.running(w)
				_, err := f.Checkpoints.Save(t.Context(), report(a, w, domain.EventCheckpoint, 1),
					domain.Checkpoint{}, []byte("x"))
				require.NoError(t, err)
				f.must(wrote(a, w, domain.LogLine{Message: "secret"}))
				c := f.config("t", "wlcfg_t")
				_, err = f.Keys.Create(t.Context(), domain.APIKey{
					ID: "key_1", CustomerID: acme, Role: domain.RoleViewer, Prefix: "p1",
				}, admin)
				require.NoError(t, err)
				for _, customer := range nobody {
					for name, found := range readsOf(f, customer, a.ID, c) {
						require.Zero(t, found(), "%s of %q", name, customer)
					}
					_, err := f.Configs.Get(t.Context(), customer, c.ID)
					requireCode(t, err, domain.CodeNotFound)
					requireCode(t, f.Configs.Delete(t.Context(), customer, c.ID), domain.CodeNotFound)
					requireCode(t, f.Keys.Revoke(t.Context(), customer, "key_1", admin), domain.CodeNotFound)
					_, err = f.Customers.Get(t.Context(), customer)
					requireCode(t, err, domain.CodeNotFound)
				}
				for name, found := range readsOf(f, acme, a.ID, c) {
					require.NotZero(t, found(), "%s of the owner", name)
				}
			}},
		{"transitions of the API name their customer",
			"The API acts for a customer: a transition of it that names none finds nothing", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				a := f.running(w)
				for _, r := range domain.Rules() {
					if r.Source != domain.FromAPI {
						continue
					}
					for _, customer := range nobody {
						res := f.apply(domain.Transition{WorkloadID: a.ID, CustomerID: customer, Event: r.Event})[0]
						require.Equal(t, domain.OutcomeNotFound, res.Outcome, "%s for %q", r.Event, customer)
					}
				}
				require.Equal(t, a, f.get(a.ID))
				stop := report(a, w, domain.EventComplete, 1)
				require.Empty(t, stop.CustomerID)
				f.must(stop)
			}},
		{"GetAny reads workloads of every customer",
			"GetAny is Get whoever the workloads belong to", func(t T, h StoreHarness) {
				f := given(t, h)
				a := f.submit()
				b := f.submission(rival)
				_, err := f.Workloads.Submit(t.Context(), []domain.Submission{b})
				require.NoError(t, err)
				ws, err := f.Workloads.GetAny(t.Context(), b.ID, "wl_none", a.ID)
				require.NoError(t, err)
				require.Len(t, ws, 2)
				require.Equal(t, []domain.CustomerID{rival, acme},
					[]domain.CustomerID{ws[0].CustomerID, ws[1].CustomerID})
			}},
	}
}

// readsOf returns functions, by method, that return how many items the method finds for a customer.
func readsOf(
	f *fixture, customer domain.CustomerID, id domain.WorkloadID, c domain.WorkloadConfig,
) map[string]func() int {
	ctx := f.Context()
	n := func(found int, err error) int { require.NoError(f, err); return found }
	return map[string]func() int{
		"Get":      func() int { ws, err := f.Workloads.Get(ctx, customer, id); return n(len(ws), err) },
		"GetBrief": func() int { ws, err := f.Workloads.GetBrief(ctx, customer, id); return n(len(ws), err) },
		"Usage": func() int {
			u, err := f.Statistics.Usage(ctx, customer)
			return n(u.Queued+u.Running+u.Paused, err)
		},
		"Usages": func() int {
			us, err := f.Insight.Usages(ctx, []domain.CustomerID{customer})
			u := us[customer]
			return n(u.Queued+u.Running+u.Paused, err)
		},
		"Depth": func() int {
			ds, err := f.Statistics.Depth(ctx, domain.Whose{Customer: customer})
			return n(len(ds), err)
		},
		"Recent": func() int {
			r, err := f.Statistics.Recent(ctx, domain.Whose{Customer: customer}, f.now().Add(-time.Hour))
			return n(len(r.Changes), err)
		},
		"Statistics": func() int {
			now := domain.DayOf(f.now())
			ss, err := f.Statistics.Statistics(ctx, domain.StatisticsQuery{
				Whose: domain.Whose{Customer: customer}, From: now.Add(-24 * time.Hour),
				Until: now.Add(48 * time.Hour), GroupBy: domain.GroupByType,
			})
			return n(len(ss), err)
		},
		"List": func() int {
			p, err := f.Workloads.List(ctx, ports.WorkloadQuery{Customer: customer, Limit: 10})
			return n(len(p.Items), err)
		},
		"Count": func() int {
			c, err := f.Workloads.Count(ctx, ports.WorkloadQuery{Customer: customer})
			return n(c.N, err)
		},
		"Audit": func() int { es, err := f.Audit.Workload(ctx, customer, id, 0, 10); return n(len(es), err) },
		"Logs": func() int {
			ls, err := f.Logs.List(ctx, ports.LogQuery{Customer: customer, Workload: id, Limit: 10})
			return n(len(ls), err)
		},
		"Checkpoints": func() int { cs, err := f.Checkpoints.List(ctx, customer, id); return n(len(cs), err) },
		"Configs":     func() int { cs, err := f.Configs.List(ctx, customer, "", 10); return n(len(cs), err) },
		"Types":       func() int { ts, err := f.Configs.Types(ctx, customer, 10); return n(len(ts), err) },
		"ForTypes": func() int {
			m, err := f.Configs.ForTypes(ctx, []domain.ConfigKey{{CustomerID: customer, Type: c.Type}})
			return n(len(m), err)
		},
		"Keys": func() int { ks, err := f.Keys.List(ctx, customer); return n(len(ks), err) },
		"GetMany": func() int {
			m, err := f.Customers.GetMany(ctx, []domain.CustomerID{customer})
			return n(len(m), err)
		},
	}
}
