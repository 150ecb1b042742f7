//go:build trace

package trace_test

import (
	"encoding/csv"
	"flag"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/simulation/trace"
)

var (
	folder = flag.String("folder", "", "folder with the files of cluster-trace-gpu-v2023")
	seeds  = flag.Uint64("seeds", 10, "number of seeds")
	table  = flag.String("csv", "", "the file to write the plot's data of the replay with departures to")
)

// jobs is how many jobs a replay with departures has.
const jobs = 30_000

func TestReplay_PublishedWay(t *testing.T) {
	require.NotEmpty(t, *folder, "name the folder: make trace TRACE=folder")
	files := os.DirFS(*folder)
	t.Logf("| trace | policy | GPUs allocated at 100 %% | at 130 %% | one experiment |")
	for _, name := range []string{"default", "gpuspec33", "multigpu50"} {
		tr, err := trace.Read(files, "openb_node_list_all_node.csv", "openb_pod_list_"+name+".csv")
		require.NoError(t, err)
		for _, p := range []struct {
			name   string
			policy trace.Policy
		}{
			{"random fit", trace.RandomFit}, {"best fit", trace.BestFit},
			{"fragmentation gradient descent", trace.Gradient}, {"Niyanta", trace.Planner},
		} {
			t.Run(name+"/"+p.name, func(t *testing.T) {
				var at100, at130 float64
				var took time.Duration
				for seed := range *seeds {
					arrivals := tr.Arrivals(seed, 1.3)
					start := time.Now()
					placed := p.policy(tr, arrivals, seed)
					took += time.Since(start)
					at100 += 100 * tr.Allocated(arrivals, placed, 1)
					at130 += 100 * tr.Allocated(arrivals, placed, 1.3)
				}
				n := float64(*seeds)
				t.Logf("| %s | %s | %.2f | %.2f | %.1f s |", name, p.name, at100/n, at130/n, took.Seconds()/n)
			})
		}
	}
}

// quantile returns the q-quantile of waits, in minutes.
func quantile(waits []time.Duration, q float64) float64 {
	slices.Sort(waits)
	return waits[int(q*float64(len(waits)-1))].Minutes()
}

// mean returns the mean of waits, in minutes.
func mean(waits []time.Duration) (sum float64) {
	for _, w := range waits {
		sum += w.Minutes() / float64(len(waits))
	}
	return sum
}

func TestReplay_WithDepartures(t *testing.T) {
	require.NotEmpty(t, *folder, "name the folder: make trace TRACE=folder")
	tr, err := trace.Read(os.DirFS(*folder), "openb_node_list_all_node.csv", "openb_pod_list_default.csv")
	require.NoError(t, err)
	points := [][]string{{"x", "series", "y"}}
	t.Logf("| policy | of | jobs | mean wait in min | p50 | p95 | one replay |")
	for _, p := range []struct {
		name string
		by   trace.Scheduler
	}{
		{"best fit, fifo", trace.BestFitQueue}, {"Niyanta, fifo", trace.PlannerQueue(domain.PolicyFIFO)},
		{"Niyanta, priority", trace.PlannerQueue(domain.PolicyPriority)},
	} {
		t.Run(p.name, func(t *testing.T) {
			of := map[string][]time.Duration{}
			var took time.Duration
			for seed := range *seeds {
				js := tr.Jobs(seed, jobs, 1.1)
				start := time.Now()
				waits := tr.Waits(js, p.by)
				took += time.Since(start)
				for i, w := range waits {
					for _, name := range []string{"all", string(js[i].Tier), string(js[i].Customer)} {
						of[name] = append(of[name], w)
					}
				}
				t.Logf("seed %d: mean wait %.2f min", seed, mean(waits))
			}
			for _, name := range slices.Sorted(maps.Keys(of)) {
				t.Logf("| %s | %s | %d | %.2f | %.2f | %.2f | %.1f s |", p.name, name, uint64(len(of[name]))/(*seeds),
					mean(of[name]), quantile(of[name], 0.5), quantile(of[name], 0.95), took.Seconds()/float64(*seeds))
				if name == "all" || domain.Tier(name).Valid() {
					points = append(points, []string{name, p.name, strconv.FormatFloat(mean(of[name]), 'g', 4, 64)})
				}
			}
		})
	}
	if *table != "" {
		f, err := os.Create(*table)
		require.NoError(t, err)
		require.NoError(t, csv.NewWriter(f).WriteAll(points))
		require.NoError(t, f.Close())
	}
}

// BenchmarkPlanner replays the trace in the published way, to 130 %.
func BenchmarkPlanner(b *testing.B) {
	tr, err := trace.Read(os.DirFS(*folder), "openb_node_list_all_node.csv", "openb_pod_list_default.csv")
	require.NoError(b, err)
	arrivals := tr.Arrivals(1, 1.3)
	placed := 0
	for b.Loop() {
		for _, ok := range trace.Planner(tr, arrivals, 1) {
			if ok {
				placed++
			}
		}
	}
	b.ReportMetric(float64(placed)/b.Elapsed().Seconds(), "placements/s")
}
