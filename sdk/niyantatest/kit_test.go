package niyantatest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
	"github.com/niyanta/niyanta/sdk/niyantatest"
)

type in struct{ N int }

type state struct{ Done, Sum int }

var sum = niyanta.Define[in, state, int]("sum")

// careful continues from its state.
func careful(ctx context.Context, t *niyanta.Task[in, state]) (int, error) {
	s := t.State()
	for s.Done < t.Input().N {
		s.Done++
		s.Sum += s.Done
		t.Logf("%d", s.Done)
		if err := t.Checkpoint(ctx, s, niyanta.Progress{Percent: 100 * float64(s.Done) / float64(t.Input().N)}); err != nil {
			return 0, err
		}
	}
	return s.Sum, nil
}

// forgetful keeps a sum outside its state, which a crash loses.
func forgetful(ctx context.Context, t *niyanta.Task[in, state]) (int, error) {
	s, total := t.State(), 0
	for s.Done < t.Input().N {
		s.Done++
		total += s.Done
		if err := t.Checkpoint(ctx, s, niyanta.Progress{}); err != nil {
			return 0, err
		}
	}
	return total, nil
}

func TestACrashAfterAnyCheckpointCostsNothing(t *testing.T) {
	k := niyantatest.New(sum, careful)
	want, err := k.Run(t.Context(), in{N: 10})
	require.NoError(t, err)
	require.Equal(t, 55, want)
	require.Equal(t, 1, k.Runs())
	require.Len(t, k.Checkpoints(), 10)
	require.Len(t, k.Log(), 10)
	for n := 1; n <= 10; n++ {
		got, err := k.RunCrashingAfter(t.Context(), n, in{N: 10})
		require.NoError(t, err)
		assert.Equal(t, want, got, "crashed after every %d checkpoints", n)
		assert.Equal(t, 10/n+1, k.Runs())
	}
}

func TestTheKitFindsAHandlerThatForgets(t *testing.T) {
	k := niyantatest.New(sum, forgetful)
	whole, err := k.Run(t.Context(), in{N: 10})
	require.NoError(t, err)
	crashed, err := k.RunCrashingAfter(t.Context(), 3, in{N: 10})
	require.NoError(t, err)
	assert.NotEqual(t, whole, crashed)
}

func TestWhatACrashedRunReturnsIsLost(t *testing.T) {
	k := niyantatest.New(sum, func(ctx context.Context, t *niyanta.Task[in, state]) (int, error) {
		s := t.State()
		s.Done++
		_ = t.Checkpoint(ctx, s, niyanta.Progress{})
		if s.Done == 1 {
			return -1, nil // believes it has finished, but its process is gone
		}
		return s.Done, nil
	})
	got, err := k.RunCrashingAfter(t.Context(), 1, in{})
	require.Error(t, err, "it crashes after each checkpoint and never ends: %d", got)
	k.MaxRuns = 5
	_, err = k.RunCrashingAfter(t.Context(), 1, in{})
	require.ErrorContains(t, err, "5 runs")
}

func TestErrorsAreTheHandlers(t *testing.T) {
	boom := errors.New("boom")
	k := niyantatest.New(sum, func(context.Context, *niyanta.Task[in, state]) (int, error) { return 0, niyanta.Permanent(boom) })
	_, err := k.Run(t.Context(), in{})
	require.ErrorIs(t, err, boom)
	_, err = k.RunCrashingAfter(t.Context(), 0, in{})
	require.ErrorContains(t, err, "at least 1")
}

func ExampleKit() {
	k := niyantatest.New(sum, careful)
	out, err := k.RunCrashingAfter(context.Background(), 3, in{N: 10})
	fmt.Println(out, err, k.Runs(), "runs")
	// Output: 55 <nil> 4 runs
}
