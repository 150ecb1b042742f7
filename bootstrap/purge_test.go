//go:build retention

package bootstrap

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/archiving"
	"github.com/niyanta/niyanta/core/services/retention"
)

var (
	purgeRows   = flag.Int("purge-rows", 1_000_000, "finished workloads that are due")
	purgeRounds = flag.Int("purge-rounds", 5, "rounds, each with and without the purge")
	purgeLength = flag.Duration("purge-length", 10*time.Second, "how long a round takes with the purge, and without it")
)

const (
	// purgeClients is how many clients submit, each as fast as it is answered.
	purgeClients = 8
	// purgeParts is how many times a round changes between both, so that whatever else slows the
	// machine slows both.
	purgeParts = 4
)

// TestPurge_OfManyWorkloads_LeavesSubmissionsTheirP99 measures submissions over HTTP, on PostgreSQL
// with fsync on, without and during the move of finished workloads to the archive, by turns. Then it
// lets the purge finish and says how long it took in all. It is run by `make retention`.
func TestPurge_OfManyWorkloads_LeavesSubmissionsTheirP99(t *testing.T) {
	d, c := onPostgres(t, 0, "NIYANTA_KEEP_WORKLOADS=87600h") // what is seeded is younger: the test purges
	key := unlimited(t, d, "cust_busy")
	seedDue(t, c, *purgeRows)
	p := &purge{count: &counting{Observer: d.App.host.Observer}}
	p.service = retention.New(domain.Retention{Workloads: 90 * 24 * time.Hour}, retention.Deps{
		Retention: d.App.backends.Stores.Retention, Archive: archiving.New(archiving.Deps{}), Observer: p.count,
		Clock: d.App.host.Clock, Leader: d.App.coordinator.Leadership,
	})
	fmt.Printf("%s, %d processors, PostgreSQL with fsync on; %d workloads due; %d rounds of %s each\n\n",
		runtime.Version(), runtime.NumCPU(), *purgeRows, *purgeRounds, *purgeLength)
	fmt.Println("| round | p99 without | p99 during the purge | submissions without | during | ratio | moved |")
	fmt.Println("|---|---|---|---|---|---|---|")
	submitClosely(t, d, key, *purgeLength/5) // the first ones prepare statements and connections
	var ratios []float64
	for round := range *purgeRounds {
		before := p.moved()
		var without, during []time.Duration
		for part := range purgeParts {
			quiet := func() { without = append(without, submitClosely(t, d, key, *purgeLength/purgeParts)...) }
			if part%2 == 0 {
				quiet()
			}
			stop := p.start(t)
			during = append(during, submitClosely(t, d, key, *purgeLength/purgeParts)...)
			stop()
			if part%2 == 1 {
				quiet()
			}
		}
		require.Less(t, p.moved(), *purgeRows, "the purge must last as long as the rounds: seed more")
		assert.Greater(t, p.moved(), before, "the purge must go on meanwhile")
		was, is := percentile99(without), percentile99(during)
		ratios = append(ratios, float64(is)/float64(was))
		fmt.Printf("| %d | %s | %s | %d | %d | %.2f | %d |\n", round+1, was, is, len(without), len(during),
			ratios[round], p.moved()-before)
	}
	stop := p.start(t)
	require.Eventually(t, func() bool { return p.moved() == *purgeRows }, time.Hour, 100*time.Millisecond)
	stop()
	fmt.Printf("\nmedian ratio of the p99: %.2f; %d workloads were archived in %s of purging\n", median(ratios),
		p.moved(), p.took.Round(time.Second))
	assert.LessOrEqual(t, median(ratios), 1.2)
	c.Exec(t, "postgres", fmt.Sprintf(
		"DO $$ BEGIN ASSERT (SELECT count(*) FROM workload_archive) = %d; END $$", *purgeRows))
}

// purge is the service of retention, which is started and stopped.
type purge struct {
	service *retention.Service
	count   *counting
	took    time.Duration // how long it was running
}

// counting counts what is moved.
type counting struct {
	ports.Observer
	mu sync.Mutex
	n  int
}

// Purged implements ports.Observer.
func (c *counting) Purged(_ domain.Kept, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
}

func (p *purge) moved() int {
	p.count.mu.Lock()
	defer p.count.mu.Unlock()
	return p.count.n
}

// start runs the service until stop is called.
func (p *purge) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		begun := time.Now()
		defer func() { p.took += time.Since(begun) }()
		for ctx.Err() == nil {
			next, err := p.service.Tick(context.WithoutCancel(ctx))
			assert.NoError(t, err)
			select {
			case <-ctx.Done():
			case <-time.After(next):
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// seedDue gives ten customers n finished workloads whose time is over, each with its input, its
// result and two log lines.
func seedDue(t *testing.T, c *servers.Postgres, n int) {
	t.Helper()
	const owner = "'cust_old' || (g % 10)"
	c.Exec(t, "postgres",
		`INSERT INTO customers (customer_id, name, tier, created_at, updated_at)
 SELECT 'cust_old' || g, 'O', 'enterprise', now(), now() FROM generate_series(0, 9) g`,
		`INSERT INTO queue_bounds (customer_id) SELECT 'cust_old' || g FROM generate_series(0, 9) g`,
		fmt.Sprintf(`INSERT INTO workloads (workload_id, customer_id, lane_id, workload_type, config_id, priority,
  max_retries, timeout_us, created_at, queue_at, status, generation, scheduled_at, started_at, finished_at, updated_at)
 SELECT 'wl_old' || lpad(g::text, 9, '0'), %[1]s, %[1]s || '/t@10', 't', '', 10, 3, 3600000000, at, at, 'COMPLETED', 1,
  at, at, at, at FROM (SELECT g, now() - interval '100 days' + g * interval '1 ms' AS at
  FROM generate_series(0, %[2]d - 1) g) s`, owner, n),
		`INSERT INTO workload_specs (workload_id, input, config, cpu_cores, memory_mb, disk_mb, checkpoint_interval_us)
 SELECT workload_id, '{"bucket":"invoices","from":"2026-01-01","to":"2026-01-31"}', '', 1, 512, 1024, 300000000
 FROM workloads WHERE workload_id LIKE 'wl\_old%'`,
		`INSERT INTO workload_results SELECT workload_id, '{"rows":1000000,"sum":"123456.78"}' FROM workloads
 WHERE workload_id LIKE 'wl\_old%'`,
		`INSERT INTO workload_logs (workload_id, seq, generation, at, level, stream, message)
 SELECT workload_id, seq, 1, finished_at, 'INFO', 'stdout', 'half of the invoices are done' FROM workloads,
 generate_series(1, 2) seq WHERE workload_id LIKE 'wl\_old%'`,
		`INSERT INTO log_positions SELECT workload_id, 2 FROM workloads WHERE workload_id LIKE 'wl\_old%'`,
		`INSERT INTO finished SELECT customer_id, finished_at, workload_id, status, workload_type, created_at
 FROM workloads WHERE workload_id LIKE 'wl\_old%'`,
		"VACUUM ANALYZE", "CHECKPOINT")
}

// submitClosely has the clients submit for a time, and returns how long each submission took.
func submitClosely(t *testing.T, d *Dev, key string, length time.Duration) (all []time.Duration) {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: purgeClients}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	body := fmt.Sprintf(`{"workload_type":"sleep","input_params":{},"run_at":%q}`,
		time.Now().Add(24*time.Hour).Format(time.RFC3339))
	one := func() (time.Duration, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.App.URL()+"/v1/workloads",
			strings.NewReader(body))
		if err != nil {
			return 0, err
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		begun := time.Now()
		resp, err := client.Do(req)
		if err != nil {
			return 0, err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusAccepted {
			return 0, fmt.Errorf("unexpected status %d", resp.StatusCode)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return time.Since(begun), err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range purgeClients {
		wg.Go(func() {
			for end := time.Now().Add(length); time.Now().Before(end); {
				took, err := one()
				if !assert.NoError(t, err) {
					return
				}
				mu.Lock()
				all = append(all, took)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	require.NotEmpty(t, all)
	return all
}

func percentile99(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[min(len(took)*99/100, len(took)-1)].Round(time.Microsecond)
}
