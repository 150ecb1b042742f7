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

var depth = flag.Int("depth", 4, "number of actions in the longest ordering of the exhaustive check")

// path is a sequence of actions, each by its index.
type path []uint8

// follow does the actions of a path in a new world, and returns the fingerprint of the state that
// it leads to.
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
	return s.Fingerprint(), s.CheckContents(), nil
}

// TestSmall_EveryOrdering_KeepsTheInvariants tries every ordering of the actions up to a depth: of
// two coordinators, either of which may be a stale leader; of two workers that crash, register
// again and send any report about any assignment they ever had; and of a client that cancels,
// pauses and resumes.
func TestSmall_EveryOrdering_KeepsTheInvariants(t *testing.T) {
	for _, workloads := range []int{1, 2} {
		t.Run(fmt.Sprint(workloads), func(t *testing.T) { exhaust(t, workloads, *depth+1-workloads) })
	}
}

// exhaust visits all states that a number of actions can lead to, breadth first.
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

// step returns the i-th path that is one action longer than those of the frontier.
func step(frontier []path, actions, i int) path {
	from := frontier[i/actions]
	return append(from[:len(from):len(from)], uint8(i%actions)) //nolint:gosec // there are few
}

// start returns the path on which all orderings begin. Nothing can happen before these actions.
func start(actions []simulation.Action, names ...string) path {
	var p path
	for _, name := range names {
		i := slices.IndexFunc(actions, func(a simulation.Action) bool { return a.Name == name })
		p = append(p, uint8(i)) //nolint:gosec // there are few
	}
	return p
}

// named returns the names of a path's actions.
func named(actions []simulation.Action, p path) string {
	names := make([]string, len(p))
	for i, a := range p {
		names[i] = actions[a].Name
	}
	return strings.Join(names, " → ")
}
