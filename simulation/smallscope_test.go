package simulation_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/simulation"
)

var depth = flag.Int("depth", 4, "how many actions the exhaustive check goes")

// path is a sequence of actions by their numbers.
type path []uint8

// follow goes the path in a new world and returns the state it leads to.
func follow(workloads int, actions []simulation.Action, p path) (state uint64, broken []string, err error) {
	s, err := simulation.NewSmall(workloads)
	if err != nil {
		return 0, nil, err
	}
	defer s.Close()
	for _, a := range p {
		if broken = s.Do(actions[a]); len(broken) > 0 {
			return 0, broken, nil
		}
	}
	return s.Fingerprint(), s.Judge(), nil
}

// Every ordering of everything that may happen, to a depth: two coordinators, either of which may
// be a stale leader; two workers that crash, register anew, and report whatever they like about any
// assignment they ever had; a client that cancels, pauses, resumes.
func TestSmall_EveryOrdering_KeepsTheInvariants(t *testing.T) {
	for _, workloads := range []int{1, 2} {
		t.Run(fmt.Sprint(workloads), func(t *testing.T) { exhaust(t, workloads, *depth+1-workloads) })
	}
}

func exhaust(t *testing.T, workloads, depth int) {
	t.Helper()
	actions := simulation.SmallActions(workloads)
	begin := time.Now()
	seen := map[uint64]bool{}
	frontier := []path{start(actions, "lead 0", "assign 0")}
	orderings := 0
	for d := 1; d <= depth; d++ {
		states := make([]uint64, len(frontier)*len(actions))
		var wg sync.WaitGroup
		cores := runtime.GOMAXPROCS(0)
		for core := range cores {
			wg.Go(func() {
				for i := core; i < len(states) && !t.Failed(); i += cores {
					p := step(frontier, len(actions), i)
					state, broken, err := follow(workloads, actions, p)
					if err != nil {
						t.Error(err)
					}
					if len(broken) > 0 {
						assert.Fail(t, "an invariant is broken", "after %d orderings: %s\n%s", orderings+i,
							strings.Join(broken, "\n"), named(actions, p))
					}
					states[i] = state
				}
			})
		}
		wg.Wait()
		if t.Failed() {
			return
		}
		var next []path
		for i, state := range states {
			if !seen[state] {
				seen[state] = true
				next = append(next, step(frontier, len(actions), i))
			}
		}
		orderings += len(states)
		frontier = next
	}
	summary := fmt.Sprintf("exhaustive: %d workloads, %d actions, depth %d: %d orderings into %d states in %s, no "+
		"invariant broken",
		workloads, len(actions), depth, orderings, len(seen), time.Since(begin).Round(time.Millisecond))
	t.Log(summary)
	if file := os.Getenv("NIYANTA_TEST_EXHAUSTIVE_SUMMARY"); file != "" {
		require.NoError(t, os.WriteFile(fmt.Sprint(file, workloads, ".txt"), []byte(summary+"\n"), 0o600))
	}
}

// step is the i-th way to go on from the frontier.
func step(frontier []path, actions, i int) path {
	from := frontier[i/actions]
	return append(from[:len(from):len(from)], uint8(i%actions)) //nolint:gosec // there are few
}

// start is where the orderings begin: what leads there can only happen in this order.
func start(actions []simulation.Action, names ...string) path {
	var p path
	for _, name := range names {
		i := slices.IndexFunc(actions, func(a simulation.Action) bool { return a.Name == name })
		p = append(p, uint8(i)) //nolint:gosec // there are few
	}
	return p
}

func named(actions []simulation.Action, p path) string {
	names := make([]string, len(p))
	for i, a := range p {
		names[i] = actions[a].Name
	}
	return strings.Join(names, " → ")
}
