package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// collector keeps the spans that processes export. It is their collector.
type collector struct {
	mu    sync.Mutex
	spans []*tracev1.Span
}

// ServeHTTP implements http.Handler.
func (c *collector) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var batch collectortrace.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &batch) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range batch.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
}

// tree returns the spans of a trace in lines, each below its parent, as "name generation !" with
// "!" for those that failed. Below the span that the client sent is what has no other parent.
func (c *collector) tree(traceID, client string) map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	paths, parents := map[string]string{client: "client"}, map[string]string{}
	names := map[string]string{}
	for _, s := range c.spans {
		if hex.EncodeToString(s.GetTraceId()) != traceID {
			continue
		}
		id, name := hex.EncodeToString(s.GetSpanId()), s.GetName()
		for _, a := range s.GetAttributes() {
			if a.GetKey() == "niyanta.generation" {
				name += fmt.Sprint(" ", a.GetValue().GetIntValue())
			}
		}
		if s.GetStatus().GetCode() == tracev1.Status_STATUS_CODE_ERROR {
			name += " !"
		}
		names[id], parents[id] = name, hex.EncodeToString(s.GetParentSpanId())
	}
	var path func(id string) string
	path = func(id string) string {
		if p, ok := paths[id]; ok {
			return p
		}
		if names[id] == "" {
			return "?"
		}
		return path(parents[id]) + " / " + names[id]
	}
	out := map[string]string{}
	for id := range names {
		out[path(id)] = id
	}
	return out
}

// tracedScript saves a checkpoint and waits in its first run. In the second it ends.
const tracedScript = `read -r start <&3
echo "span $TRACEPARENT of $NIYANTA_REQUEST_ID"
case $start in *'"checkpoint":"payload'*) exit 0;; esac
printf '{"type":"checkpoint","data":"payload-in-checkpoint","percent":50}\n' >&3
while read -r line <&3; do case $line in *checkpoint_saved*) echo saved; sleep 60;; esac; done`

// TestTrace_OfAWorkloadWhoseWorkerDies_IsOneTreeAndItsRequestIsInEveryLog has a client send a span and
// a request id, over both transports of workers. All processes are real, and log at level DEBUG.
func TestTrace_OfAWorkloadWhoseWorkerDies_IsOneTreeAndItsRequestIsInEveryLog(t *testing.T) {
	p := newProduction(t, "nats", append(longTimes, "NIYANTA_LOG_LEVEL=debug")...)
	traceID := func(n int) string { return fmt.Sprintf("%032x", 0xabc0+n) }
	const client = "00000000000000aa"
	for n, transport := range []struct{ name, bus, url, saved string }{
		{"bus", "nats", p.nats.URL(), "handle worker.checkpoint_save"},
		{"http", "memory", "", "PUT /v1/worker/workloads/{id}/checkpoints/{sequence}"},
	} {
		first, second := transport.name+"1", transport.name+"2"
		settings := []string{"NIYANTA_BUS=" + transport.bus, "NIYANTA_NATS_URL=" + transport.url}
		p.startWorker(first, settings...)
		requestID := "req-" + transport.name
		body := fmt.Sprintf(`{"workload_type": "exec", "labels": {"l": "payload-in-label"}, "max_retries": 1,
  "input_params": {"command": ["sh", "-c", %q], "stdin": "payload-in-input"}}`, tracedScript)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/v1/workloads", strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+p.key)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Request-Id", requestID)
		req.Header.Set("Traceparent", "00-"+traceID(n)+"-"+client+"-01")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		var answer struct {
			WorkloadID string `json:"workload_id"`
		}
		require.NoError(t, json.NewDecoder(resp.Body).Decode(&answer))
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 202, resp.StatusCode)
		id := answer.WorkloadID
		p.eventually(func() bool { return p.get(id).CheckpointSequence > 0 }, "the checkpoint is saved")
		p.startWorker(second, settings...)
		p.workers[first].signal(t, syscall.SIGKILL)
		p.eventually(func() bool { return p.get(id).Status == "COMPLETED" }, "it continues on the other worker")

		root := "client / POST /v1/workloads / workload exec 2"
		want := []string{
			root, root + " / submit", root + " / wait 1", root + " / assign 1", root + " / run 1 !",
			root + " / run 1 ! / checkpoint 1", root + " / run 1 ! / " + transport.saved,
			root + " / run 1 ! / " + transport.saved + " / database batch", root + " / commit 1 !", root + " / wait 2",
			root + " / assign 2", root + " / run 2", root + " / commit 2",
			"client / POST /v1/workloads / database batch",
		}
		var tree map[string]string
		missing := func() (paths []string) {
			tree = p.collector.tree(traceID(n), client)
			for _, path := range want {
				if tree[path] == "" {
					paths = append(paths, path)
				}
			}
			return paths
		}
		assert.Eventually(t, func() bool { return len(missing()) == 0 }, 20*time.Second, 50*time.Millisecond)
		require.Empty(t, missing(), "the spans that are there: %q", slices.Sorted(maps.Keys(tree)))
		for path := range tree {
			assert.True(t, strings.HasPrefix(path, "client / "), "%s: every span is below the client's", path)
		}
		lines, err := niyanta.Collect(p.client.LogLines(t.Context(), id, niyanta.LogParams{}))
		require.NoError(t, err)
		said := ""
		for _, l := range lines {
			said += l.Message + "\n"
		}
		for _, run := range []string{" / run 1 !", " / run 2"} {
			assert.Contains(t, said, "span 00-"+traceID(n)+"-"+tree[root+run]+"-01 of "+requestID, "the program's span")
		}

		for name, log := range map[string]string{
			"coordinators": p.logs(), first: p.workers[first].log.String(), second: p.workers[second].log.String(),
		} {
			found := map[string]int{}
			for line := range strings.Lines(log) {
				if !strings.Contains(line, requestID) {
					continue
				}
				var record map[string]any
				require.NoError(t, json.Unmarshal([]byte(line), &record), line)
				if record["level"] == "debug" { // a request, not a workload
					continue
				}
				found[fmt.Sprintf("%v %v%v", record["message"], record["event"], record["result"])]++
				assert.Equal(t, id, record["workload_id"], line)
				assert.Equal(t, requestID, record["request_id"], line)
				assert.Equal(t, traceID(n), record["trace_id"], line)
				assert.Equal(t, p.customer, record["customer_id"], line)
				if record["message"] != "workload submitted" {
					assert.NotEmpty(t, record["worker_id"], line)
					assert.NotNil(t, record["generation"], line)
				}
			}
			assert.Equal(t, map[string]map[string]int{
				"coordinators": {
					"workload submitted <nil><nil>": 1, "workload changed state assign<nil>": 2,
					"workload changed state start<nil>": 2, "workload changed state lose<nil>": 1,
					"workload changed state complete<nil>": 1,
				},
				first:  {"run started <nil><nil>": 1},
				second: {"run started <nil><nil>": 1, "run ended <nil>completed": 1},
			}[name], found, name)
		}
		p.workers[second].signal(t, syscall.SIGTERM) // the next ones are alone
		require.NoError(t, p.workers[second].wait())
	}
	secrets := []string{p.adminKey, p.workerKey, p.key, "payload-in-", "tracedScript", "read -r start"}
	for name, proc := range p.workers {
		for _, secret := range secrets {
			assert.NotContains(t, proc.log.String(), secret, name)
		}
	}
	for _, secret := range secrets {
		assert.NotContains(t, p.logs(), secret)
	}
}
