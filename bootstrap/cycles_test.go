//go:build cycles

package bootstrap

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

var (
	csv    = flag.String("csv", "", "the file to write the points of the plot to")
	rounds = flag.Int("rounds", 9, "cycles to measure for each size")
)

// recorder keeps the cycles that placed workloads.
type recorder struct {
	ports.Observer
	mu     sync.Mutex
	cycles []ports.SchedulingCycle
}

func (r *recorder) Cycle(c ports.SchedulingCycle) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.Placed > 0 {
		r.cycles = append(r.cycles, c)
	}
}

// TestScheduler_CyclesWhateverWaits_AreShort measures single scheduling cycles on PostgreSQL with
// fsync on: 1,000 placements on 500 workers of 20 slots, of which 9,000 are taken, while 1,000 to
// 1,000,000 workloads of 1,000 customers wait (F7, F8). It also measures placements beside
// workloads that cannot be placed. `make cycles` runs it. It takes minutes, and fails only if a
// workload was not placed.
func TestScheduler_CyclesWhateverWaits_AreShort(t *testing.T) {
	fmt.Printf("%s, %d processors, PostgreSQL with fsync on; medians of %d cycles of 1,000 placements, then the "+
		"slowest\n\n", runtime.Version(), runtime.NumCPU(), *rounds)
	fmt.Println("| waiting | cycle | slowest | read | plan | apply |\n|---|---|---|---|---|---|")
	points := &strings.Builder{}
	fmt.Fprintln(points, "x,series,y")
	for _, n := range []int{1_000, 10_000, 100_000, 1_000_000} {
		cycles := measureCycles(t, n)
		ms := func(part func(c ports.SchedulingCycle) time.Duration) (middle, slowest float64) {
			var all []float64
			for _, c := range cycles {
				all = append(all, float64(part(c).Microseconds())/1000)
			}
			return median(all), slices.Max(all)
		}
		total, slowest := ms(func(c ports.SchedulingCycle) time.Duration { return c.Read + c.Plan + c.Apply })
		read, _ := ms(func(c ports.SchedulingCycle) time.Duration { return c.Read })
		plan, _ := ms(func(c ports.SchedulingCycle) time.Duration { return c.Plan })
		apply, _ := ms(func(c ports.SchedulingCycle) time.Duration { return c.Apply })
		fmt.Printf("| %d | %.0f ms | %.0f ms | %.0f ms | %.0f ms | %.0f ms |\n", n, total, slowest, read, plan, apply)
		for series, y := range map[string]float64{"cycle": total, "read": read, "plan": plan, "commit": apply} {
			fmt.Fprintf(points, "%d,%s,%.2f\n", n, series, y)
		}
	}
	if *csv != "" {
		lines := strings.Split(strings.TrimSpace(points.String()), "\n")
		slices.Sort(lines[1:])
		require.NoError(t, os.WriteFile(*csv, []byte(strings.Join(lines, "\n")+"\n"), 0o644))
	}
	t.Run("what cannot be placed", func(t *testing.T) {
		d, c := onPostgres(t, 1, "NIYANTA_WORKER_SLOTS=50")
		took := blockedQueues(t, d, c, 40)
		slices.Sort(took)
		fmt.Printf("\nBehind 100,000 that wait for a GPU that nobody has and 10,000 of a customer at its limit, "+
			"submitted to RUNNING, 40 times: p50 %s, p95 %s, max %s\n",
			took[20].Round(100*time.Microsecond), took[38].Round(100*time.Microsecond),
			took[39].Round(100*time.Microsecond))
	})
}

func measureCycles(t *testing.T, waiting int) []ports.SchedulingCycle {
	ctx := context.Background()
	cluster, err := servers.StartPostgres(true, "max_wal_size=8GB", "shared_buffers=2GB")
	require.NoError(t, err)
	defer cluster.Remove()
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_STORE=postgres", "NIYANTA_LEADER_TTL=10m"})
	require.NoError(t, err)
	cfg.PostgresURL = cluster.SocketURL("postgres")
	app, err := NewCoordinator(ctx, cfg, silent) // never started, so that only the scheduler runs
	require.NoError(t, err)
	defer app.release()
	for n := range 500 {
		_, err := app.backends.Workers.Register(ctx, domain.Registration{
			WorkerID: domain.WorkerID(fmt.Sprint("w", n)), SessionID: domain.SessionID(fmt.Sprint("s", n)),
			Capabilities: []string{"sleep"}, Slots: 20,
		}, time.Hour)
		require.NoError(t, err)
	}
	seedWaiting(t, cluster, "cust_", waiting, 1000, "")
	cluster.Exec(t, "postgres", `INSERT INTO workloads (workload_id, customer_id, lane_id, workload_type, config_id,
    priority, max_retries, timeout_us, created_at, queue_at, updated_at,
  status, worker_id, session_id, generation, scheduled_at, started_at, started_generation)
 SELECT 'wl_held_' || g, 'cust_' || g % 1000, 'cust_' || g % 1000 || '/sleep@10', 'sleep', '', 10, 3, 0, now(), now(),
    now(), 'RUNNING', 'w' || g % 500, 's' || g % 500, 1, now(), now(), 1
 FROM generate_series(1, 9000) g`,
		`INSERT INTO held SELECT workload_id, session_id, worker_id, customer_id, lane_id, 1, true, false, now(), NULL
    FROM workloads WHERE status = 'RUNNING'`, "VACUUM ANALYZE")
	r := &recorder{Observer: app.host.Observer}
	host := app.host
	host.Observer = r
	c := newCoordinator(cfg, app.backends, host)
	_, err = c.Leadership.Tick(ctx)
	require.NoError(t, err)
	for round := range *rounds + 2 {
		n, err := c.Scheduler.Tick(ctx)
		require.NoError(t, err)
		require.Equal(t, 1000, n)
		if round == 1 { // two to warm up
			r.cycles = nil
		}
		cluster.Exec(t, "postgres", // puts the placed workloads back into the queue
			`INSERT INTO waiting SELECT w.lane_id, w.queue_at, w.workload_id, w.generation FROM workloads w
    JOIN held h USING (workload_id) WHERE NOT h.running`,
			`UPDATE workloads SET status = 'PENDING', worker_id = '', session_id = ''
    WHERE workload_id IN (SELECT workload_id FROM held WHERE NOT running)`,
			`DELETE FROM held WHERE NOT running`)
	}
	require.Len(t, r.cycles, *rounds)
	return r.cycles
}
