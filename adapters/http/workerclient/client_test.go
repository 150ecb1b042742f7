package workerclient_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/niyanta/niyanta/adapters/http/workerclient"
	"github.com/niyanta/niyanta/contracttests/netfault"
	"github.com/niyanta/niyanta/contracttests/testfiles"
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
	_, _ = w.Write([]byte(`{"lease_ms": 20000, "outcome": "applied", "commands": []}`))
}

func beat(ctx context.Context, plane ports.ControlPlane) error {
	_, err := plane.Heartbeat(ctx, ports.Heartbeat{SessionRef: session})
	return err
}

func TestTry_WhenTheConnectionIsSilent_TimesOutAndUsesAFreshOne(t *testing.T) {
	c, proxy := coordinator(t, answering)
	require.NoError(t, beat(t.Context(), c))
	require.Equal(t, 1, proxy.Silence())
	begun := testfiles.StartStopwatch(t)
	err := beat(t.Context(), c.Try(100*time.Millisecond, false))
	require.ErrorIs(t, err, ports.ErrUnanswered)
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err), "not the end of a context")
	assert.Less(t, begun.Took(), 5*time.Second)
	require.NoError(t, beat(t.Context(), c.Try(30*time.Second, true)))
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
	for {
		begun := testfiles.StartStopwatch(t)
		ans, err := c.Try(timeout, false).SaveCheckpoint(t.Context(), session, ports.CheckpointUpload{
			WorkloadID: "wl_1", Generation: 1, Sequence: 1, Data: make([]byte, domain.MaxInlineCheckpoint),
		})
		if err != nil && begun.Stalled() > timeout/2 {
			continue // nothing can move while the machine stands still
		}
		require.NoError(t, err)
		assert.Equal(t, domain.OutcomeApplied, ans.Outcome)
		assert.Greater(t, begun.Took(), timeout)
		return
	}
}

func TestTry_WhenALargeCheckpointStopsMoving_TimesOut(t *testing.T) {
	stop := make(chan struct{})
	c, _ := coordinator(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadFull(r.Body, make([]byte, 64<<10))
		<-stop
	})
	t.Cleanup(func() { close(stop) })
	begun := testfiles.StartStopwatch(t)
	_, err := c.Try(200*time.Millisecond, false).SaveCheckpoint(t.Context(), session, ports.CheckpointUpload{
		WorkloadID: "wl_1", Generation: 1, Sequence: 1, Data: make([]byte, domain.MaxInlineCheckpoint),
	})
	require.ErrorIs(t, err, ports.ErrUnanswered)
	assert.Less(t, begun.Took(), 5*time.Second)
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
	released := make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	t.Cleanup(release)
	c, _ := coordinator(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/heartbeat") {
			<-released
		} else {
			time.Sleep(200 * time.Millisecond)
		}
		answering(w, r)
	})
	_, err := c.Try(100*time.Millisecond, false).Poll(t.Context(), session, time.Minute)
	require.NoError(t, err)
	require.ErrorIs(t, beat(t.Context(), c.Try(100*time.Millisecond, false)), ports.ErrUnanswered)
	release()
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

// Such a key can't be sent. A worker that tried would do so for ever.
func TestNew_WithAKeyThatIsNone_Fails(t *testing.T) {
	for _, bad := range []string{"key\n", " key", "k\x00ey", "clé"} {
		_, err := workerclient.New("http://a", bad, plain)
		require.ErrorContains(t, err, "the worker key has", "%q", bad)
	}
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

// What stands before the coordinators has pages of its own. That one of its pages is not found does not
// mean that no checkpoint is left: the run would begin anew.
func TestAnswer_OfSomethingOnTheWay_IsNone(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere.Add(1)
		answering(w, r)
	}))
	t.Cleanup(other.Close)
	for _, status := range []int{204, 301, 302, 307, 308, 400, 401, 403, 404, 409, 413, 500, 502} {
		c, _ := coordinator(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Location", other.URL+r.URL.Path)
			w.WriteHeader(status)
			if status != http.StatusNoContent {
				_, _ = io.WriteString(w, "<html>default backend - 404</html>")
			}
		})
		want := domain.CodeUnavailable
		if status == http.StatusRequestEntityTooLarge {
			want = domain.CodeTooLarge // it will not take the same again
		}
		_, err := c.LoadCheckpoint(t.Context(), session, "wl_1", 1, 1)
		assert.Equal(t, want, domain.CodeOf(err), "%d: %v", status, err)
		if status == http.StatusNoContent {
			continue
		}
		_, err = c.Report(t.Context(), session, []ports.Report{{ID: "r"}})
		assert.Equal(t, want, domain.CodeOf(err), "%d: %v", status, err)
		_, err = c.SaveCheckpoint(t.Context(), session, ports.CheckpointUpload{WorkloadID: "wl_1", Data: []byte("x")})
		assert.Equal(t, want, domain.CodeOf(err), "%d: %v", status, err)
	}
	require.Zero(t, elsewhere.Load(), "the key and the reports stay here")
}

// A page for logging in, or a gateway that answers for what stands behind it, may say 200, and in JSON.
// Taken for the answer of a coordinator, it would end the session (no lease), lose outcomes (no answers),
// fence runs (no outcome) and have polls follow each other without a pause (no commands).
func TestAnswer_WhenItIsASuccessOfSomethingElse_IsNone(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
	}{
		"nothing":       {http.StatusNoContent, ""},
		"empty":         {http.StatusOK, ""},
		"no members":    {http.StatusOK, "{}"},
		"others":        {http.StatusOK, `{"status": "ok", "message": "log in"}`},
		"null":          {http.StatusOK, "null"},
		"a list":        {http.StatusOK, "[]"},
		"nulls":         {http.StatusOK, `{"lease_ms": null, "commands": null, "answers": null, "outcome": null}`},
		"empty members": {http.StatusOK, `{"lease_ms": 0, "answers": [{}], "outcome": ""}`},
		"too few":       {http.StatusCreated, `{"lease_ms": -1, "answers": []}`},
		"html":          {http.StatusOK, "<html>log in</html>"},
	} {
		t.Run(name, func(t *testing.T) {
			cl, _ := coordinator(t, func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			})
			up := ports.CheckpointUpload{WorkloadID: "wl_1", Generation: 1, Sequence: 1, Data: []byte("x")}
			for call, f := range map[string]func() error{
				"register":  func() error { _, err := cl.Register(t.Context(), domain.Registration{}); return err },
				"heartbeat": func() error { return beat(t.Context(), cl) },
				"poll":      func() error { _, err := cl.Poll(t.Context(), session, time.Second); return err },
				"report":    func() error { _, err := cl.Report(t.Context(), session, []ports.Report{{ID: "r"}}); return err },
				"save":      func() error { _, err := cl.SaveCheckpoint(t.Context(), session, up); return err },
				"load":      func() error { _, err := cl.LoadCheckpoint(t.Context(), session, "wl_1", 1, 1); return err },
			} {
				assert.Equal(t, domain.CodeUnavailable, domain.CodeOf(f()), "%s: %v", call, f())
			}
		})
	}
}

// Whoever compresses or passes on an answer may leave out how long it is.
func TestLoad_OfALargeCheckpointOfUnknownLength_IsWhole(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), domain.MaxInlineCheckpoint/16+1000)
	for name, size := range map[string]int{
		"small": 100, "at the limit": domain.MaxInlineCheckpoint, "one over": domain.MaxInlineCheckpoint + 1,
		"large": len(large),
	} {
		c, _ := coordinator(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Niyanta-Checkpoint-Sequence", "7")
			w.(http.Flusher).Flush() // there is no Content-Length then
			_, _ = w.Write(large[:size])
		})
		got, err := c.LoadCheckpoint(t.Context(), session, "wl_1", 1, 7)
		require.NoError(t, err, name)
		require.Equal(t, int64(7), got.Sequence)
		data := got.Data
		if got.Body != nil {
			data, err = io.ReadAll(got.Body)
			require.NoError(t, err, name)
			require.NoError(t, got.Body.Close())
		}
		require.True(t, bytes.Equal(large[:size], data), "%s: %d bytes of %d", name, len(data), size)
	}
}
