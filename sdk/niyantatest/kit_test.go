package niyantatest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

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

func TestKit_WhenItCrashesAfterAnyCheckpoint_GivesTheSameResult(t *testing.T) {
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

func TestKit_WithAHandlerThatForgets_ShowsIt(t *testing.T) {
	k := niyantatest.New(sum, forgetful)
	whole, err := k.Run(t.Context(), in{N: 10})
	require.NoError(t, err)
	crashed, err := k.RunCrashingAfter(t.Context(), 3, in{N: 10})
	require.NoError(t, err)
	assert.NotEqual(t, whole, crashed)
}

func TestKit_WhenACrashedRunReturns_LosesItsResult(t *testing.T) {
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

func TestKit_WhenTheHandlerFails_ReturnsItsError(t *testing.T) {
	boom := errors.New("boom")
	k := niyantatest.New(sum, func(context.Context, *niyanta.Task[in, state]) (int, error) {
		return 0, niyanta.Permanent(boom)
	})
	_, err := k.Run(t.Context(), in{})
	require.ErrorIs(t, err, boom)
	_, err = k.RunCrashingAfter(t.Context(), 0, in{})
	require.ErrorContains(t, err, "at least 1")
}

func TestKit_WhenRunsAreStopped_OthersContinue(t *testing.T) {
	k := niyantatest.New(sum, careful)
	for _, cause := range []error{niyanta.ErrPaused, niyanta.ErrDraining, niyanta.ErrPreempted, niyanta.ErrLeaseLost} {
		var seen []error
		saves := niyantatest.New(sum, func(ctx context.Context, task *niyanta.Task[in, state]) (int, error) {
			s := task.State()
			for s.Done < task.Input().N {
				s.Done++
				s.Sum += s.Done
				if err := task.Checkpoint(ctx, s, niyanta.Progress{}); err != nil {
					return 0, err
				}
				if ctx.Err() != nil {
					s.Done++ // one more, before it stops
					s.Sum += s.Done
					seen = append(seen, task.Checkpoint(ctx, s, niyanta.Progress{}))
					return 0, context.Cause(ctx)
				}
			}
			return s.Sum, nil
		})
		got, err := saves.RunStoppingAfter(t.Context(), 3, cause, in{N: 10})
		require.NoError(t, err, "stopped by %v", cause)
		assert.Equal(t, 55, got, cause)
		require.NotEmpty(t, seen)
		for _, err := range seen {
			if errors.Is(cause, niyanta.ErrLeaseLost) {
				require.ErrorIs(t, err, cause, "nothing is saved any more")
			} else {
				require.NoError(t, err, "it may save where it stops")
			}
		}
	}
	_, err := k.RunStoppingAfter(t.Context(), 1, niyanta.ErrCancelled, in{})
	require.ErrorContains(t, err, "no run continues")
	_, err = k.RunStoppingAfter(t.Context(), 0, niyanta.ErrPaused, in{})
	require.ErrorContains(t, err, "at least 1")
}

func TestKit_WhenAHandlerOnlyAsksCheckpoint_StopsIt(t *testing.T) {
	k := niyantatest.New(sum, func(ctx context.Context, task *niyanta.Task[in, state]) (int, error) {
		s := task.State()
		for s.Done < task.Input().N {
			s = state{s.Done + 1, s.Sum + s.Done + 1}
			if err := task.Checkpoint(ctx, s, niyanta.Progress{}); err != nil {
				return 0, err
			}
		}
		return s.Sum, nil
	})
	out, err := k.RunStoppingAfter(t.Context(), 3, niyanta.ErrPaused, in{N: 10})
	require.NoError(t, err)
	assert.Equal(t, 55, out)
	assert.Equal(t, 3, k.Runs(), "each run saves three times, once more after its stop, and ends")
}

func TestKit_WhenRunsFail_TriesAgainAsOftenAsItMay(t *testing.T) {
	k := niyantatest.New(sum, func(_ context.Context, task *niyanta.Task[in, state]) (int, error) {
		if task.Attempt() == 1 {
			return 0, niyanta.RetryAfter(errors.New("busy"), time.Minute)
		}
		if task.Attempt() < task.Input().N {
			return 0, errors.New("oh")
		}
		return task.Attempt(), nil
	})
	_, err := k.Run(t.Context(), in{N: 2})
	require.ErrorContains(t, err, "oh")
	k.MaxRetries = 2
	got, err := k.Run(t.Context(), in{N: 2})
	require.NoError(t, err)
	assert.Equal(t, 2, got)
	assert.Equal(t, 3, k.Runs())
	assert.Equal(t, []time.Duration{-1, time.Minute}, k.RetryAfter())
	_, err = k.Run(t.Context(), in{N: 3})
	require.ErrorContains(t, err, "oh")
	permanent := niyantatest.New(sum, func(context.Context, *niyanta.Task[in, state]) (int, error) {
		return 0, niyanta.Permanent(errors.New("never"))
	})
	permanent.MaxRetries = 5
	_, err = permanent.Run(t.Context(), in{})
	require.ErrorContains(t, err, "never")
	assert.Equal(t, 1, permanent.Runs())
}

func TestKit_WithATimeoutAndLabels_ShowsThemToTheHandler(t *testing.T) {
	k := niyantatest.New(sum, func(ctx context.Context, task *niyanta.Task[in, state]) (int, error) {
		assert.Equal(t, map[string]string{"region": "eu"}, task.Labels())
		<-ctx.Done()
		return 0, context.Cause(ctx)
	})
	k.Timeout, k.Labels = time.Millisecond, map[string]string{"region": "eu"}
	_, err := k.Run(t.Context(), in{})
	require.ErrorIs(t, err, niyanta.ErrTimeout)
}

func ExampleKit_RunStoppingAfter() {
	k := niyantatest.New(sum, func(ctx context.Context, t *niyanta.Task[in, state]) (int, error) {
		s := t.State()
		for ; s.Done < t.Input().N; s.Sum += s.Done {
			if ctx.Err() != nil {
				return 0, context.Cause(ctx)
			}
			s.Done++
			if err := t.Checkpoint(ctx, state{s.Done, s.Sum + s.Done}, niyanta.Progress{}); err != nil {
				return 0, err
			}
		}
		return s.Sum, nil
	})
	out, err := k.RunStoppingAfter(context.Background(), 3, niyanta.ErrPaused, in{N: 10})
	fmt.Println(out, err, k.Runs(), "runs")
	// Output: 55 <nil> 4 runs
}

func ExampleKit() {
	k := niyantatest.New(sum, careful)
	out, err := k.RunCrashingAfter(context.Background(), 3, in{N: 10})
	fmt.Println(out, err, k.Runs(), "runs")
	// Output: 55 <nil> 4 runs
}
