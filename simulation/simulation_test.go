package simulation_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/simulation"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	seeds  = flag.Uint64("seeds", 0, "number of seeds to run; 0: as many as -budget allows")
	from   = flag.Uint64("from", 1, "first seed; with it, a long check can be done in parts")
	seed   = flag.Uint64("seed", 0, "run only this seed, and print its trace")
	steps  = flag.Int("steps", 4000, "steps with faults in a run")
	budget = flag.Duration("budget", 20*time.Second, "how long to run if -seeds is 0")
	mode   = flag.String("mode", "", "safety or liveness; by default safety for every tenth seed, liveness for the others")
)

// modeOf returns the mode of a seed's run. Most runs are liveness runs: they have the same faults
// as safety runs, and are checked to finish as well.
func modeOf(seed uint64) simulation.Mode {
	switch {
	case *mode != "":
		return simulation.Mode(*mode)
	case seed%10 == 0:
		return simulation.Safety
	}
	return simulation.Liveness
}

func simulate(seed uint64, keep bool) (w *simulation.World, broken []string, err error) {
	if w, err = simulation.New(seed, simulation.DefaultProbabilities, simulation.InMemory()); err != nil {
		return &simulation.World{}, nil, err
	}
	w.Keep = keep
	return w, w.Run(*steps, modeOf(seed)), nil
}

func run(t *testing.T, seed uint64, keep bool) *simulation.World {
	t.Helper()
	w, broken, err := simulate(seed, keep)
	if err != nil {
		t.Error(err) // not Fatal, because run is called in goroutines
		return w
	}
	if len(broken) > 0 {
		again, _, err := simulate(seed, true)
		if err != nil {
			t.Error(err)
		}
		tail := again.Trace[max(0, len(again.Trace)-60):]
		assert.Fail(t, "an invariant is broken", "seed %d: %s\nreplay: make sim SEED=%d\n...\n%s", seed,
			strings.Join(broken, "\n"), seed, strings.Join(tail, "\n"))
	}
	return w
}

// progressRuns is how many runs there are between two lines about the progress.
const progressRuns = 5_000

// TestWorld_WhateverGoesWrong_KeepsTheInvariants runs seed after seed. The package comment says
// what goes wrong in a run, and what is checked.
func TestWorld_WhateverGoesWrong_KeepsTheInvariants(t *testing.T) {
	if *seed > 0 {
		w := run(t, *seed, true)
		fmt.Println(strings.Join(w.Trace, "\n"))
		fmt.Printf("seed %d (%s): %s, trace %016x\n", *seed, modeOf(*seed), w.Figures(), w.Hash())
		return
	}
	// A run makes much garbage and keeps little. Collecting it less often makes a run a quarter
	// faster.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	begin := time.Now()
	var next atomic.Uint64
	var mu sync.Mutex
	var wg sync.WaitGroup
	n, total := 0, simulation.Figures{}
	for range runtime.GOMAXPROCS(0) { // a run uses one thread, so several run at once
		wg.Go(func() {
			for !t.Failed() {
				seed := *from - 1 + next.Add(1)
				if *seeds > 0 && seed >= *from+*seeds || *seeds == 0 && time.Since(begin) >= *budget {
					return
				}
				w := run(t, seed, false)
				mu.Lock()
				total.Add(w.Figures())
				if n++; n%progressRuns == 0 && !t.Failed() {
					t.Logf("%d runs from seed %d on, nothing broken", n, *from) // a long one may be cut short
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	summary := fmt.Sprintf("simulation: %d runs from seed %d in %s: %s, no invariant broken", n, *from,
		time.Since(begin).Round(time.Millisecond), total)
	t.Log(summary)
	if path := os.Getenv("NIYANTA_TEST_SIMULATION_SUMMARY"); path != "" {
		require.NoError(t, os.WriteFile(path, []byte(summary+"\n"), 0o600))
	}
	require.Greater(t, total.Faults/n, 30, "faults in a run")
}

func TestWorld_SameSeed_GivesTheSameRun(t *testing.T) {
	for s := range uint64(5) {
		a, b := run(t, 1000+s, true), run(t, 1000+s, true)
		require.Equal(t, a.Trace, b.Trace, "seed %d", 1000+s)
		require.Equal(t, a.Hash(), b.Hash())
	}
}

func TestJourney_WithoutFaults_MeetsEveryEvent(t *testing.T) {
	w, err := simulation.New(1, simulation.Probabilities{}, simulation.InMemory())
	require.NoError(t, err)
	w.Journey()
	w.Finish()
	w.Close()
	require.Empty(t, w.Broken())
	for _, r := range domain.Rules() {
		assert.Positive(t, w.Events[r.Event], "%s", r.Event)
	}
}
