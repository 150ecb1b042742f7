//go:build explain

package postgres_test

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// countBound is what a read may cost that counts 10,000 workloads of each of two lanes at most.
	countBound = 2_000
	// rowsBound is what 100 rows may cost that may each stand on a page of its own.
	rowsBound = 150
)

// readCase is a read whose pages are compared between a small and a large database.
type readCase struct {
	name string
	read func(ctx context.Context, s ports.Stores) error
	// bound replaces the comparison for a read that goes as far as it may.
	bound int
}

const (
	largest   = domain.CustomerID("cust_largest")
	aWorkload = domain.WorkloadID("wl_cust_largest_000000021")
	aWaiting  = domain.WorkloadID("wl_cust_largest_000000022")
)

// read drops the result of a read.
func read[V any](f func(context.Context, ports.Stores) (V, error)) func(context.Context, ports.Stores) error {
	return func(ctx context.Context, s ports.Stores) error {
		_, err := f(ctx, s)
		return err
	}
}

func readCases(t *testing.T) (all []readCase) {
	type (
		c = context.Context
		s = ports.Stores
	)
	add := func(name string, f func(context.Context, ports.Stores) error) {
		all = append(all, readCase{name: name, read: f})
	}
	add("usage of a customer", read(func(ctx c, s s) (domain.Usage, error) { return s.Statistics.Usage(ctx, largest) }))
	add("usages of customers", read(func(ctx c, s s) (map[domain.CustomerID]domain.Usage, error) {
		return s.Insight.Usages(ctx, []domain.CustomerID{largest, acme, "cust_unknown"})
	}))
	add("queue depth of a customer", read(func(ctx c, s s) ([]domain.Depth, error) {
		return s.Statistics.Depth(ctx, domain.Whose{Customer: largest})
	}))
	add("queue depth of all", read(func(ctx c, s s) ([]domain.Depth, error) {
		return s.Statistics.Depth(ctx, domain.Whose{Everyone: true})
	}))
	all = append(all, readCase{"backlog by customer and lane", read(func(ctx c, s s) (domain.Backlog, error) {
		return s.Statistics.Backlog(ctx)
	}), countBound})
	add("mix of what is submitted", read(func(ctx c, s s) ([]domain.MixClass, error) { return s.Statistics.Mix(ctx) }))
	today := domain.DayOf(time.Now())
	for _, by := range []domain.Grouping{domain.GroupByDay, domain.GroupByType, domain.GroupByHour} {
		add("statistics of a month by "+string(by), read(func(ctx c, s s) ([]domain.Statistic, error) {
			return s.Statistics.Statistics(ctx, domain.StatisticsQuery{
				Whose: domain.Whose{Customer: largest}, From: today.AddDate(0, 0, -30), Until: today.AddDate(0, 0, 1), GroupBy: by,
			})
		}))
	}
	// What an explanation and an estimate read.
	add("a workload", read(func(ctx c, s s) ([]domain.Workload, error) { return s.Workloads.Get(ctx, largest, aWaiting) }))
	add("heads, one of each lane", read(func(ctx c, s s) (domain.QueueHeads, error) {
		return s.Queue.Heads(ctx, domain.HeadsQuery{N: 1})
	}))
	add("heads, 64 of each lane", read(func(ctx c, s s) (domain.QueueHeads, error) {
		return s.Queue.Heads(ctx, domain.HeadsQuery{N: 64})
	}))
	add("occupancy", read(func(ctx c, s s) ([]domain.Occupancy, error) { return s.Queue.Occupancy(ctx) }))
	add("workers", read(func(ctx c, s s) ([]domain.Worker, error) { return s.Workers.List(ctx) }))
	add("fleet", read(func(ctx c, s s) (domain.Fleet, error) { return s.Workers.Fleet(ctx) }))
	add("throughput", read(func(ctx c, s s) (domain.Throughput, error) { return s.Insight.Throughput(ctx) }))
	for name, cutoffs := range map[string][]ports.Cutoff{
		"one lane":  {{Lane: domain.LaneID(largest + "/t@10")}},
		"two lanes": {{Lane: domain.LaneID(largest + "/t@10")}, {Lane: "cust_other/t@10"}},
	} {
		all = append(all, readCase{"position behind " + name, func(ctx context.Context, s ports.Stores) error {
			counts, _, err := s.Insight.Ahead(ctx, cutoffs, 10_000)
			for _, n := range counts {
				assert.Positive(t, n)
			}
			return err
		}, countBound})
	}
	// What coordinators read by themselves.
	add("when the next one is due", func(ctx context.Context, s ports.Stores) error {
		_, _, err := s.Queue.NextDue(ctx)
		return err
	})
	add("what a session holds", read(func(ctx c, s s) ([]ports.HeldWorkload, error) { return s.Queue.Held(ctx, "s") }))
	add("orphans", read(func(ctx c, s s) ([]ports.Orphan, error) { return s.Queue.Orphans(ctx, "", 100) }))
	add("unstarted", read(func(ctx c, s s) ([]ports.HeldWorkload, error) {
		return s.Queue.Unstarted(ctx, time.Minute, "", 100)
	}))
	add("overdue", read(func(ctx c, s s) ([]ports.HeldWorkload, error) {
		return s.Queue.Overdue(ctx, time.Minute, "", 100)
	}))
	// Events, audit and logs.
	horizon := func(ctx context.Context, s ports.Stores) domain.Horizon {
		h, err := s.Events.Horizon(ctx)
		require.NoError(t, err)
		return h
	}
	add("horizon of events", func(ctx context.Context, s ports.Stores) error { horizon(ctx, s); return nil })
	for name, back := range map[string]int64{"newest 100": 100, "next 100 of all that there are": 1 << 40} {
		add("events of a customer, "+name, read(func(ctx c, s s) ([]domain.AuditEvent, error) {
			last := horizon(ctx, s).Last
			return s.Events.OfCustomer(ctx, largest, max(last-back, 0), last, 100)
		}))
		add("events of all, "+name, read(func(ctx c, s s) ([]domain.AuditEvent, error) {
			last := horizon(ctx, s).Last
			return s.Events.OfAll(ctx, max(last-back, 0), last, 100)
		}))
	}
	add("events of a workload", read(func(ctx c, s s) (domain.EventPage, error) {
		return s.Events.OfWorkload(ctx, largest, aWorkload, domain.Position{}, 100)
	}))
	add("ends of workloads", read(func(ctx c, s s) (map[domain.WorkloadID]domain.Position, error) {
		return s.Events.Ends(ctx, []domain.WorkloadID{aWorkload, aWaiting})
	}))
	add("ends of customers", read(func(ctx c, s s) (map[domain.CustomerID]int64, error) {
		return s.Events.CustomerEnds(ctx, []domain.CustomerID{largest, "cust_other"})
	}))
	add("audit of a workload", read(func(ctx c, s s) ([]domain.AuditEvent, error) {
		return s.Audit.Workload(ctx, largest, aWorkload, 0, 100)
	}))
	add("audit of a worker", read(func(ctx c, s s) ([]domain.AuditEvent, error) {
		return s.Audit.Worker(ctx, "w1", 0, 100)
	}))
	add("log of a workload", read(func(ctx c, s s) ([]domain.LogLine, error) {
		return s.Logs.List(ctx, ports.LogQuery{Customer: largest, Workload: aWorkload, Limit: 100})
	}))
	add("checkpoints of a workload", read(func(ctx c, s s) ([]domain.Checkpoint, error) {
		return s.Checkpoints.List(ctx, largest, aWorkload)
	}))
	// The archive, and lists of all customers.
	add("archived workloads by id", read(func(ctx c, s s) ([]domain.Workload, error) {
		return s.Retention.Archived(ctx, largest, 24*time.Hour, aWorkload)
	}))
	add("owners of workloads", read(func(ctx c, s s) (map[domain.WorkloadID]domain.CustomerID, error) {
		return s.Retention.Owners(ctx, 24*time.Hour, aWorkload, aWaiting, "wl_none")
	}))
	add("month of the archive", read(func(ctx c, s s) (time.Time, error) {
		month, _, err := s.Retention.ArchivedMonth(ctx, time.Time{})
		return month, err
	}))
	for name, after := range map[string]domain.WorkloadID{"first": "", "later": "wl_cust_largest_000001000"} {
		all = append(all, readCase{name + " page of the archive", read(func(ctx c, s s) ([]domain.Workload, error) {
			return s.Retention.ArchivedIn(ctx, domain.MonthOf(time.Now()),
				ports.ArchivePlace{Customer: largest, Workload: after}, 100)
		}), rowsBound})
	}
	add("newest workloads of all customers", read(func(ctx c, s s) (ports.WorkloadPage, error) {
		return s.Workloads.List(ctx, ports.WorkloadQuery{Limit: 50})
	}))
	add("customers", read(func(ctx c, s s) ([]domain.Customer, error) { return s.Customers.List(ctx, "", 100) }))
	return all
}

// seedReads fills a database with n waiting and n finished workloads of one customer and a tenth as
// many of another, copies of the finished ones in the archive, two events of each, and the lines of
// one.
func seedReads(t *testing.T, c *servers.Postgres, database string, n int) {
	t.Helper()
	for customer, n := range map[string]int{string(largest): n, "cust_other": n / 10} {
		seedLists(t, c, database, customer, n)
		seedRunning(t, c, database, customer, 5)
	}
	c.Exec(t, database, `INSERT INTO count_totals SELECT customer_id, workload_type,
  count(*) FILTER (WHERE status = 'PENDING'), count(*) FILTER (WHERE status = 'RUNNING'), 0
 FROM workloads WHERE finished_at IS NULL GROUP BY 1, 2`,
		// Hours of a year, so that the server reads them by index whatever else there is.
		`INSERT INTO count_hours (customer_id, hour, workload_type, submitted, completed, failed, cancelled, executed_us)
 SELECT customer_id, date_trunc('hour', now(), 'UTC') - g * interval '1 h', 't', 1, 1, 0, 0, 0
 FROM customers, generate_series(24, 9600) g ON CONFLICT DO NOTHING`,
		`INSERT INTO audit (at, workload_id, customer_id, type, actor_kind, actor_id, from_status, to_status, generation,
  worker_id, checkpoint_sequence, reason)
 SELECT created_at, workload_id, customer_id, e, 'worker', 'w', '', '', 1, '', 0, ''
 FROM workloads, unnest(ARRAY['workload.created', 'workload.scheduled']) e ORDER BY created_at, workload_id`,
		`INSERT INTO workload_logs (workload_id, seq, generation, at, level, stream, message)
 SELECT '`+string(aWorkload)+`', g, 1, now(), 'info', '', 'line' FROM generate_series(1, 500) g`,
		`INSERT INTO log_positions (workload_id, last_seq) VALUES ('`+string(aWorkload)+`', 500)`,
		postgres.CopyToArchive,
		"VACUUM ANALYZE")
	stores := open(t, c.SocketURL(database)).Stores()
	for i := range 20 {
		_, err := stores.Workers.Register(t.Context(), domain.Registration{
			WorkerID: domain.WorkerID(fmt.Sprint("w", i)), SessionID: domain.SessionID(fmt.Sprint("s", i)),
			Capabilities: []string{"t"}, Slots: 100,
		}, time.Hour)
		require.NoError(t, err)
	}
}

// TestHotStatements_OfReads_ReadTheSamePagesAtAnySize compares what each read costs in pages between a
// database with 1,000 waiting and 1,000 finished workloads and one with many.
func TestHotStatements_OfReads_ReadTheSamePagesAtAnySize(t *testing.T) {
	c, m := startMetered(t)
	stores := map[int]ports.Stores{}
	for _, n := range []int{fewRows, *explainRows} {
		database := c.EmptyDatabase(t)
		_, err := postgres.MigrateUp(t.Context(), c.SocketURL(database), silent)
		require.NoError(t, err)
		seedReads(t, c, database, n)
		stores[n] = open(t, c.SocketURL(database)).Stores()
	}
	pages := func(r readCase, n int) int {
		return m.pages(t, func() error { return r.read(t.Context(), stores[n]) })
	}
	fmt.Fprintf(os.Stdout, "| read | pages, 1,000 | pages, %d |\n|---|---|---|\n", *explainRows)
	for _, r := range readCases(t) {
		few, many := pages(r, fewRows), pages(r, *explainRows)
		fmt.Fprintf(os.Stdout, "| %s | %d | %d |\n", r.name, few, many)
		if r.bound > 0 {
			assert.LessOrEqual(t, many, r.bound, r.name)
		} else {
			assert.LessOrEqual(t, many, 2*few+indexDepth, r.name)
		}
	}
}
