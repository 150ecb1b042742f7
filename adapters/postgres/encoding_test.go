package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/batching"
)

// tooLarge is more than a column of type integer holds.
const tooLarge = 1 << 40

func TestStore_WhenAValueCannotBeEncoded_SaysInternalAtOnceAndStoresNothing(t *testing.T) {
	b := newBench(t)
	bad := b.submission()
	bad.Run.Limits.MemoryMB = tooLarge
	started := testfiles.StartStopwatch(t)
	_, err := b.sane.Workloads.Submit(t.Context(), []domain.Submission{b.submission(), bad})
	require.Equal(t, domain.CodeInternal, domain.CodeOf(err), "%v", err)
	assert.Less(t, started.Took(), 5*time.Second, "it is not tried again, nor asked for an outcome")
	_, err = b.sane.Workers.Register(t.Context(), domain.Registration{
		WorkerID: "big", SessionID: "s2", Capabilities: []string{"t"}, Slots: 1,
		Resources: domain.Offer{Amounts: domain.Amounts{MemoryMB: tooLarge}},
	}, lease)
	require.Contains(t, []domain.Code{domain.CodeInternal, domain.CodeInvalidInput}, domain.CodeOf(err), "%v", err)
	u, err := b.sane.Statistics.Usage(t.Context(), acme)
	require.NoError(t, err)
	assert.Zero(t, u)
}

func TestStore_WhenOneSubmissionCannotBeEncoded_TheOthersOfTheSharedCommitAreStored(t *testing.T) {
	b := newBench(t)
	bad := b.submission()
	bad.Run.Limits.MemoryMB = tooLarge
	entered, release := make(chan struct{}), make(chan struct{})
	first := true
	c := batching.NewCommitter(100, func(ctx context.Context, items []domain.Submission) ([]ports.SubmitResult, error) {
		if first {
			first = false
			close(entered)
			<-release
		}
		return b.sane.Workloads.Submit(ctx, items)
	})
	errs := make(chan error, 2)
	go func() { _, err := c.Do(t.Context(), b.submission()); errs <- err }()
	<-entered
	submissions := []domain.Submission{bad, b.submission(), b.submission()}
	outcomes := make([]chan error, len(submissions))
	for i, s := range submissions {
		outcomes[i] = make(chan error, 1)
		go func() { _, err := c.Do(t.Context(), s); outcomes[i] <- err }()
	}
	close(release)
	require.NoError(t, <-errs)
	require.Equal(t, domain.CodeInternal, domain.CodeOf(<-outcomes[0]))
	require.NoError(t, <-outcomes[1])
	require.NoError(t, <-outcomes[2])
}

func TestStore_WhenOneRowCannotBeDecoded_TheBatchIsRefusedAndTheOthersCanBeAppliedAlone(t *testing.T) {
	b := newBench(t)
	good, bad := b.submit(b.sane), b.submit(b.sane)
	b.exec("UPDATE workloads SET queue_at = 'infinity' WHERE workload_id = '" + string(bad.ID) + "'")
	apply := func(ws ...domain.Workload) ([]domain.Result, error) {
		batch := domain.Batch{Epoch: b.epoch}
		for _, w := range ws {
			batch.Transitions = append(batch.Transitions, b.event(w, domain.EventAssign))
		}
		return b.sane.Workloads.Apply(t.Context(), batch)
	}
	_, err := apply(good, bad)
	require.Equal(t, domain.CodeInternal, domain.CodeOf(err), "%v", err)
	_, err = apply(bad)
	require.Equal(t, domain.CodeInternal, domain.CodeOf(err), "%v", err)
	rs, err := apply(good)
	require.NoError(t, err)
	assert.Equal(t, domain.OutcomeApplied, rs[0].Outcome, "nothing of the refused batch was applied")
}
