package checkpointing_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func TestStorage_WhenItFails_IsCounted(t *testing.T) {
	b := newBench(t)
	const event = "checkpoint_storage_failed"
	away := domain.Unavailable(0, "away")
	b.blobs.put = away
	_, _, err := b.save(t, 1, make([]byte, 500))
	require.ErrorIs(t, err, away)
	require.Equal(t, 1, b.counts[event], "put")
	b.blobs.put = nil
	b.saved(t, 1)
	require.NoError(t, b.Sweep(t.Context()))
	require.Equal(t, 1, b.counts[event])

	b.blobs.get = away
	_, _, err = b.load(t)
	require.ErrorIs(t, err, away)
	require.Equal(t, 2, b.counts[event], "get")
	b.blobs.get, b.blobs.read = nil, io.ErrUnexpectedEOF
	_, _, err = b.load(t)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, 3, b.counts[event], "the connection broke")
	b.blobs.read = io.EOF
	_, _, err = b.load(t)
	require.ErrorContains(t, err, "ends too early")
	require.Equal(t, 4, b.counts[event], "it was cut off")
	b.blobs.read = nil

	for n := range 11 {
		b.saved(t, int64(n+2))
	}
	b.blobs.deleting = away
	require.ErrorIs(t, b.Sweep(t.Context()), away)
	require.Equal(t, 6, b.counts[event], "two deletions")
	require.Zero(t, b.counts["checkpoint_damaged"])
}

// TestStorage_WhenTheCallerIsAtFaultOrGone_IsNotCounted: whoever has an upload cut off raises no alert.
func TestStorage_WhenTheCallerIsAtFaultOrGone_IsNotCounted(t *testing.T) {
	b := newBench(t)
	cut := &ports.Body{Size: 500, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(broken{errors.New("the connection was cut")}), nil
	}}
	_, err := b.Save(t.Context(), b.ref, ports.CheckpointUpload{WorkloadID: "wl_1", Generation: 1, Sequence: 1, Body: cut})
	require.Equal(t, domain.CodeInvalidInput, domain.CodeOf(err))
	b.saved(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	d, err := b.Load(ctx, b.ref, run(), 1)
	require.NoError(t, err)
	cancel()
	_, err = io.ReadAll(d.Body)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, d.Body.Close())
	require.NoError(t, b.blobs.Delete(t.Context(), b.blobs.keys[1]))
	_, _, err = b.load(t)
	require.Equal(t, domain.CodeNotFound, domain.CodeOf(err), "what is missing is damaged")
	require.Zero(t, b.counts["checkpoint_storage_failed"])
	require.Equal(t, 1, b.counts["checkpoint_damaged"])
}
