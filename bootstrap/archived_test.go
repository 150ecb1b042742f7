package bootstrap

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/coordinator"
)

// agingAPI is a development server on a storage whose clock can be advanced.
type agingAPI struct {
	*api
	stores  ports.Stores
	advance func(time.Duration)
}

func newAgingAPI(t *testing.T, on backing) *agingAPI {
	t.Helper()
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_EXEC_ALLOW=sh"})
	require.NoError(t, err)
	clock := &steppedClock{}
	out := &agingAPI{}
	out.stores, out.advance = on(t, clock)
	d, err := newDevOn(context.Background(), cfg, 1, "test", silent, func(cfg Config, _ *slog.Logger) (*App, error) {
		z, err := zstd.New()
		n, metrics := memory.NewNotifier(), telemetry.NewMetrics()
		return NewApp(cfg, Backends{
			Storage: Storage{Stores: out.stores}, Hints: Hints{Notifier: n, Listener: n},
			Limiter: Limiter{RateLimiter: memory.NewRateLimiter(clock)},
		}, coordinator.Host{
			Name: "coord_test", Clock: clock, IDs: system.IDs{}, Observer: metrics, Compressor: z, Log: silent,
		}, metrics), err
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close(context.Background())) })
	out.api = newAPIOf(t, d)
	return out
}

// archive lets the period of workloads pass, and moves n of them to the archive.
func (a *agingAPI) archive(n int) {
	a.Helper()
	a.dev.drain()
	a.dev.worked.Wait()
	a.advance(90*24*time.Hour + time.Minute)
	moved := 0
	require.Eventually(a, func() bool {
		claim, leading := a.dev.App.coordinator.Leadership.Current()
		if !leading {
			return false
		}
		p, err := a.stores.Retention.Purge(a.Context(), claim.Epoch,
			ports.Purge{What: domain.KeptWorkloads, Age: 90 * 24 * time.Hour, Limit: 100})
		moved += p.Count
		return err == nil && moved == n
	}, 30*time.Second, 20*time.Millisecond)
}

// TestArchivedWorkload_OnEachRoute_IsAnsweredAsFinished asks for archived workloads on every route
// that names workloads: as the owner, as an administrator, and as another customer.
func TestArchivedWorkload_OnEachRoute_IsAnsweredAsFinished(t *testing.T) {
	for name, on := range map[string]backing{StoreMemory: memoryBacking, StorePostgres: postgresBacking} {
		t.Run(name, func(t *testing.T) { archivedOnEachRoute(t, newAgingAPI(t, on)) })
	}
}

func archivedOnEachRoute(t *testing.T, a *agingAPI) {
	t.Helper()
	done := a.submit(shell("echo one; echo two"))
	saved := a.submit(map[string]any{
		"workload_type": "sleep", "input_params": map[string]any{"duration_ms": 60_000, "steps": 6000},
	})
	plain := a.submit(map[string]any{
		"workload_type": "sleep", "input_params": map[string]any{"duration_ms": 1}, "run_at": "2100-01-01T00:00:00Z",
	})
	workload := func(id string) string { return "/v1/workloads/" + id }
	a.until(workload(done), "status", "COMPLETED")
	a.until(workload(saved), "status", "RUNNING")
	require.Equal(t, 202, a.send("POST", workload(saved)+"/checkpoint", "", nil).status)
	a.until(workload(saved), "checkpoint_sequence", 1.0)
	for _, id := range []string{saved, plain} {
		require.Equal(t, 200, a.send("POST", workload(id)+"/cancel", "", nil).status)
	}
	told := a.streams(workload(done)+"/events", a.dev.CustomerKey, "").rest()
	require.Equal(t, "completed", told[len(told)-1].Type)
	before := a.call("GET", workload(done), a.dev.CustomerKey, nil)
	a.archive(3)

	rival := a.tenant("cust_rival", map[string]any{"rate_limit_per_sec": 1000.0, "burst": 1000})
	missing := "wl_" + strings.Repeat("0", 26)
	type answers struct {
		status int
		code   string
	}
	final := answers{400, "INVALID_STATE"}
	want := map[string]answers{
		"GET /v1/workloads/{id}": {200, ""}, "GET /v1/workloads/{id}/logs": {200, ""},
		"GET /v1/workloads/{id}/audit": {200, ""}, "GET /v1/workloads/{id}/placement": {200, ""},
		"GET /v1/workloads/{id}/checkpoints": {200, ""}, "GET /v1/workloads/{id}/events": {200, ""},
		"GET /v1/workloads/{id}/checkpoints/{sequence}": {404, "NOT_FOUND"},
		"POST /v1/workloads/{id}/cancel":                final, "POST /v1/workloads/{id}/pause": final,
		"POST /v1/workloads/{id}/resume": final, "POST /v1/workloads/{id}/checkpoint": final,
		"POST /v1/workloads/{id}/retry": final,
	}
	asked := map[string]bool{}
	for path, item := range a.spec.Paths.Map() {
		for method := range item.Operations() {
			route := method + " " + path
			if !strings.HasPrefix(path, "/v1/workloads/{id}") || method == http.MethodHead {
				continue
			}
			expect, known := want[route]
			require.True(t, known, "%s has no case here", route)
			asked[route] = true
			at := func(id string) string { return strings.NewReplacer("{id}", id, "{sequence}", "1").Replace(path) }
			for role, key := range map[string]string{"owner": a.dev.CustomerKey, "admin": a.dev.AdminKey} {
				ans := a.call(method, at(done), key, nil)
				require.Equal(t, expect.status, ans.status, "%s as %s: %s", route, role, ans.body)
				if expect.code != "" {
					a.refused(ans, expect.status, expect.code, "")
					require.Equal(t, expect == final, ans.field("error.details.status") == "COMPLETED", route)
				}
			}
			foreign, none := a.call(method, at(done), rival, nil), a.call(method, at(missing), rival, nil)
			a.refused(foreign, 404, "NOT_FOUND", "")
			assert.Equal(t, none.field("error.message"), foreign.field("error.message"), route)
		}
	}
	require.ElementsMatch(t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(asked)))

	after := a.call("GET", workload(done), a.dev.CustomerKey, nil)
	require.NotNil(t, after.field("archived_at"))
	for _, same := range []string{"status", "input_params", "result_data", "created_at", "completed_at", "generation"} {
		require.Equal(t, before.field(same), after.field(same), same)
	}
	require.Empty(t, a.call("GET", workload(done)+"/logs", a.dev.CustomerKey, nil).field("logs"))
	require.NotEmpty(t, a.call("GET", workload(done)+"/audit", a.dev.CustomerKey, nil).field("events"))
	require.Empty(t, a.call("GET", workload(saved)+"/checkpoints", a.dev.CustomerKey, nil).field("checkpoints"))
	a.archivedStreams(done, told)
	a.archivedBatches(done, saved, plain, missing, rival)

	retry := func(id, body string) answer { return a.send("POST", workload(id)+"/retry", body, nil) }
	a.refused(retry(saved, ""), 400, "INVALID_INPUT", "from_checkpoint")
	a.refused(retry(saved, `{"from_checkpoint":1}`), 400, "INVALID_INPUT", "from_checkpoint")
	for _, ans := range []answer{retry(saved, `{"from_scratch":true}`), retry(plain, "")} {
		require.Equal(t, 202, ans.status, ans.body)
		require.InDelta(t, 0, ans.field("checkpoint_sequence"), 0)
	}

	a.advance(365*24*time.Hour + time.Minute)
	for _, key := range []string{a.dev.CustomerKey, a.dev.AdminKey} {
		for route := range want {
			method, path, _ := strings.Cut(route, " ")
			path = strings.NewReplacer("{id}", done, "{sequence}", "1").Replace(path)
			a.refused(a.call(method, path, key, nil), 404, "NOT_FOUND", "")
		}
	}
}

// archivedStreams reads the stream of an archived workload again. told is what it was before: its
// log lines are gone.
func (a *agingAPI) archivedStreams(id string, told []liveEvent) {
	a.Helper()
	kept := slices.DeleteFunc(slices.Clone(told), func(e liveEvent) bool { return e.Seq > 0 })
	require.Less(a, len(kept), len(told))
	statuses := func(es []liveEvent) (out []string) {
		for _, e := range es {
			out = append(out, fmt.Sprint(e.Type, " ", e.EventType, " ", e.Status, " ", string(e.ResultData)))
		}
		return out
	}
	path := "/v1/workloads/" + id + "/events"
	require.Equal(a, statuses(kept), statuses(a.streams(path, a.dev.CustomerKey, "").rest()))
	for i, e := range told[:len(told)-1] {
		var rest []liveEvent
		for _, later := range told[i+1:] {
			if later.Seq == 0 {
				rest = append(rest, later)
			}
		}
		got := a.streams(path, a.dev.CustomerKey, e.EventID).rest()
		require.Equal(a, statuses(rest), statuses(got), "behind event %d, %s: nothing is repeated", i, e.Type)
	}
	last := a.follow(a.dev.App.URL(), path, a.dev.CustomerKey, told[len(told)-1].EventID)
	require.Equal(a, http.StatusNoContent, last.resp.StatusCode)
}

// archivedBatches does batch operations to archived workloads.
func (a *agingAPI) archivedBatches(done, saved, plain, missing, rival string) {
	a.Helper()
	batch := func(op, key string, dry bool) (codes []string) {
		ans := a.call("POST", "/v1/workloads/batch/"+op, key, map[string]any{
			"workload_ids": []string{done, saved, plain, missing}, "dry_run": dry,
		})
		require.Equal(a, 200, ans.status, ans.body)
		for _, r := range ans.field("results").([]any) {
			code := "OK"
			if e, failed := r.(map[string]any)["error"].(map[string]any); failed {
				code = e["code"].(string)
			}
			codes = append(codes, code)
		}
		return codes
	}
	for _, dry := range []bool{true, false} {
		for _, key := range []string{a.dev.CustomerKey, a.dev.AdminKey} {
			for _, op := range []string{"cancel", "pause", "resume"} {
				require.Equal(a, []string{"INVALID_STATE", "INVALID_STATE", "INVALID_STATE", "NOT_FOUND"},
					batch(op, key, dry), "%s, dry run: %v", op, dry)
			}
			require.Equal(a, []string{"INVALID_STATE", "INVALID_INPUT", "OK", "NOT_FOUND"}, batch("retry", key, dry),
				"dry run: %v", dry)
		}
		for _, op := range []string{"cancel", "pause", "resume", "retry"} {
			require.Equal(a, slices.Repeat([]string{"NOT_FOUND"}, 4), batch(op, rival, dry), "%s of another's", op)
		}
	}
}
