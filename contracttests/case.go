package contracttests

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// T is the part of *testing.T that cases use. The test of the suites implements it, to record
// failures instead of failing.
type T interface {
	require.TestingT
	Helper()
	Cleanup(f func())
	Context() context.Context
}

// Case proves one clause of a port's contract. H is the harness of the port.
type Case[H any] struct {
	Name   string
	Clause string
	Run    func(t T, h H)
}

// Run runs every case of a suite, each on a fresh harness. No case is skipped. Run logs the number
// of cases, and appends it to the file that NIYANTA_TEST_CONTRACT_TABLE names. `make test` prints
// that file as the table of ports and adapters.
func Run[H any](t *testing.T, port, adapter string, cases []Case[H], open func(t *testing.T) H) {
	t.Helper()
	names := map[string]bool{}
	ran := 0
	for _, c := range cases {
		require.False(t, names[c.Name], "two cases are called %q", c.Name)
		names[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("%s does not keep this clause of %s:\n  %s", adapter, port, c.Clause)
				}
			})
			c.Run(t, open(t))
			ran++
		})
	}
	row := fmt.Sprintf("%-16s %-16s %3d of %3d cases", port, adapter, ran, len(cases))
	t.Log(row)
	if path := os.Getenv("NIYANTA_TEST_CONTRACT_TABLE"); path != "" {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		require.NoError(t, err)
		_, err = fmt.Fprintln(f, row)
		require.NoError(t, errors.Join(err, f.Close()))
	}
}

// race starts n goroutines at once and waits for all. It returns their results in order.
func race[R any](n int, f func(i int) R) []R {
	results := make([]R, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			<-start
			results[i] = f(i)
		})
	}
	close(start)
	wg.Wait()
	return results
}

// count returns how many results match.
func count[R any](results []R, match func(R) bool) int {
	n := 0
	for _, r := range results {
		if match(r) {
			n++
		}
	}
	return n
}
