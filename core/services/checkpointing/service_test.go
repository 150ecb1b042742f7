package checkpointing_test

import (
	"crypto/sha256"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/ports/mocks"
	"github.com/niyanta/niyanta/core/services/checkpointing"
)

func TestLoad_WhenACheckpointWasPruned_TakesTheOneBeforeAndCountsNoDamage(t *testing.T) {
	ctrl := gomock.NewController(t)
	store, observer := mocks.NewMockCheckpointStore(ctrl), mocks.NewMockObserver(ctrl)
	z, err := zstd.New()
	require.NoError(t, err)
	data := []byte("state")
	kept := []domain.Checkpoint{
		{WorkloadID: "wl_1", Sequence: 2},
		{WorkloadID: "wl_1", Sequence: 1, Size: len(data), Checksum: sha256.Sum256(data)},
	}
	store.EXPECT().List(gomock.Any(), domain.CustomerID("cust_a"), domain.WorkloadID("wl_1")).Return(kept, nil)
	store.EXPECT().Load(gomock.Any(), domain.WorkloadID("wl_1"), int64(2)).
		Return(domain.Checkpoint{}, nil, domain.NotFound("checkpoint"))
	store.EXPECT().Load(gomock.Any(), domain.WorkloadID("wl_1"), int64(1)).Return(kept[1], data, nil)
	// The observer expects no call: nothing was damaged.
	s := checkpointing.New(checkpointing.Deps{
		Checkpoints: store, Compressor: z, Observer: observer, Log: slog.New(slog.DiscardHandler),
	})
	got, err := s.Load(t.Context(), ports.SessionRef{}, run(), 2)
	require.NoError(t, err)
	assert.Equal(t, int64(1), got.Sequence)
	assert.Equal(t, data, got.Data)
}

// TestData_OfADamagedCheckpoint_IsAnError: a worker falls back to the checkpoint before, but who asks
// for one by its sequence gets no other.
func TestData_OfADamagedCheckpoint_IsAnError(t *testing.T) {
	ctrl := gomock.NewController(t)
	store, observer := mocks.NewMockCheckpointStore(ctrl), mocks.NewMockObserver(ctrl)
	z, err := zstd.New()
	require.NoError(t, err)
	s := checkpointing.New(checkpointing.Deps{
		Checkpoints: store, Compressor: z, Observer: observer, Log: slog.New(slog.DiscardHandler),
	})
	good := []byte("state")
	kept := []domain.Checkpoint{
		{WorkloadID: "wl_1", Sequence: 2, Size: len(good), Checksum: sha256.Sum256(good)},
		{WorkloadID: "wl_1", Sequence: 1, Size: len(good), Checksum: sha256.Sum256(good)},
	}
	store.EXPECT().List(gomock.Any(), domain.CustomerID("cust_a"), domain.WorkloadID("wl_1")).Return(kept, nil).AnyTimes()
	store.EXPECT().List(gomock.Any(), domain.CustomerID("cust_b"), domain.WorkloadID("wl_1")).Return(nil, nil)
	store.EXPECT().Load(gomock.Any(), domain.WorkloadID("wl_1"), int64(2)).Return(kept[0], []byte("stale"), nil).Times(2)
	store.EXPECT().Load(gomock.Any(), domain.WorkloadID("wl_1"), int64(1)).Return(kept[1], good, nil)
	observer.EXPECT().Count("checkpoint_damaged", 1).Times(2)

	c, err := s.Get(t.Context(), "cust_a", "wl_1", 2)
	require.NoError(t, err)
	assert.Equal(t, kept[0], c)
	_, err = s.Data(t.Context(), c)
	assert.Equal(t, domain.CodeInternal, domain.CodeOf(err))
	got, err := s.Load(t.Context(), ports.SessionRef{}, run(), 2)
	require.NoError(t, err)
	assert.Equal(t, int64(1), got.Sequence)

	for _, sequence := range []int64{-1, 0, 3} {
		_, err = s.Get(t.Context(), "cust_a", "wl_1", sequence)
		assert.Equal(t, domain.CodeNotFound, domain.CodeOf(err), sequence)
	}
	_, err = s.Get(t.Context(), "cust_b", "wl_1", 2)
	assert.Equal(t, domain.CodeNotFound, domain.CodeOf(err), "another customer's")
}

// TestLoad_WhenTheStoreFails_FallsBackToNothing keeps a fault of the store from costing progress: it
// is no damage.
func TestLoad_WhenTheStoreFails_FallsBackToNothing(t *testing.T) {
	ctrl := gomock.NewController(t)
	store := mocks.NewMockCheckpointStore(ctrl)
	s := checkpointing.New(checkpointing.Deps{Checkpoints: store, Log: slog.New(slog.DiscardHandler)})
	kept := []domain.Checkpoint{{WorkloadID: "wl_1", Sequence: 2}, {WorkloadID: "wl_1", Sequence: 1}}
	store.EXPECT().List(gomock.Any(), gomock.Any(), gomock.Any()).Return(kept, nil)
	store.EXPECT().Load(gomock.Any(), gomock.Any(), int64(2)).
		Return(domain.Checkpoint{}, nil, domain.NewError(domain.CodeInternal, "refused"))
	_, err := s.Load(t.Context(), ports.SessionRef{}, run(), 2)
	require.Equal(t, domain.CodeInternal, domain.CodeOf(err))
}

// TestSave_WhenTheStoredBytesCannotBeRead_AsksForItAgain: they may be others, which would be lost.
func TestSave_WhenTheStoredBytesCannotBeRead_AsksForItAgain(t *testing.T) {
	b := newBench(t)
	up := ports.CheckpointUpload{WorkloadID: "wl_1", Generation: 1, Sequence: 1, Data: []byte("x")}
	_, err := b.Save(t.Context(), b.ref, up)
	require.NoError(t, err)
	b.loading = domain.Unavailable(0, "away")
	_, err = b.Save(t.Context(), b.ref, up)
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err))
	b.loading = domain.NotFound("checkpoint")
	r, err := b.Save(t.Context(), b.ref, up)
	require.NoError(t, err)
	require.Equal(t, domain.OutcomeAlready, r.Outcome, "it was pruned since")
}
