// Package dear has what tests need that cost much. `make test` runs a part of them, and prints how
// much it leaves out. With -whole they run whole, as in `make test-all`.
package dear

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

var whole = flag.Bool("whole", false, "run whole what `make test` runs in part")

// leftEnv names the file that gets a line for each test that ran in part, or not at all.
const leftEnv = "NIYANTA_TEST_LEFT"

// Whole reports whether dear tests run whole.
func Whole() bool { return *whole }

// Skip leaves the test out unless dear tests run whole.
func Skip(t *testing.T) {
	t.Helper()
	if !*whole {
		Left(t, "left out")
		t.Skip("it is dear, and runs with -whole")
	}
}

// Some returns each n-th of the cases, from the first on, or all if dear tests run whole.
func Some[C any](t *testing.T, n int, cases []C) []C {
	t.Helper()
	if *whole || n <= 1 {
		return cases
	}
	var some []C
	for i := 0; i < len(cases); i += n {
		some = append(some, cases[i])
	}
	Left(t, fmt.Sprintf("%d of %d cases", len(some), len(cases)))
	return some
}

// Left notes what the test leaves out, in the file of leftEnv.
func Left(t *testing.T, what string) {
	t.Helper()
	path := os.Getenv(leftEnv)
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	_, err = fmt.Fprintf(f, "%s: %s\n", t.Name(), what)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}
