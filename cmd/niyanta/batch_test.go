package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// batch runs the command on lines and returns its results.
func (s shell) batch(lines []string, args ...string) (results []batchResult, stderr string, code int) {
	s.t.Helper()
	out, stderr, code := s.run(strings.Join(lines, "\n"), append([]string{"batch"}, args...)...)
	for l := range strings.Lines(out) {
		var r batchResult
		require.NoError(s.t, json.Unmarshal([]byte(l), &r), l)
		results = append(results, r)
	}
	return results, stderr, code
}

func TestBatch_WhenLinesAreBad_SubmitsTheOthersAndSaysWhich(t *testing.T) {
	sh, _, _ := shells(t)
	good := `{"workload_type":"nobodys","input_params":{"n":1}}`
	results, stderr, code := sh.batch([]string{
		good, "", "no JSON", `{"workload_type":"nobodys","input_params":{},"priority":5000}`,
		`{"workload_type":"nobodys","input_params":{},"prio":1}`, `[]`, good + good, "  ",
		`{"input_params":{}}`, `{"workload_type":"nobodys","input_params":{"` + strings.Repeat("x", 2<<20) + `":1}}`,
		`{"workload_type":"nobodys","input_params":{"a":1,"a":2}}`, good,
	})
	assert.Equal(t, exitError, code)
	assert.Contains(t, stderr, "submitted 2 of 10 lines, 8 refused")
	wants := map[int]string{1: "", 3: "invalid", 4: "priority", 5: "prio", 6: "array", 7: "after the object",
		9: "workload_type", 10: "longer", 11: "twice", 12: ""}
	require.Len(t, results, len(wants))
	last := 0
	for _, r := range results {
		want, known := wants[r.Line]
		require.True(t, known, "%d", r.Line)
		require.Greater(t, r.Line, last, "in order")
		last = r.Line
		if want == "" {
			require.Nil(t, r.Error, "%+v", r)
			assert.NotEmpty(t, *r.WorkloadID)
			continue
		}
		require.NotNil(t, r.Error, "line %d", r.Line)
		assert.Contains(t, r.Error.Message, want, "line %d", r.Line)
	}
	_, stderr, code = sh.batch([]string{good, good})
	assert.Equal(t, exitDone, code, stderr)
	_, stderr, code = sh.batch(nil)
	assert.Equal(t, exitDone, code)
	assert.Contains(t, stderr, "submitted 0 of 0 lines")
}

func TestBatch_WhenRunAgainWithItsPrefix_SubmitsOnce(t *testing.T) {
	sh, _, _ := shells(t)
	lines := make([]string, 1500)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"workload_type":"nobodys","input_params":{"n":%d}}`, i)
	}
	first, stderr, code := sh.batch(lines, "--key-prefix", "nightly")
	require.Equal(t, exitDone, code, stderr)
	again, stderr, code := sh.batch(lines, "--key-prefix", "nightly")
	require.Equal(t, exitDone, code, stderr)
	require.Len(t, again, len(lines))
	for i := range lines {
		assert.Equal(t, i+1, first[i].Line)
		assert.Equal(t, first[i].WorkloadID, again[i].WorkloadID)
	}
	var q niyanta.QueueDepth
	sh.json(&q, "stats", "queue")
	assert.Equal(t, len(lines), q.QueueDepth)
}

func TestBatch_WhenTheQueueIsFull_WaitsForRoom(t *testing.T) {
	_, admin, c := shells(t)
	var cust niyanta.Customer
	admin.json(&cust, "customer", "create", "Small", "--max-queued", "3", "--max-running", "1")
	var key niyanta.NewKey
	admin.json(&key, "key", "create", cust.CustomerID)
	sh := shell{t, c.url, key.Key}
	lines := make([]string, 8)
	for i := range lines {
		lines[i] = `{"workload_type":"sleep","input_params":{"duration_ms":1}}`
	}
	results, stderr, code := sh.batch(lines)
	require.Equal(t, exitDone, code, stderr)
	require.Len(t, results, len(lines))
	assert.Contains(t, stderr, "the queue is full: 5 lines of lines 1 to 8 wait for room")
	for _, r := range results {
		c.eventually(func() bool { return c.getAs(key.Key, *r.WorkloadID).Status == "COMPLETED" }, "the queue is empty")
	}

	waiting := strings.ReplaceAll(strings.Join(lines, "\n"), "sleep", "nobodys")
	results, stderr, code = sh.batch([]string{waiting}, "--retry-for", "2s")
	assert.Equal(t, exitError, code)
	assert.Contains(t, stderr, "submitted 3 of 8 lines, 5 refused")
	assert.Equal(t, niyanta.CodeUnavailable, results[7].Error.Code)
}

func TestBatch_WhenTheServerRefusesAWholeRequest_FindsTheLine(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		if strings.Contains(string(body), "poison") {
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, `{"error":{"code":"INTERNAL_ERROR","message":"oh","details":{},"request_id":"r"}}`)
			return
		}
		var in struct{ Workloads []json.RawMessage }
		assert.NoError(t, json.Unmarshal(body, &in))
		results := strings.TrimSuffix(strings.Repeat(`{"workload_id":"wl","status":"PENDING"},`, len(in.Workloads)), ",")
		_, _ = io.WriteString(w, `{"results":[`+results+`]}`)
	}))
	defer server.Close()
	lines := make([]string, 2100)
	for i := range lines {
		lines[i] = `{"workload_type":"a","input_params":{}}`
	}
	lines[1234] = `{"workload_type":"poison","input_params":{}}`
	results, stderr, code := shell{t, server.URL, "k"}.batch(lines)
	assert.Equal(t, exitError, code)
	assert.Contains(t, stderr, "submitted 2099 of 2100 lines, 1 refused")
	require.Len(t, results, len(lines))
	for i, r := range results {
		assert.Equal(t, i == 1234, r.Error != nil, "line %d", r.Line)
	}
	assert.Less(t, requests.Load(), int32(30), "the bad line is found by halving, not one by one")
}

func TestBatch_WhenTheKeyIsRefused_StopsAndSaysWhere(t *testing.T) {
	sh, _, _ := shells(t)
	results, stderr, code := shell{t, sh.url, "wrong"}.batch([]string{`{"workload_type":"a","input_params":{}}`})
	assert.Equal(t, exitError, code)
	assert.Empty(t, results)
	assert.Contains(t, stderr, "stopped at line 1: UNAUTHORIZED")
	_, _, code = sh.batch(nil, "/no/such/file")
	assert.Equal(t, exitUsage, code)
}
