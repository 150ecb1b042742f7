package workloads

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "speak" {
		speak()
		return
	}
	if len(os.Args) > 4 && os.Args[1] == "keep" {
		if err := keep(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// recorder is a ports.Progress that notes.
type recorder struct {
	mu          sync.Mutex
	lines       []ports.LogEntry
	percents    []float64
	checkpoints []string
	refuse      error
}

func (r *recorder) Report(p float64, _ string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.percents = append(r.percents, p)
}

func (r *recorder) Log(e ports.LogEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, e)
}

func (r *recorder) Checkpoint(_ context.Context, data []byte, _ *float64, _ string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return r.refuse
	}
	r.checkpoints = append(r.checkpoints, string(data))
	return nil
}

func (r *recorder) text(stream string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, l := range r.lines {
		if l.Stream == stream {
			out = append(out, l.Message)
		}
	}
	return strings.Join(out, "\n")
}

func task(input string) ports.Task {
	return ports.Task{Assignment: ports.Assignment{WorkloadID: "wl_1", CustomerID: "cust_a", Generation: 7, Attempt: 2, Input: domain.JSON(input)}}
}

// run runs a workload to its end.
func run(ctx context.Context, w ports.Workload, t ports.Task, p ports.Progress) (domain.JSON, error) {
	defer func() { _ = w.Close() }()
	if err := w.Init(ctx, t); err != nil {
		return "", err
	}
	return w.Execute(ctx, p)
}

func requireRunError(t *testing.T, err error, errorType string, permanent bool) {
	t.Helper()
	var re *ports.RunError
	require.ErrorAs(t, err, &re)
	require.Equal(t, errorType, re.Type, "%v", err)
	require.Equal(t, permanent, re.Permanent, "%v", err)
}

func TestSleepSleepsInStepsAndResumes(t *testing.T) {
	p := &recorder{}
	out, err := run(t.Context(), &sleep{}, task(`{"duration_ms":20,"steps":4}`), p)
	require.NoError(t, err)
	assert.JSONEq(t, `{"slept_ms":20,"steps":4,"resumed_from_step":0}`, string(out))
	assert.Equal(t, []float64{25, 50, 75, 100}, p.percents)
	again := task(`{"duration_ms":20,"steps":4}`)
	again.Checkpoint = []byte(`{"step":3}`)
	out, err = run(t.Context(), &sleep{}, again, p)
	require.NoError(t, err)
	assert.JSONEq(t, `{"slept_ms":5,"steps":4,"resumed_from_step":3}`, string(out))
	again.Checkpoint = []byte(`{"step":9}`)
	_, err = run(t.Context(), &sleep{}, again, p)
	requireRunError(t, err, "invalid_checkpoint", true)
}

func TestSleepEndsWithItsContextAndTellsItsStep(t *testing.T) {
	w := &sleep{}
	ctx, cancel := context.WithCancelCause(t.Context())
	require.NoError(t, w.Init(ctx, task(`{"duration_ms":600000,"steps":60000}`[:len(`{"duration_ms":600000,"steps":6000`)]+`}`)))
	_, err := w.Checkpoint(ctx)
	require.ErrorIs(t, err, ports.ErrNoCheckpoint)
	w.step.Store(3)
	data, err := w.Checkpoint(ctx)
	require.NoError(t, err)
	assert.JSONEq(t, `{"step":3}`, string(data))
	_, err = w.Checkpoint(ctx)
	require.ErrorIs(t, err, ports.ErrNoCheckpoint, "nothing new")
	cancel(ports.ErrPaused)
	_, err = w.Execute(ctx, &recorder{})
	require.ErrorIs(t, err, ports.ErrPaused)
}

func TestBadInputIsPermanentAndNamesTheField(t *testing.T) {
	h := testHost(t, Options{ExecAllow: []string{"sh"}})
	for input, c := range map[string]struct {
		w     ports.Workload
		field string
	}{
		`{"duration_ms":-1}`:              {&sleep{}, "duration_ms"},
		`{"duration_ms":1,"steps":10001}`: {&sleep{}, "steps"},
		`{"duration_ms":"x"}`:             {&sleep{}, "duration_ms"},
		`{"seconds":1}`:                   {&sleep{}, "seconds"},
		`{}`:                              {&program{host: h}, "command"},
		`{"command":["sh"],"env":{"LD_PRELOAD":"x"}}`:          {&program{host: h}, "env.LD_PRELOAD"},
		`{"command":["sh"],"env":{"PATH":"/tmp"}}`:             {&program{host: h}, "env.PATH"},
		`{"command":["sh"],"dir":"relative"}`:                  {&program{host: h}, "dir"},
		`{"url":"ftp://x"}`:                                    {&call{}, "url"},
		`{"url":"http://u:p@x"}`:                               {&call{}, "url"},
		`{"url":"http://x","method":"TRACE"}`:                  {&call{}, "method"},
		`{"url":"http://x","headers":{"Host":"y"}}`:            {&call{}, "headers.Host"},
		`{"url":"http://x","headers":{"A":"b\r\nC: d"}}`:       {&call{}, "headers.A"},
		`{"url":"http://x","timeout_seconds":-1}`:              {&call{}, "timeout_seconds"},
		`{"url":"http://x","headers":{"niyanta-attempt":"9"}}`: {&call{}, "niyanta-attempt"},
	} {
		_, err := run(t.Context(), c.w, task(input), &recorder{})
		requireRunError(t, err, "invalid_input", true)
		assert.Contains(t, err.Error(), c.field, input)
	}
}

func httpRun(t *testing.T, allowPrivate bool, input any) (domain.JSON, error) {
	t.Helper()
	b, err := json.Marshal(input)
	require.NoError(t, err)
	client := newHTTPClient(allowPrivate, nil)
	t.Cleanup(client.CloseIdleConnections)
	return run(t.Context(), &call{client: client}, task(string(b)), &recorder{})
}

func TestHTTPCallsAnEndpointOncePerGeneration(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, want := range map[string]string{
			"Niyanta-Workload-Id": "wl_1", "Niyanta-Generation": "7", "Niyanta-Attempt": "2", "Idempotency-Key": "wl_1", "X-Mine": "1",
		} {
			assert.Equal(t, want, r.Header.Get(name))
		}
		_, _ = fmt.Fprint(w, `{"ok":true}`)
	}))
	defer server.Close()
	out, err := httpRun(t, true, map[string]any{"url": server.URL, "headers": map[string]string{"X-Mine": "1"}, "body": map[string]int{"a": 1}})
	require.NoError(t, err)
	assert.Contains(t, string(out), `"body":{"ok":true}`)
}

func TestHTTPTellsWhatTryingAgainMayMend(t *testing.T) {
	for status, permanent := range map[int]bool{400: true, 404: true, 408: false, 429: false, 500: false, 503: false} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
		}))
		_, err := httpRun(t, true, map[string]any{"url": server.URL})
		server.Close()
		requireRunError(t, err, "http_status", permanent)
		var re *ports.RunError
		require.ErrorAs(t, err, &re)
		if !permanent {
			assert.Equal(t, 7*time.Second, *re.RetryAfter)
		}
	}
	_, err := httpRun(t, true, map[string]any{"url": "http://127.0.0.1:1"})
	requireRunError(t, err, "network", false)
}

func TestHTTPRefusesPrivateAddressesAfterDNS(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(server.URL, "http://"))
	require.NoError(t, err)
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"} {
		_, err := httpRun(t, false, map[string]any{"url": "http://" + host + ":" + port})
		require.Error(t, err, host)
		if host != "2130706433" { // an integer is a name to Go's resolver, and names nobody
			requireRunError(t, err, "address_refused", true)
		}
	}
}

func TestARedirectPassesTheSameGuard(t *testing.T) {
	client := newHTTPClient(false, nil)
	req := httptest.NewRequest("GET", "http://169.254.169.254/latest", nil)
	_, err := client.Transport.RoundTrip(req)
	require.ErrorIs(t, err, errPrivate)
	require.Error(t, client.CheckRedirect(httptest.NewRequest("GET", "http://x", nil), make([]*http.Request, 6)))
}

func TestPublicAddresses(t *testing.T) {
	for addr, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "127.0.0.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "0.0.0.0": false, "255.255.255.255": false, "224.0.0.1": false, "198.18.0.1": false,
		"::1": false, "::": false, "fe80::1": false, "fc00::1": false, "ff02::1": false, "::ffff:10.0.0.1": false, "64:ff9b::a00:1": false,
		"2002:a00:1::": false, "fd00:ec2::254": false,
	} {
		assert.Equal(t, want, public(netip.MustParseAddr(addr)), addr)
	}
}

func FuzzDecodeInput(f *testing.F) {
	for _, s := range []string{`{}`, `{"command":["sh"]}`, `{"duration_ms":1e99}`, `[`, `{"env":{"a":1}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, w := range []ports.Workload{&sleep{}, &call{}} {
			if err := w.Init(t.Context(), task(s)); err != nil {
				var re *ports.RunError
				require.ErrorAs(t, err, &re)
			}
		}
	})
}
