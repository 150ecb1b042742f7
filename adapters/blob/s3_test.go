package blob_test

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func TestS3_WhenTheServerIsAway_IsUnavailableAndComesBack(t *testing.T) {
	server, location := startS3(t)
	s := open(t, location("a"))
	_, err := s.Put(t.Context(), "k", strings.NewReader("1"), "")
	require.NoError(t, err)
	server.Stop()
	_, put := s.Put(t.Context(), "k", strings.NewReader("2"), "")
	_, _, get := s.Get(t.Context(), "k")
	_, list := s.List(t.Context(), "", "", 1)
	for _, err := range []error{put, get, list, s.Delete(t.Context(), "k")} {
		assert.True(t, domain.IsCode(err, domain.CodeUnavailable), err)
	}
	require.NoError(t, server.Start())
	r, _, err := s.Get(t.Context(), "k")
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	assert.Equal(t, "1", string(b), "what was written survives the end of the server")
}

func TestS3_OfTwoPrefixes_HasTwoStorages(t *testing.T) {
	_, location := startS3(t)
	a, ab := open(t, location("a")), open(t, location("ab/c"))
	_, err := a.Put(t.Context(), "k", strings.NewReader("1"), "")
	require.NoError(t, err)
	_, err = ab.Put(t.Context(), "l", strings.NewReader("2"), "")
	require.NoError(t, err)
	for _, s := range []struct {
		is   []domain.Blob
		want string
	}{{list(t, a), "k"}, {list(t, ab), "l"}} {
		require.Len(t, s.is, 1)
		assert.Equal(t, s.want, s.is[0].Key)
	}
}

func TestS3_WithAWrongSecret_IsUnavailable(t *testing.T) {
	_, location := startS3(t)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	_, err := open(t, location("a")).Put(t.Context(), "k", strings.NewReader("1"), "")
	assert.True(t, domain.IsCode(err, domain.CodeUnavailable), err)
	assert.ErrorContains(t, err, "signature")
}

func list(t *testing.T, s ports.BlobStore) []domain.Blob {
	t.Helper()
	all, err := s.List(t.Context(), "", "", 10)
	require.NoError(t, err)
	return all
}
