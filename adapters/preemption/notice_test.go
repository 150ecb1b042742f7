package preemption_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/preemption"
)

func TestParse_OfWhatNamesNoPlace_SaysWhatToWrite(t *testing.T) {
	for _, setting := range []string{"", "file:", "file:relative", "http://", "https:x", "signal:KILL", "signal:", "yes"} {
		_, err := preemption.Parse(setting)
		require.ErrorContains(t, err, "must ", setting)
	}
}

func TestNotice_OfAFile_IsThereWhenTheFileIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notice")
	n, err := preemption.Parse("file:" + path)
	require.NoError(t, err)
	there, err := n.Present(t.Context())
	require.NoError(t, err)
	assert.False(t, there)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, n.Wait(ctx, func(error) {}), context.Canceled)
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, n.Wait(t.Context(), func(error) {}))
}

// service answers as the metadata services of the clouds do.
func service(t *testing.T, handle http.HandlerFunc) *preemption.Notice {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	n, err := preemption.Parse(s.URL + "/notice")
	require.NoError(t, err)
	return n
}

func TestNotice_OfGoogle_IsThereWhenItSaysTrue(t *testing.T) {
	var answer atomic.Value
	answer.Store("FALSE")
	n := service(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") != "Google" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = w.Write([]byte(answer.Load().(string) + "\n"))
	})
	there, err := n.Present(t.Context())
	require.NoError(t, err)
	assert.False(t, there)
	answer.Store("TRUE")
	there, err = n.Present(t.Context())
	require.NoError(t, err)
	assert.True(t, there)
}

func TestNotice_OfEC2_IsReadWithAToken(t *testing.T) {
	var announced atomic.Bool
	n := service(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPut && r.URL.Path == "/latest/api/token" &&
			r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") != "":
			_, _ = w.Write([]byte("token-1"))
		case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token-1":
			w.WriteHeader(http.StatusUnauthorized)
		case !announced.Load():
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = w.Write([]byte(`{"action":"terminate","time":"2026-01-01T00:02:00Z"}`))
		}
	})
	there, err := n.Present(t.Context())
	require.NoError(t, err)
	assert.False(t, there)
	announced.Store(true)
	require.NoError(t, n.Wait(t.Context(), func(error) {}))
}

func TestNotice_OfAServiceThatFails_IsNone(t *testing.T) {
	n := service(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	there, err := n.Present(t.Context())
	require.ErrorContains(t, err, "500")
	assert.False(t, there)
	ctx, cancel := context.WithCancel(t.Context())
	heard := 0
	require.ErrorIs(t, n.Wait(ctx, func(error) { heard++; cancel() }), context.Canceled)
	assert.Equal(t, 1, heard)
}
