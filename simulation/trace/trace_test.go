package trace_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/simulation/trace"
)

// small is a trace of 40 nodes whose tasks mix shares, whole GPUs and work without any.
func small(t *testing.T) *trace.Trace {
	var nodes, tasks strings.Builder
	nodes.WriteString("sn,cpu_milli,memory_mib,gpu,model\n")
	for i := range 40 {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&nodes, "n%d,64000,262144,0,\n", i)
		case 1:
			fmt.Fprintf(&nodes, "n%d,96000,393216,2,T4\n", i)
		default:
			fmt.Fprintf(&nodes, "n%d,96000,393216,8,G2\n", i)
		}
	}
	tasks.WriteString("name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,deletion_time,scheduled_time\n")
	kinds := []string{
		"12000,16384,1,1000,", "8000,16384,1,470,", "3200,8192,1,810,", "32000,65536,0,0,", "12000,16384,1,1000,G2",
		"4000,8192,1,320,", "3200,8192,1,810,", "11000,16384,1,1000,", "64000,131072,8,1000,", "2000,4096,1,160,T4|G2",
	}
	for i := range 240 {
		qos, lasts := []string{"LS", "BE", "Burstable"}[i%3], 10*(1+i*i%60)
		fmt.Fprintf(&tasks, "p%d,%s,%s,%d,%d\n", i, kinds[i%len(kinds)], qos, 1000+lasts, 1000)
	}
	tr, err := trace.Read(fstest.MapFS{
		"nodes": {Data: []byte(nodes.String())}, "tasks": {Data: []byte(tasks.String())},
	}, "nodes", "tasks")
	require.NoError(t, err)
	return tr
}

func TestReplay_SmallTrace_FillsMoreThanBestFit(t *testing.T) {
	tr := small(t)
	require.Len(t, tr.Nodes, 40)
	require.Len(t, tr.Classes, 9)
	require.Equal(t, 180*domain.One, tr.GPUs)
	mean := func(p trace.Policy) (sum float64) {
		for seed := range uint64(10) {
			arrivals := tr.Arrivals(seed, 1.3)
			placed := p(tr, arrivals, seed)
			require.Equal(t, placed, p(tr, arrivals, seed), "a replay can be repeated")
			got := tr.Allocated(arrivals, placed, 1.3)
			require.LessOrEqual(t, got, 1.0)
			require.LessOrEqual(t, tr.Allocated(arrivals, placed, 1), got)
			sum += got / 10
		}
		return sum
	}
	random, best, gradient, ours := mean(trace.RandomFit), mean(trace.BestFit), mean(trace.Gradient), mean(trace.Planner)
	t.Logf("random %.4f, best fit %.4f, gradient %.4f, ours %.4f", random, best, gradient, ours)
	assert.Greater(t, ours, best)
	assert.Greater(t, ours, random)
	assert.Greater(t, gradient, random)
}

// Best fit lets small jobs pass large ones without end. The planner reserves for the large ones, and
// waits no longer on the whole.
func TestWaits_SmallTrace_OfLargeJobsAreShorterThanByBestFit(t *testing.T) {
	tr := small(t)
	require.Len(t, tr.Runs, 240)
	mean := func(by trace.Scheduler) (all, large time.Duration) {
		for seed := range uint64(5) {
			jobs := tr.Jobs(seed, 1500, 1.1)
			waits := tr.Waits(jobs, by)
			require.Equal(t, waits, tr.Waits(jobs, by), "a replay can be repeated")
			n := 0
			for i, w := range waits {
				require.GreaterOrEqual(t, w, time.Duration(0), "job %d", i)
				all += w / time.Duration(5*len(jobs))
				if tr.Classes[jobs[i].Class].GPUs == 8*domain.One {
					large, n = large+w, n+1
				}
			}
			require.Positive(t, n)
		}
		return all, large
	}
	best, bestLarge := mean(trace.BestFitQueue)
	fifo, fifoLarge := mean(trace.PlannerQueue(domain.PolicyFIFO))
	t.Logf("best fit %s, of large jobs %s in all; planner %s, %s", best, bestLarge, fifo, fifoLarge)
	assert.Positive(t, best, "jobs have to wait")
	assert.Less(t, fifoLarge, bestLarge*95/100)
	assert.Less(t, fifo, best*11/10)
}

func TestJobs_Share_IsAskedForInTheirTime(t *testing.T) {
	tr := small(t)
	jobs := tr.Jobs(1, 3000, 1.1)
	assert.Equal(t, jobs, tr.Jobs(1, 3000, 1.1))
	span := jobs[len(jobs)-1].Arrives
	asked, tiers := 0.0, map[domain.Tier]int{}
	for i := range jobs {
		asked += tr.Classes[jobs[i].Class].GPUs.Float() * min(jobs[i].Lasts, span-jobs[i].Arrives).Seconds()
		tiers[jobs[i].Tier]++
	}
	assert.InDelta(t, 1.1, asked/(tr.GPUs.Float()*span.Seconds()), 0.01)
	assert.Len(t, tiers, 3)
}

func TestArrivals_Seed_ShufflesAllTasksAndDrawsAgain(t *testing.T) {
	tr := small(t)
	a, b := tr.Arrivals(1, 1.3), tr.Arrivals(2, 1.3)
	assert.NotEqual(t, a, b)
	assert.Equal(t, a, tr.Arrivals(1, 1.3))
	assert.Equal(t, a[:100], tr.Arrivals(1, 2)[:100], "more arrivals begin with the same ones")
}

func TestRead_DamagedFile_NamesTheLine(t *testing.T) {
	for _, damaged := range []string{"cpu_milli,memory_mib,gpu,model\n1,2,x,\n", "cpu_milli\n1,2\n", "cpu_milli\n1\n"} {
		_, err := trace.Read(fstest.MapFS{"nodes": {Data: []byte(damaged)}}, "nodes", "tasks")
		require.ErrorContains(t, err, "nodes, line")
	}
}
