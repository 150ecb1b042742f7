package blob_test

import (
	"crypto/sha256"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// TestS3_WhenItIsAskedToSlowDown_SendsTheValueAgain: small values go in one request, large ones in
// parts.
func TestS3_WhenItIsAskedToSlowDown_SendsTheValueAgain(t *testing.T) {
	k, location := startKMS(t)
	s := open(t, location("a", ""))
	for _, c := range []struct {
		name  string
		size  int64
		under domain.EncryptionKeyID
	}{{"empty", 0, ""}, {"small", 1000, ""}, {"with-a-key", 1000, secretKey}, {"parts", 9 << 20, ""}} {
		var refused atomic.Int32
		k.set(func(r *http.Request) *http.Response {
			if r.Method != http.MethodPut || !refused.CompareAndSwap(0, 1) {
				return nil
			}
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: io.NopCloser(strings.NewReader(
				"<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Reduce your request rate</Message></Error>"))}
		})
		want, err := s.Put(t.Context(), c.name, io.LimitReader(zeros{}, c.size), c.under)
		require.NoError(t, err, c.name)
		require.EqualValues(t, 1, refused.Load(), c.name)
		r, _, err := s.Get(t.Context(), c.name)
		require.NoError(t, err)
		b, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		assert.Equal(t, want, ports.BlobSum{Size: int64(len(b)), Checksum: sha256.Sum256(b)}, c.name)
	}
}
