package bootstrap

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// keyID returns the id of the customer's newest key.
func (a *api) keyID(role string) (key, id string) {
	a.Helper()
	ans := a.call("POST", "/v1/admin/customers/cust_dev/keys", a.dev.AdminKey, map[string]any{"role": role})
	require.Equal(a, 201, ans.status, ans.body)
	return ans.field("key").(string), ans.field("key_id").(string)
}

// timed is an answer with the time from the revocation to it.
type timed struct {
	answer
	took time.Duration
}

func TestLongPoll_WhenItsKeyIsRevoked_EndsWithin5sWithoutData(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 1)
	id := a.submit(sleepBody(60_000))
	for _, what := range []string{"nothing happens", "the workload ends"} {
		key, keyID := a.keyID("viewer")
		answered := make(chan timed, 1)
		go func() {
			req := a.request("GET", "/v1/workloads/"+id+"?wait=50s", key, nil)
			resp := a.do(req)
			answered <- timed{resp, 0}
		}()
		time.Sleep(200 * time.Millisecond) // usually the poll waits by then; if not, it is refused as well
		require.Equal(t, 204, a.call("DELETE", "/v1/admin/customers/cust_dev/keys/"+keyID, a.dev.AdminKey, nil).status)
		revoked := testfiles.StartStopwatch(t)
		if what == "the workload ends" {
			require.Equal(t, 200, a.call("POST", "/v1/workloads/"+id+"/cancel", a.dev.CustomerKey, nil).status)
		}
		select {
		case ans := <-answered:
			a.refused(ans.answer, 401, "UNAUTHORIZED", "")
			assert.NotContains(t, ans.body, id, what)
			assert.Less(t, revoked.Took(), 5*time.Second, what)
		case <-time.After(20 * time.Second):
			require.Fail(t, "the long poll goes on", what)
		}
	}
}

func TestLongPoll_WhileItsKeyHolds_IsAnsweredAsBefore(t *testing.T) {
	t.Parallel()
	a := newAPI(t, 1)
	id := a.submit(sleepBody(2_500)) // longer than the interval in which keys are checked
	ans := a.call("GET", "/v1/workloads/"+id+"?wait=20s", a.key("viewer"), nil)
	require.Equal(t, 200, ans.status, ans.body)
	require.Equal(t, "COMPLETED", ans.field("status"))
}

func TestRateLimitHeaders_ForEveryRole_AreOnEveryAuthenticatedAnswer(t *testing.T) {
	a := newAPI(t, 0)
	viewer := a.key("viewer")
	for name, c := range map[string]struct {
		method, path, key string
		status            int
		limit             string
	}{
		"a customer":                       {"GET", "/v1/customer", a.dev.CustomerKey, 200, "100000"},
		"a customer that asks for nothing": {"GET", "/v1/workloads/wl_none", a.dev.CustomerKey, 404, "100000"},
		"a customer that asks nonsense":    {"GET", "/v1/workloads?limit=x", a.dev.CustomerKey, 400, "100000"},
		"a viewer":                         {"GET", "/v1/customer", viewer, 200, "100000"},
		"a viewer that may not":            {"POST", "/v1/workloads", viewer, 403, "100000"},
		"a customer at the admin's door":   {"GET", "/v1/admin/workers", a.dev.CustomerKey, 403, "100000"},
		"an admin":                         {"GET", "/v1/admin/workers", a.dev.AdminKey, 200, "200"},
		"an admin at the customer's door":  {"GET", "/v1/customer", a.dev.AdminKey, 403, "200"},
		"a batch without a body":           {"POST", "/v1/workloads/batch", a.dev.CustomerKey, 400, "100000"},
		"a viewer's batch":                 {"POST", "/v1/workloads/batch", viewer, 403, "100000"},
		"a worker":                         {"POST", "/v1/worker/poll", a.dev.WorkerKey, 400, "1000000"},
		"a worker at the administrator's":  {"GET", "/v1/admin/workers", a.dev.WorkerKey, 403, "1000000"},
	} {
		ans := a.call(c.method, c.path, c.key, nil)
		require.Equal(t, c.status, ans.status, "%s: %s", name, ans.body)
		assert.Equal(t, c.limit, ans.header.Get("X-RateLimit-Limit"), name)
		remaining, err := strconv.Atoi(ans.header.Get("X-RateLimit-Remaining"))
		require.NoError(t, err, name)
		assert.Positive(t, remaining, name)
		reset, err := strconv.ParseInt(ans.header.Get("X-RateLimit-Reset"), 10, 64)
		require.NoError(t, err, name)
		assert.WithinDuration(t, time.Now(), time.Unix(reset, 0), time.Minute, "%s: Unix seconds", name)
	}
	assert.Empty(t, a.call("GET", "/v1/customer", "nonsense", nil).header.Get("X-RateLimit-Limit"))
}

// TestViewer_OnEveryRoute_SeesNoPayload runs a program that writes a secret wherever it can, and
// reads everything that a viewer may read.
func TestViewer_OnEveryRoute_SeesNoPayload(t *testing.T) {
	a := newAPI(t, 1)
	const secret = "canary-of-the-payload"
	// The program ends when there is a file. It may be another user's, and must be able to look for it.
	told := filepath.Join(t.TempDir(), "told")
	require.NoError(t, os.Chmod(filepath.Dir(filepath.Dir(told)), 0o755)) //nolint:gosec // see above
	script := `echo ` + secret + `; echo ` + secret + ` >&2; printf '{"type":"progress","percent":50,"message":"` +
		secret + `"}\n' >&3; until [ -e ` + told + ` ]; do sleep 0.05; done; exit 65`
	failed := a.submit(map[string]any{
		"workload_type": "exec", "input_params": map[string]any{"command": []string{"sh", "-c", script}},
	})
	done := a.submit(map[string]any{
		"workload_type": "exec", "input_params": map[string]any{"command": []string{"echo", secret}},
	})
	cfg := a.call("POST", "/v1/workload-configs", a.dev.CustomerKey, map[string]any{
		"workload_type": "sleep", "config_json": map[string]any{"x": secret},
	})
	require.Equal(t, 201, cfg.status, cfg.body)
	a.until("/v1/workloads/"+failed, "progress_message", secret) // a run that has ended tells its progress no more
	require.NoError(t, os.WriteFile(told, nil, 0o600))
	for id, status := range map[string]string{failed: "FAILED", done: "COMPLETED"} {
		require.Equal(t, status, a.call("GET", "/v1/workloads/"+id+"?wait=20s", a.dev.CustomerKey, nil).field("status"))
	}
	viewer, owned := a.key("viewer"), 0
	for path, item := range a.spec.Paths.Map() {
		op := item.Get
		if op != nil && op.Responses.Value("101") != nil {
			continue // what a WebSocket tells a viewer has a test of its own
		}
		if strings.HasSuffix(path, "/checkpoints/{sequence}") {
			continue // these workloads have none: TestCheckpoint_Read_GivesTheBytesThatWereSaved reads one as a viewer
		}
		if op == nil || !strings.Contains(string(must(json.Marshal(op.Extensions["x-roles"]))), "viewer") {
			continue
		}
		for _, id := range []string{failed, done} {
			target := strings.ReplaceAll(path, "{id}", id)
			if strings.HasPrefix(path, "/v1/workload-configs/") {
				target = strings.ReplaceAll(path, "{id}", cfg.field("config_id").(string))
			}
			if path == "/v1/customer/stats" {
				target += "?start_date=2026-01-01&end_date=2026-01-31"
			}
			seen := a.call("GET", target, viewer, nil)
			require.Equal(t, 200, seen.status, "%s: %s", target, seen.body)
			assert.NotContains(t, seen.body, secret, target)
			if strings.Contains(a.call("GET", target, a.dev.CustomerKey, nil).body, secret) {
				owned++
			}
		}
	}
	assert.GreaterOrEqual(t, owned, 6,
		"its owner sees it in workload, list, logs, audit and config, or the test proves nothing")
	seen := a.call("GET", "/v1/workloads/"+failed, viewer, nil)
	assert.Equal(t, "exit_status", seen.field("error_type"), "what became of it is seen")
	assert.Equal(t, "[masked]", seen.field("error_message"))
	assert.Equal(t, "[masked]", seen.field("progress_message"))
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestSecurityHeaders_OnEveryAnswer_ArePresent(t *testing.T) {
	a := newAPI(t, 0)
	for _, c := range []struct{ method, path, key, policy, cache string }{
		{"GET", "/v1/customer", a.dev.CustomerKey, "default-src 'none'", "no-store"},
		{"GET", "/v1/customer", "", "default-src 'none'", "no-store"},
		{"GET", "/nowhere", "", "default-src 'none'", "no-store"},
		{"FOO", "/v1/customer", "", "default-src 'none'", "no-store"},
		{"GET", "/health", "", "default-src 'none'", "no-store"},
		{"GET", "/metrics", "", "default-src 'none'", "no-store"},
		{"GET", "/openapi.yaml", "", "default-src 'none'", "no-store"},
		{"GET", "/", "", "script-src 'self'; style-src 'self'", "no-cache"},
		{"GET", "/console/console.js", "", "script-src 'self'; style-src 'self'", "no-cache"},
		{"GET", "/console/nothing.js", "", "default-src 'none'", "no-store"},
		{"GET", "/docs", "", "default-src 'self'", "no-cache"},
		{"GET", "/docs/start.js", "", "default-src 'self'", "no-cache"},
	} {
		h := a.call(c.method, c.path, c.key, nil).header
		what := c.method + " " + c.path
		assert.Equal(t, "nosniff", h.Get("X-Content-Type-Options"), what)
		assert.Equal(t, "no-referrer", h.Get("Referrer-Policy"), what)
		assert.Equal(t, "DENY", h.Get("X-Frame-Options"), what)
		assert.Equal(t, c.cache, h.Get("Cache-Control"), what)
		assert.Contains(t, h.Get("Content-Security-Policy"), c.policy, what)
		assert.Contains(t, h.Get("Content-Security-Policy"), "frame-ancestors 'none'", what)
	}
}
