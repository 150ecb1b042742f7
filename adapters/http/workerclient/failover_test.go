package workerclient_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/http/workerclient"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func coordinator(t *testing.T, asked *atomic.Int32) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Method != http.MethodPost || r.URL.Path != "/v1/worker/heartbeat" || r.ContentLength <= 0 {
			t.Errorf("%s %s with %d bytes", r.Method, r.URL.Path, r.ContentLength)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"lease_ms": 20000}`))
	}))
	t.Cleanup(s.Close)
	return s
}

func TestAWorkerGoesOnWithTheCoordinatorThatAnswers(t *testing.T) {
	var first, second atomic.Int32
	a, b := coordinator(t, &first), coordinator(t, &second)
	c, err := workerclient.New(a.URL+", "+b.URL+"/", "key")
	require.NoError(t, err)
	t.Cleanup(c.Close)
	beat := func() error {
		_, err := c.Heartbeat(t.Context(), ports.Heartbeat{SessionRef: ports.SessionRef{WorkerID: "w", SessionID: "s"}})
		return err
	}
	require.NoError(t, beat())
	require.NoError(t, beat())
	assert.Equal(t, int32(2), first.Load(), "with one of them as long as it answers")
	a.Close()
	require.NoError(t, beat())
	require.NoError(t, beat())
	assert.Equal(t, int32(2), second.Load())
	b.Close()
	assert.True(t, domain.IsCode(beat(), domain.CodeUnavailable), "until none does")
}

func TestEveryAddressMustBeOne(t *testing.T) {
	for _, bad := range []string{"", "host:1", "http://a,,http://b", "http://a,ftp://b"} {
		_, err := workerclient.New(bad, "key")
		assert.ErrorContains(t, err, "must look like http://host:port", bad)
	}
}
