package bootstrap

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/http/workerserver"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// probe returns the status and the body of an answer. The status is 0 if there is none.
func probe(url string) (int, string) {
	resp, err := http.Get(url) //nolint:gosec // of the test itself
	if err != nil {
		return 0, ""
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body)
}

// holding runs until the test lets it go, whatever its context says.
type holding struct{ release <-chan struct{} }

func (holding) Init(context.Context, ports.Task) error { return nil }

func (h holding) Execute(ctx context.Context, _ ports.Progress) (domain.JSON, error) {
	<-h.release
	return "", context.Cause(ctx)
}

func (holding) Checkpoint(context.Context) ([]byte, error) { return nil, ports.ErrNoCheckpoint }

func (holding) Close() error { return nil }

func TestWorkerServer_OverTheLifeOfAWorker_SaysWhetherItTakesWork(t *testing.T) {
	d, client := startDev(t, 0)
	cfg, err := Load([]string{"NIYANTA_WORKER_ID=w", "NIYANTA_WORKER_SLOTS=4", "NIYANTA_COORDINATOR_URL=" + d.App.URL(),
		"NIYANTA_WORKER_HTTP_ADDR=127.0.0.1:0"})
	require.NoError(t, err)
	cfg.WorkerKeys = []string{d.WorkerKey}
	release := make(chan struct{})
	w, err := NewWorker(context.Background(), cfg, "v7", silent, map[string]ports.WorkloadFactory{
		"hold": func() ports.Workload { return holding{release} },
	})
	require.NoError(t, err)
	url := "http://" + w.server.Addr()
	status, body := probe(url + "/ready")
	assert.Equal(t, 503, status, "it has not registered: %s", body)
	status, body = probe(url + "/health")
	assert.Equal(t, 200, status)
	assert.Contains(t, body, `"version":"v7"`)

	ctx, drain := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	eventually := func(what string, f func() bool) {
		t.Helper()
		require.Eventually(t, f, 30*time.Second, 5*time.Millisecond, what)
	}
	is := func(want int) func() bool {
		return func() bool { status, _ := probe(url + "/ready"); return status == want }
	}
	eventually("it registers", is(200))
	_, err = client.Submit(t.Context(), niyanta.Submission{WorkloadType: "hold", InputParams: []byte(`{}`)}, "")
	require.NoError(t, err)
	eventually("it counts what it runs", func() bool {
		_, body := probe(url + "/metrics")
		return strings.Contains(body, "niyanta_worker_capacity_used 1\n") &&
			strings.Contains(body, "niyanta_worker_utilization_percent 25\n") &&
			strings.Contains(body, `niyanta_worker_runs_started_total{workload_type="hold"} 1`)
	})
	drain()
	eventually("it drains", is(503))
	status, _ = probe(url + "/health")
	assert.Equal(t, 200, status, "a worker that drains must not be restarted")
	_, body = probe(url + "/metrics")
	assert.Contains(t, body, "niyanta_worker_draining 1\n")
	close(release)
	require.NoError(t, <-ended)
	status, _ = probe(url + "/health")
	assert.Zero(t, status, "it has ended")
}

func TestWorkerServer_WithAnAddressThatIsTaken_StopsTheStart(t *testing.T) {
	d, _ := startDev(t, 0)
	addr := d.App.Addrs()[0]
	cfg, err := Load([]string{"NIYANTA_COORDINATOR_URL=" + d.App.URL(), "NIYANTA_WORKER_HTTP_ADDR=" + addr})
	require.NoError(t, err)
	cfg.WorkerKeys = []string{d.WorkerKey}
	_, err = NewWorker(context.Background(), cfg, "test", silent)
	require.ErrorContains(t, err, "NIYANTA_WORKER_HTTP_ADDR: another process listens on "+addr)
}

func TestConfig_OfTheWorkersAddress_KnowsNothingFromUnset(t *testing.T) {
	for _, c := range []struct {
		env  []string
		want string
	}{
		{nil, workerserver.DefaultAddr},
		{[]string{workerserver.Variable + "="}, ""},
		{[]string{workerserver.Variable + "=127.0.0.1:9"}, "127.0.0.1:9"},
	} {
		cfg, err := Load(c.env)
		require.NoError(t, err)
		assert.Equal(t, c.want, cfg.WorkerHTTPAddr, "%v", c.env)
	}
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR="})
	require.NoError(t, err)
	assert.Equal(t, ":8080", cfg.HTTPAddr, "of any other setting, nothing is the default")
}
