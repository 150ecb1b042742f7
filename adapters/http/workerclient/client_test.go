package workerclient_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/niyanta/niyanta/adapters/http/workerclient"
	"github.com/niyanta/niyanta/contracttests/netfault"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plain is for connections without TLS.
func plain(*http.Transport) {}

// session is that of all requests here.
var session = ports.SessionRef{WorkerID: "w", SessionID: "s"}

// coordinator serves h behind a proxy, and returns a client that goes through it.
func coordinator(t *testing.T, h http.HandlerFunc) (*workerclient.Client, *netfault.Proxy) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	proxy := netfault.NewProxy(t, port)
	c, err := workerclient.New("http://127.0.0.1:"+strconv.Itoa(proxy.Port), "key", plain)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c, proxy
}

func answering(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"lease_ms": 20000, "outcome": "applied"}`))
}

func beat(ctx context.Context, plane ports.ControlPlane) error {
	_, err := plane.Heartbeat(ctx, ports.Heartbeat{SessionRef: session})
	return err
}

func TestTry_WhenTheConnectionIsSilent_TimesOutAndUsesAFreshOne(t *testing.T) {
	c, proxy := coordinator(t, answering)
	require.NoError(t, beat(t.Context(), c))
	require.Equal(t, 1, proxy.Silence())
	begun := time.Now()
	err := beat(t.Context(), c.Try(100*time.Millisecond, false))
	require.ErrorIs(t, err, ports.ErrUnanswered)
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err), "not the end of a context")
	assert.Less(t, time.Since(begun), 5*time.Second)
	require.NoError(t, beat(t.Context(), c.Try(5*time.Second, true)))
	require.NoError(t, beat(t.Context(), c), "the fresh one is used from then on")
}

func TestTry_WhenALargeCheckpointKeepsMoving_MayExceedTheTimeout(t *testing.T) {
	const timeout = time.Second
	c, _ := coordinator(t, func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 512<<10)
		for {
			n, err := io.ReadFull(r.Body, buf)
			if err != nil || n == 0 {
				break
			}
			time.Sleep(100 * time.Millisecond) // a slow network
		}
		answering(w, r)
	})
	begun := time.Now()
	ans, err := c.Try(timeout, false).SaveCheckpoint(t.Context(), session, ports.CheckpointUpload{
		WorkloadID: "wl_1", Generation: 1, Sequence: 1, Data: make([]byte, domain.MaxInlineCheckpoint),
	})
	require.NoError(t, err)
	assert.Equal(t, domain.OutcomeApplied, ans.Outcome)
	assert.Greater(t, time.Since(begun), timeout)
}

func TestTry_WhenALargeCheckpointStopsMoving_TimesOut(t *testing.T) {
	stop := make(chan struct{})
	c, _ := coordinator(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 64<<10))
		<-stop
	})
	t.Cleanup(func() { close(stop) })
	begun := time.Now()
	_, err := c.Try(200*time.Millisecond, false).SaveCheckpoint(t.Context(), session, ports.CheckpointUpload{
		WorkloadID: "wl_1", Generation: 1, Sequence: 1, Data: make([]byte, domain.MaxInlineCheckpoint),
	})
	require.ErrorIs(t, err, ports.ErrUnanswered)
	assert.Less(t, time.Since(begun), 5*time.Second)
}

func TestTry_WhenItsCallerGivesUp_ReturnsTheCallersError(t *testing.T) {
	c, _ := coordinator(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, beat(ctx, c), context.DeadlineExceeded)
}

func TestPoll_WhenItWaits_AddsTheWaitToItsTimeout(t *testing.T) {
	c, _ := coordinator(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(200 * time.Millisecond)
		answering(w, r)
	})
	_, err := c.Try(100*time.Millisecond, false).Poll(t.Context(), session, time.Second)
	require.NoError(t, err)
	require.ErrorIs(t, beat(t.Context(), c.Try(100*time.Millisecond, false)), ports.ErrUnanswered)
}

func TestNewAll_WhenAnAddressIsInvalid_Fails(t *testing.T) {
	for _, bad := range []string{"", "host:1", "http://a,,http://b", "http://a,ftp://b"} {
		_, err := workerclient.NewAll(bad, "key", plain)
		require.ErrorContains(t, err, "must look like http://host:port", bad)
	}
	all, err := workerclient.NewAll("http://a:1, https://b:2/", "key", plain)
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, "https://b:2", all[1].String())
}

func TestAddress_WhenItHasAPath_KeepsIt(t *testing.T) {
	var path atomic.Value
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path.Store(r.URL.Path)
		answering(w, r)
	}))
	t.Cleanup(s.Close)
	c, err := workerclient.New(s.URL+"/niyanta/", "key", plain)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	require.NoError(t, beat(t.Context(), c))
	assert.Equal(t, "/niyanta/v1/worker/heartbeat", path.Load())
}
