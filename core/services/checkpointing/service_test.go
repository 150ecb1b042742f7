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
	"github.com/niyanta/niyanta/core/ports/mocks"
	"github.com/niyanta/niyanta/core/services/checkpointing"
)

func TestLoad_WhenACheckpointWasPruned_TakesTheOneBeforeAndCountsNoDamage(t *testing.T) {
	ctrl := gomock.NewController(t)
	store, observer := mocks.NewMockCheckpointStore(ctrl), mocks.NewMockObserver(ctrl)
	z, err := zstd.New()
	require.NoError(t, err)
	data := []byte("state")
	kept := []domain.Checkpoint{{Sequence: 2}, {Sequence: 1, Size: len(data), Checksum: sha256.Sum256(data)}}
	store.EXPECT().List(gomock.Any(), domain.CustomerID("cust_a"), domain.WorkloadID("wl_1")).Return(kept, nil)
	store.EXPECT().Load(gomock.Any(), domain.WorkloadID("wl_1"), int64(2)).
		Return(domain.Checkpoint{}, nil, domain.NotFound("checkpoint"))
	store.EXPECT().Load(gomock.Any(), domain.WorkloadID("wl_1"), int64(1)).Return(kept[1], data, nil)
	// The observer expects no call: nothing was damaged.
	s := checkpointing.New(checkpointing.Deps{
		Checkpoints: store, Compressor: z, Observer: observer, Log: slog.New(slog.DiscardHandler),
	})
	got, err := s.Load(t.Context(), "cust_a", "wl_1", 2)
	require.NoError(t, err)
	assert.Equal(t, int64(1), got.Sequence)
	assert.Equal(t, data, got.Data)
}
