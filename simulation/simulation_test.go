package simulation

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	seeds  = flag.Uint64("seeds", 0, "how many seeds to run; 0: as many as -budget allows")
	seed   = flag.Uint64("seed", 0, "the one seed to run, with its trace printed")
	steps  = flag.Int("steps", 4000, "steps with faults in a run")
	budget = flag.Duration("budget", 45*time.Second, "how long to run when no number of seeds is given")
)

func run(t *testing.T, seed uint64, keep bool) *World {
	t.Helper()
	w, err := New(seed, DefaultProbabilities)
	require.NoError(t, err)
	w.Keep = keep
	if broken := w.Run(*steps); len(broken) > 0 {
		again, err := New(seed, DefaultProbabilities)
		require.NoError(t, err)
		again.Keep = true
		again.Run(*steps)
		tail := again.Trace[max(0, len(again.Trace)-60):]
		require.Fail(t, "an invariant is broken", "seed %d: %s\nreplay: make sim SEED=%d\n...\n%s", seed, strings.Join(broken, "\n"), seed, strings.Join(tail, "\n"))
	}
	return w
}

// TestInvariantsHoldWhateverGoesWrong runs seed after seed; see the package.
func TestInvariantsHoldWhateverGoesWrong(t *testing.T) {
	if *seed > 0 {
		w := run(t, *seed, true)
		fmt.Println(strings.Join(w.Trace, "\n"))
		fmt.Printf("seed %d: %d faults, %d workloads, trace %016x\n", *seed, w.Faults, len(w.acknowledged), w.Hash())
		return
	}
	begin := time.Now()
	n, faults, workloads, transitions := uint64(0), 0, 0, 0
	for ; *seeds > 0 && n < *seeds || *seeds == 0 && time.Since(begin) < *budget; n++ {
		w := run(t, n+1, false)
		faults, workloads = faults+w.Faults, workloads+len(w.acknowledged)
		for _, a := range w.check.audited {
			transitions += a
		}
	}
	t.Logf("%d runs in %s: %d faults, %d workloads, %d transitions, no invariant broken", n, time.Since(begin).Round(time.Millisecond), faults, workloads, transitions)
	require.Greater(t, faults/int(n), 30, "faults in a run")
}

func TestTheSameSeedGivesTheSameRun(t *testing.T) {
	for s := range uint64(5) {
		a, b := run(t, 1000+s, true), run(t, 1000+s, true)
		require.Equal(t, a.Trace, b.Trace, "seed %d", 1000+s)
		require.Equal(t, a.Hash(), b.Hash())
	}
}
