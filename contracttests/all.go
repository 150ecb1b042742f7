package contracttests

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// allCases are about every method of every store port.
func allCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"a cancelled context surfaces as itself and changes nothing",
			"A context that is cancelled surfaces as context.Canceled, never as another code",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				a := f.running(w)
				ctx, cancelCtx := context.WithCancel(t.Context())
				cancelCtx()
				for name, call := range everyMethod(f, a, w) {
					require.ErrorIs(t, call(ctx), context.Canceled, name)
				}
				require.Equal(t, a, f.get(a.ID))
				require.Len(t, f.trail(a), 3)
				require.Len(t, f.workers(), 1)
			}},
		{"a passed deadline surfaces as itself",
			"past its deadline surfaces as context.DeadlineExceeded", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				a := f.running(w)
				ctx, cancelCtx := context.WithDeadline(t.Context(), time.Unix(0, 0))
				defer cancelCtx()
				for name, call := range everyMethod(f, a, w) {
					require.ErrorIs(t, call(ctx), context.DeadlineExceeded, name)
				}
			}},
	}
}

// everyMethod returns a call of each method of each store port, with arguments that would succeed.
func everyMethod(f *fixture, a domain.Workload, w domain.Worker) map[string]func(context.Context) error {
	sub := f.submission(acme)
	e := func(f func(context.Context) (any, error)) func(context.Context) error {
		return func(ctx context.Context) error { _, err := f(ctx); return err }
	}
	return map[string]func(context.Context) error{
		"Submit": e(func(ctx context.Context) (any, error) {
			return f.Workloads.Submit(ctx, []domain.Submission{sub})
		}),
		"Apply": e(func(ctx context.Context) (any, error) {
			return f.Workloads.Apply(ctx, domain.Batch{Transitions: []domain.Transition{cancel(a)}})
		}),
		"GetAny":   e(func(ctx context.Context) (any, error) { return f.Workloads.GetAny(ctx, a.ID) }),
		"Get":      e(func(ctx context.Context) (any, error) { return f.Workloads.Get(ctx, acme, a.ID) }),
		"GetBrief": e(func(ctx context.Context) (any, error) { return f.Workloads.GetBrief(ctx, acme, a.ID) }),
		"List": e(func(ctx context.Context) (any, error) {
			return f.Workloads.List(ctx, ports.WorkloadQuery{Customer: acme, Limit: 1})
		}),
		"Count": e(func(ctx context.Context) (any, error) {
			return f.Workloads.Count(ctx, ports.WorkloadQuery{Customer: acme})
		}),
		"Usage":  e(func(ctx context.Context) (any, error) { return f.Statistics.Usage(ctx, acme) }),
		"Depth":  e(func(ctx context.Context) (any, error) { return f.Statistics.Depth(ctx, everyone) }),
		"Recent": e(func(ctx context.Context) (any, error) { return f.Statistics.Recent(ctx, everyone, f.now()) }),
		"Statistics": e(func(ctx context.Context) (any, error) {
			return f.Statistics.Statistics(ctx, domain.StatisticsQuery{
				Whose: domain.Whose{Customer: acme}, GroupBy: domain.GroupByType,
			})
		}),
		"Mix":       e(func(ctx context.Context) (any, error) { return f.Statistics.Mix(ctx) }),
		"Fold":      e(func(ctx context.Context) (any, error) { return f.Statistics.Fold(ctx, 1) }),
		"Heads":     e(func(ctx context.Context) (any, error) { return f.Queue.Heads(ctx, domain.HeadsQuery{N: 1}) }),
		"NextDue":   e(func(ctx context.Context) (any, error) { in, _, err := f.Queue.NextDue(ctx); return in, err }),
		"Occupancy": e(func(ctx context.Context) (any, error) { return f.Queue.Occupancy(ctx) }),
		"Held":      e(func(ctx context.Context) (any, error) { return f.Queue.Held(ctx, w.SessionID) }),
		"Orphans":   e(func(ctx context.Context) (any, error) { return f.Queue.Orphans(ctx, "", 1) }),
		"Unstarted": e(func(ctx context.Context) (any, error) { return f.Queue.Unstarted(ctx, 0, "", 1) }),
		"Overdue":   e(func(ctx context.Context) (any, error) { return f.Queue.Overdue(ctx, 0, "", 1) }),
		"Register": e(func(ctx context.Context) (any, error) {
			return f.Workers.Register(ctx, registration("x", "x", 1), lease)
		}),
		"Heartbeat": e(func(ctx context.Context) (any, error) { return f.Workers.Heartbeat(ctx, nil, lease) }),
		"End": e(func(ctx context.Context) (any, error) {
			return f.Workers.End(ctx, domain.SessionEnd{WorkerID: w.ID, SessionID: w.SessionID})
		}),
		"Undrain": e(func(ctx context.Context) (any, error) { return f.Fleet.Undrain(ctx, w.ID, admin) }),
		"Purge": e(func(ctx context.Context) (any, error) {
			return f.Retention.Purge(ctx, f.epoch, ports.Purge{What: domain.KeptWorkers, Limit: 1})
		}),
		"Archived": e(func(ctx context.Context) (any, error) {
			return f.Retention.Archived(ctx, acme, time.Hour, a.ID)
		}),
		"ArchivedMonth": e(func(ctx context.Context) (any, error) {
			_, _, err := f.Retention.ArchivedMonth(ctx, time.Time{})
			return nil, err
		}),
		"ArchivedIn": e(func(ctx context.Context) (any, error) {
			return f.Retention.ArchivedIn(ctx, domain.MonthOf(f.now()), ports.ArchivePlace{}, 1)
		}),
		"Owners":              e(func(ctx context.Context) (any, error) { return f.Retention.Owners(ctx, time.Hour, a.ID) }),
		"Expire":              e(func(ctx context.Context) (any, error) { return f.Workers.Expire(ctx, f.epoch, 1) }),
		"Drain":               e(func(ctx context.Context) (any, error) { return f.Fleet.Drain(ctx, w.ID, admin) }),
		"Remove":              func(ctx context.Context) error { return f.Fleet.Remove(ctx, w.ID, admin) },
		"Workers":             e(func(ctx context.Context) (any, error) { return f.Workers.List(ctx) }),
		"WorkersAndOccupancy": e(func(ctx context.Context) (any, error) { return f.Workers.Fleet(ctx) }),
		"Save": e(func(ctx context.Context) (any, error) {
			return f.Checkpoints.Save(ctx, report(a, w, domain.EventCheckpoint, 1), domain.Checkpoint{}, nil)
		}),
		"Load": func(ctx context.Context) error {
			_, _, err := f.Checkpoints.Load(ctx, a.ID, 0)
			return err
		},
		"Workload":    e(func(ctx context.Context) (any, error) { return f.Checkpoints.Workload(ctx, a.ID) }),
		"Checkpoints": e(func(ctx context.Context) (any, error) { return f.Checkpoints.List(ctx, acme, a.ID) }),
		"CreateCustomer": e(func(ctx context.Context) (any, error) {
			return f.Customers.Create(ctx, domain.Customer{ID: "cust_x"}, admin)
		}),
		"GetCustomer":   e(func(ctx context.Context) (any, error) { return f.Customers.Get(ctx, acme) }),
		"ListCustomers": e(func(ctx context.Context) (any, error) { return f.Customers.List(ctx, "", 1) }),
		"UpdateCustomer": e(func(ctx context.Context) (any, error) {
			return f.Customers.Update(ctx, acme, domain.CustomerPatch{}, admin)
		}),
		"GetMany": e(func(ctx context.Context) (any, error) { return f.Customers.GetMany(ctx, nil) }),
		"CreateConfig": e(func(ctx context.Context) (any, error) {
			return f.Configs.Create(ctx, domain.WorkloadConfig{ID: "wlcfg_x", CustomerID: acme, Type: "x"})
		}),
		"GetConfig":   e(func(ctx context.Context) (any, error) { return f.Configs.Get(ctx, acme, "wlcfg_x") }),
		"ForTypes":    e(func(ctx context.Context) (any, error) { return f.Configs.ForTypes(ctx, nil) }),
		"ListConfigs": e(func(ctx context.Context) (any, error) { return f.Configs.List(ctx, acme, "", 1) }),
		"ConfigTypes": e(func(ctx context.Context) (any, error) { return f.Configs.Types(ctx, acme, 1) }),
		"UpdateConfig": e(func(ctx context.Context) (any, error) {
			return f.Configs.Update(ctx, acme, "wlcfg_x", domain.ConfigPatch{})
		}),
		"DeleteConfig": func(ctx context.Context) error { return f.Configs.Delete(ctx, acme, "wlcfg_x") },
		"CreateKey": e(func(ctx context.Context) (any, error) {
			return f.Keys.Create(ctx, domain.APIKey{CustomerID: acme}, admin)
		}),
		"ByPrefix": e(func(ctx context.Context) (any, error) { return f.Keys.ByPrefix(ctx, "p") }),
		"ListKeys": e(func(ctx context.Context) (any, error) { return f.Keys.List(ctx, acme) }),
		"Revoke":   func(ctx context.Context) error { return f.Keys.Revoke(ctx, acme, "key", admin) },
		"CreateTicket": e(func(ctx context.Context) (any, error) {
			return f.Tickets.Create(ctx, domain.Ticket{Digest: [32]byte{9}})
		}),
		"RedeemTicket": e(func(ctx context.Context) (any, error) { return f.Tickets.Redeem(ctx, [32]byte{1}, lifetime) }),
		"Audit":        e(func(ctx context.Context) (any, error) { return f.Audit.Workload(ctx, acme, a.ID, 0, 1) }),
		"WorkerAudit":  e(func(ctx context.Context) (any, error) { return f.Audit.Worker(ctx, w.ID, 0, 1) }),
		"Record": func(ctx context.Context) error {
			return f.AdminAudit.Record(ctx, []domain.AdminEvent{{By: admin, Action: "x"}})
		},
		"DeleteCustomer": e(func(ctx context.Context) (any, error) {
			return f.Customers.Delete(ctx, acme, true, admin)
		}),
		"Deleting":   e(func(ctx context.Context) (any, error) { return f.Erasure.Deleting(ctx, "", 1) }),
		"Unfinished": e(func(ctx context.Context) (any, error) { return f.Erasure.Unfinished(ctx, acme, 1) }),
		"Remaining":  e(func(ctx context.Context) (any, error) { return f.Erasure.Remaining(ctx, acme, 1) }),
		"Erase": e(func(ctx context.Context) (any, error) {
			return f.Erasure.Erase(ctx, f.epoch, acme, 1, admin)
		}),
		"AdminAudit": e(func(ctx context.Context) (any, error) {
			return f.AdminAudit.List(ctx, ports.AdminAuditQuery{Limit: 1})
		}),
		"Logs": e(func(ctx context.Context) (any, error) {
			return f.Logs.List(ctx, ports.LogQuery{Customer: acme, Workload: a.ID, Limit: 1})
		}),
		"Events": e(func(ctx context.Context) (any, error) {
			return f.Events.OfWorkload(ctx, acme, a.ID, domain.Position{}, 1)
		}),
		"Horizon":      e(func(ctx context.Context) (any, error) { return f.Events.Horizon(ctx) }),
		"OfCustomer":   e(func(ctx context.Context) (any, error) { return f.Events.OfCustomer(ctx, acme, 0, 1, 1) }),
		"OfAll":        e(func(ctx context.Context) (any, error) { return f.Events.OfAll(ctx, 0, 1, 1) }),
		"Ends":         e(func(ctx context.Context) (any, error) { return f.Events.Ends(ctx, nil) }),
		"CustomerEnds": e(func(ctx context.Context) (any, error) { return f.Events.CustomerEnds(ctx, nil) }),
		"Acquire": func(ctx context.Context) error {
			_, _, err := f.Leader.Acquire(ctx, "x", lease)
			return err
		},
		"Renew":   func(ctx context.Context) error { return f.Leader.Renew(ctx, holder, f.epoch, lease) },
		"Release": func(ctx context.Context) error { return f.Leader.Release(ctx, holder, f.epoch) },
	}
}
