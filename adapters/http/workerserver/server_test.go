package workerserver

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/services/execution"
)

func busy() execution.Stats {
	return execution.Stats{Registered: true, Slots: 8, Used: 2, Runs: map[string]execution.RunStats{
		"sleep": {Started: 5, Ended: map[execution.RunResult]int{execution.RunCompleted: 2, execution.RunStopped: 1}},
		"a.b-c": {},
	}}
}

var expires = time.Unix(1_800_000_000, 0)

var worker = Worker{Version: "v1", Stats: busy, Certificates: map[string]func() time.Time{
	"coordinator": func() time.Time { return expires },
}}

func get(h http.Handler, path string) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	return rec
}

func TestReady_WheneverTheWorkerTakesNoWork_IsUnavailableAndSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		stats execution.Stats
		code  int
		body  string
	}{
		"at work":        {busy(), 200, `{"status":"ready","registered":true,"draining":false}`},
		"not registered": {execution.Stats{}, 503, `{"status":"unavailable","registered":false,"draining":false}`},
		"draining": {execution.Stats{Registered: true, Draining: true}, 503,
			`{"status":"unavailable","registered":true,"draining":true}`},
	} {
		h := Handler(Worker{Version: "v1", Stats: func() execution.Stats { return c.stats }})
		rec := get(h, "/ready")
		assert.Equal(t, c.code, rec.Code, name)
		assert.JSONEq(t, c.body, rec.Body.String(), name)
		rec = get(h, "/health")
		assert.Equal(t, 200, rec.Code, "%s: the process is alive", name)
		var answer map[string]any
		require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &answer))
		assert.Equal(t, "healthy", answer["status"])
		assert.Equal(t, "v1", answer["version"])
	}
}

func TestMetrics_OfAWorker_AreThoseThatAreDeclared(t *testing.T) {
	text := get(Handler(worker), "/metrics").Body.String()
	for _, want := range []string{
		"niyanta_worker_capacity_total 8\n", "niyanta_worker_capacity_used 2\n", "niyanta_worker_utilization_percent 25\n",
		"niyanta_worker_ready 1\n", `niyanta_worker_runs_started_total{workload_type="sleep"} 5` + "\n",
		`niyanta_worker_runs_ended_total{workload_type="sleep",result="completed"} 2` + "\n",
		`niyanta_worker_runs_ended_total{workload_type="a.b-c",result="failed"} 0` + "\n",
		`niyanta_certificate_expiry_timestamp_seconds{connection="coordinator"} 1800000000` + "\n",
	} {
		assert.Contains(t, text, want)
	}
	for _, d := range Definitions() {
		assert.Contains(t, text, "# TYPE "+d.Name+" "+string(d.Type)+"\n")
	}
	assert.Equal(t, len(Definitions()), strings.Count(text, "# TYPE "), "every metric is declared")
}

func TestHandler_ForAnythingElse_HasNoAnswer(t *testing.T) {
	h := Handler(worker)
	assert.Equal(t, 404, get(h, "/").Code)
	assert.Equal(t, 404, get(h, "/v1/workloads").Code)
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/ready", nil))
	assert.Equal(t, 405, rec.Code)
}

// logged collects the log.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func statusOf(addr, path string) int {
	resp, err := http.Get("http://" + addr + path)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return resp.StatusCode
}

func TestStart_WithAnAddressThatWasChosenAndIsTaken_SaysSo(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	first, err := Start(t.Context(), "127.0.0.1:0", nil, worker, log)
	require.NoError(t, err)
	defer first.Close()
	require.Equal(t, 200, statusOf(first.Addr(), "/ready"))
	_, err = Start(t.Context(), first.Addr(), nil, worker, log)
	require.ErrorContains(t, err, "NIYANTA_WORKER_HTTP_ADDR: another process listens on "+first.Addr())
	_, err = Start(t.Context(), "no address", nil, worker, log)
	require.ErrorContains(t, err, "NIYANTA_WORKER_HTTP_ADDR: ")
}

func TestStart_WithTheDefaultAddressWhileItIsTaken_ServesWhenItIsFree(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	out := &logged{}
	second := newServer(t.Context(), nil, worker, slog.New(slog.NewTextHandler(out, nil)))
	require.NoError(t, second.start(t.Context(), taken.Addr().String(), true, 5*time.Millisecond))
	assert.Empty(t, second.Addr())
	assert.Contains(t, out.String(), "another process listens")
	require.NoError(t, taken.Close())
	require.Eventually(t, func() bool { return second.Addr() != "" && statusOf(second.Addr(), "/health") == 200 },
		10*time.Second, 5*time.Millisecond, "%s", out)
	addr := second.Addr()
	second.Close()
	assert.Zero(t, statusOf(addr, "/health"), "closed")
}

func TestStart_WhenItsContextEnds_ServesOn(t *testing.T) {
	ctx, end := context.WithCancel(t.Context())
	s, err := Start(ctx, "127.0.0.1:0", nil, worker, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	end()
	assert.Equal(t, 200, statusOf(s.Addr(), "/health"), "a worker that drains still answers")
	s.Close()
}

func TestStart_WithoutAnAddress_ServesNothing(t *testing.T) {
	s, err := Start(t.Context(), "", nil, worker, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	assert.Empty(t, s.Addr())
	s.Close()
}
