package batching_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/batching"
)

func double(_ context.Context, items []int) ([]int, error) {
	out := make([]int, len(items))
	for i, v := range items {
		out[i] = 2 * v
	}
	return out, nil
}

func TestCommitter_ConcurrentCallers_GetTheirOwnResults(t *testing.T) {
	var commits atomic.Int32
	c := batching.NewCommitter(100, func(ctx context.Context, items []int) ([]int, error) {
		commits.Add(1)
		return double(ctx, items)
	})
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			got, err := c.Do(t.Context(), i, i+1)
			if err != nil {
				t.Error(err)
			}
			assert.Equal(t, []int{2 * i, 2*i + 2}, got)
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, commits.Load(), int32(500))
}

func TestCommitter_WhileABatchCommits_GathersTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var sizes []int
		c := batching.NewCommitter(100, func(ctx context.Context, items []int) ([]int, error) {
			sizes = append(sizes, len(items))
			if len(sizes) == 1 {
				<-release
			}
			return double(ctx, items)
		})
		var wg sync.WaitGroup
		for i := range 51 {
			wg.Go(func() { _, _ = c.Do(t.Context(), i) })
			synctest.Wait()
		}
		close(release)
		wg.Wait()
		assert.Equal(t, []int{1, 50}, sizes, "those who waited share a commit")
	})
}

func TestCommitter_ManyItems_CommitsBoundedBatches(t *testing.T) {
	release := make(chan struct{})
	first := true
	var most int
	c := batching.NewCommitter(10, func(ctx context.Context, items []int) ([]int, error) {
		if first {
			first = false
			<-release
		}
		most = max(most, len(items))
		return double(ctx, items)
	})
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() { _, _ = c.Do(t.Context(), 1, 2, 3) })
	}
	close(release)
	wg.Wait()
	assert.LessOrEqual(t, most, 10)
	big, err := c.Do(t.Context(), make([]int, 50)...)
	require.NoError(t, err)
	assert.Len(t, big, 50, "one caller's items are never split")
}

func TestCommitter_WhenACommitFails_FailsTheCallersOfItsBatchOnly(t *testing.T) {
	boom := errors.New("boom")
	fail := true
	c := batching.NewCommitter(10, func(ctx context.Context, items []int) ([]int, error) {
		if fail {
			return nil, boom
		}
		return double(ctx, items)
	})
	_, err := c.Do(t.Context(), 1)
	require.ErrorIs(t, err, boom)
	fail = false
	got, err := c.Do(t.Context(), 1)
	require.NoError(t, err)
	assert.Equal(t, []int{2}, got)
}

func TestCommitter_WhenACallerGivesUp_ServesTheOthers(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c := batching.NewCommitter(1, func(ctx context.Context, items []int) ([]int, error) {
		once.Do(func() { close(entered); <-release })
		return double(ctx, items)
	})
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = c.Do(t.Context(), 0) })
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	for range 20 {
		wg.Go(func() {
			// Who was given the order to commit in the same moment carries it out.
			if _, err := c.Do(ctx, 1); err != nil {
				assert.ErrorIs(t, err, context.Canceled)
			}
		})
	}
	last := make(chan error, 1)
	wg.Go(func() { _, err := c.Do(t.Context(), 2); last <- err })
	cancel()
	close(release)
	require.NoError(t, <-last)
	wg.Wait()
}

func TestCommitter_WhenItsExecutorIsCancelled_Commits(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := batching.NewCommitter(10, func(ctx context.Context, items []int) ([]int, error) {
		cancel()
		return items, ctx.Err()
	})
	_, err := c.Do(ctx, 1)
	require.NoError(t, err, "it acts for others too")
	_, err = c.Do(ctx, 1)
	require.ErrorIs(t, err, context.Canceled)
}

func TestCommitter_WhenOneCallersItemsFail_CommitsTheOthers(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c := batching.NewCommitter(100, func(ctx context.Context, items []int) ([]int, error) {
		once.Do(func() { close(entered); <-release })
		if slices.Contains(items, 13) {
			return nil, domain.NewError(domain.CodeInternal, "cannot commit 13")
		}
		return double(ctx, items)
	})
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = c.Do(t.Context(), 0) })
	<-entered
	errs := make([]error, 20)
	for i := range errs {
		wg.Go(func() { _, errs[i] = c.Do(t.Context(), i) })
	}
	time.AfterFunc(20*time.Millisecond, func() { close(release) }) // the others gather meanwhile
	wg.Wait()
	for i, err := range errs {
		assert.Equal(t, i == 13, err != nil, "caller %d: %v", i, err)
	}
}

func TestCommitter_WhenACommitPanics_FailsItsCallerAndGoesOn(t *testing.T) {
	c := batching.NewCommitter(100, func(ctx context.Context, items []int) ([]int, error) {
		if slices.Contains(items, 13) {
			panic("unlucky")
		}
		return double(ctx, items)
	})
	_, err := c.Do(t.Context(), 13)
	require.Equal(t, domain.CodeInternal, domain.CodeOf(err))
	require.ErrorContains(t, err, "unlucky")
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got, err := c.Do(soon, 2)
	require.NoError(t, err, "the committer is not busy for ever")
	assert.Equal(t, []int{4}, got)
}

func TestCommitter_WhenAPanicIsAWayOut_PassesItAndGoesOn(t *testing.T) {
	type gone struct{}
	leave := true
	c := batching.NewCommitter(100, func(ctx context.Context, items []int) ([]int, error) {
		if leave {
			panic(gone{})
		}
		return double(ctx, items)
	})
	require.PanicsWithValue(t, gone{}, func() { _, _ = c.Do(t.Context(), 1) })
	leave = false
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := c.Do(soon, 2)
	require.NoError(t, err)
}

func TestCommitter_WhenResultsAreMissing_FailsInsteadOfMisattributing(t *testing.T) {
	c := batching.NewCommitter(100, func(_ context.Context, items []int) ([]int, error) { return items[1:], nil })
	_, err := c.Do(t.Context(), 1, 2)
	require.Equal(t, domain.CodeInternal, domain.CodeOf(err))
}

func TestCommitter_WhenItemsWeigh_BoundsWhatABatchWeighs(t *testing.T) {
	release := make(chan struct{})
	first := true
	most := 0
	c := batching.NewCommitter(1000, func(ctx context.Context, items []int) ([]int, error) {
		if first {
			first = false
			<-release
		}
		sum := 0
		for _, i := range items {
			sum += i
		}
		most = max(most, sum)
		return double(ctx, items)
	}).Weigh(100, func(i *int) int { return *i })
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			got, _ := c.Do(t.Context(), 40)
			assert.Equal(t, []int{80}, got)
		})
	}
	close(release)
	wg.Wait()
	assert.LessOrEqual(t, most, 100)
	_, err := c.Do(t.Context(), 500)
	require.NoError(t, err, "what weighs more than a batch may goes alone")
}
