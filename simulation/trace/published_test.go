//go:build trace

package trace_test

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/simulation/trace"
)

var (
	folder = flag.String("folder", "", "folder with the files of cluster-trace-gpu-v2023")
	seeds  = flag.Uint64("seeds", 10, "number of seeds")
)

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
