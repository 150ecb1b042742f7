package niyanta_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// bulkServer answers bulk operations: one result for each id, or three pages of two for a filter. Of
// each page, it acts and cuts the connection first.
type bulkServer struct {
	*httptest.Server

	mu     sync.Mutex
	bodies []map[string]any
	keys   []string
	paths  []string
}

func newBulkServer(t *testing.T) *bulkServer {
	t.Helper()
	s := &bulkServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in map[string]any
		assert.NoError(t, json.NewDecoder(r.Body).Decode(&in))
		s.mu.Lock()
		defer s.mu.Unlock()
		key := r.Header.Get("Idempotency-Key")
		if !slices.Contains(s.keys, key) {
			s.keys = append(s.keys, key)
			panic(http.ErrAbortHandler)
		}
		s.bodies, s.paths = append(s.bodies, in), append(s.paths, r.URL.Path)
		n, next := 2, "null"
		if ids, ok := in["workload_ids"].([]any); ok {
			n = len(ids)
		} else if at, _ := in["cursor"].(string); len(at) < 2 {
			next = fmt.Sprintf("%q", at+"c")
		}
		results := make([]map[string]any, n)
		for i := range results {
			results[i] = map[string]any{"workload_id": fmt.Sprint("wl_", i), "status": "CANCELLED"}
		}
		b, err := json.Marshal(results)
		assert.NoError(t, err)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"matched":6,"applied":2,"dry_run":false,"results":%s,
			"pagination":{"limit":1000,"has_more":%t,"next_cursor":%s}}`, b, next != "null", next)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestBulk_GoesThroughAllPages_EachWithAKeyOfItsOwn(t *testing.T) {
	ids := make([]string, 2500)
	for i := range ids {
		ids[i] = fmt.Sprint("wl_", i)
	}
	for name, x := range map[string]struct {
		bulk    niyanta.Bulk
		results int
		pages   int
	}{
		"ids":    {niyanta.Bulk{WorkloadIDs: ids, Reason: "r"}, 2500, 3},
		"filter": {niyanta.Bulk{Filter: &niyanta.BulkFilter{WorkloadType: new("sleep")}, DryRun: true}, 6, 3},
		"none":   {niyanta.Bulk{WorkloadIDs: []string{}}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newBulkServer(t)
			c, err := niyanta.NewClient(s.URL, "key")
			require.NoError(t, err)
			defer c.Close()
			results, err := niyanta.Collect(c.CancelMany(t.Context(), x.bulk))
			require.NoError(t, err)
			assert.Len(t, results, x.results)
			assert.Len(t, s.bodies, x.pages)
			assert.Len(t, s.keys, x.pages, "a page that is sent again has the same key")
			for i, body := range s.bodies {
				switch name {
				case "ids":
					assert.Len(t, body["workload_ids"], min(1000, 2500-i*1000))
					assert.Equal(t, "r", body["reason"])
				case "filter":
					assert.Equal(t, map[string]any{"workload_type": "sleep"}, body["filter"])
					assert.Equal(t, true, body["dry_run"])
				}
			}
		})
	}
	s := newBulkServer(t)
	c, err := niyanta.NewClient(s.URL, "key")
	require.NoError(t, err)
	defer c.Close()
	one := niyanta.Bulk{WorkloadIDs: ids[:1], FromScratch: true}
	for _, many := range []iter.Seq2[niyanta.BulkResult, error]{
		c.PauseMany(t.Context(), one), c.ResumeMany(t.Context(), one), c.RetryMany(t.Context(), one),
	} {
		_, err := niyanta.Collect(many)
		require.NoError(t, err)
	}
	const base = "/v1/workloads/batch/"
	assert.Equal(t, []string{base + "pause", base + "resume", base + "retry"}, s.paths)
	assert.Nil(t, s.bodies[0]["from_scratch"], "which only a retry may say")
	assert.Equal(t, true, s.bodies[2]["from_scratch"])
}

func TestItemError_IsTheErrorOfACall(t *testing.T) {
	var e *niyanta.ItemError
	require.NoError(t, e.Err())
	text := `{"code":"SERVICE_UNAVAILABLE","message":"full","details":{"retry_after":7,"field":"f"}}`
	require.NoError(t, json.Unmarshal([]byte(text), &e))
	require.ErrorIs(t, e.Err(), niyanta.ErrUnavailable)
	var err *niyanta.Error
	require.ErrorAs(t, e.Err(), &err)
	assert.Equal(t, 7*time.Second, err.RetryAfter)
	assert.Equal(t, "f", err.Field)
}

func TestBulk_OnAServer_DoesAndTells(t *testing.T) {
	server := exampleServer()
	defer func() { assert.NoError(t, server.Close()) }()
	c, err := niyanta.NewClient(server.URL, server.CustomerKey)
	require.NoError(t, err)
	defer c.Close()
	ctx := t.Context()
	waiting := niyanta.BatchSubmission{
		Submission: niyanta.Submission{WorkloadType: "count", InputParams: json.RawMessage(`{}`)},
	}
	once := waiting
	once.IdempotencyKey = new("once")
	first, err := c.SubmitBatch(ctx, []niyanta.BatchSubmission{once, waiting, waiting}, "")
	require.NoError(t, err)
	again, err := c.SubmitBatch(ctx, []niyanta.BatchSubmission{once}, "")
	require.NoError(t, err)
	assert.Equal(t, *first[0].WorkloadID, *again[0].WorkloadID)

	all := niyanta.Bulk{Filter: &niyanta.BulkFilter{}}
	dry := all
	dry.DryRun = true
	for _, want := range []struct {
		bulk niyanta.Bulk
		left int
	}{{dry, 3}, {all, 0}} {
		results, err := niyanta.Collect(c.CancelMany(ctx, want.bulk))
		require.NoError(t, err)
		require.Len(t, results, 3)
		pending, err := niyanta.Collect(c.Workloads(ctx, niyanta.ListParams{
			Status: &[]niyanta.Status{niyanta.StatusPending},
		}))
		require.NoError(t, err)
		assert.Len(t, pending, want.left)
	}
	_, err = c.Cancel(ctx, *first[0].WorkloadID, "", "")
	require.ErrorIs(t, err, niyanta.ErrInvalidState)
	a, err := c.Retry(ctx, *first[0].WorkloadID, niyanta.RetryOptions{})
	require.NoError(t, err)
	w, err := c.Get(ctx, a.WorkloadID)
	require.NoError(t, err)
	assert.Equal(t, first[0].WorkloadID, w.RetryOf)
	results, err := niyanta.Collect(c.RetryMany(ctx, niyanta.Bulk{WorkloadIDs: []string{a.WorkloadID}}))
	require.NoError(t, err)
	require.ErrorIs(t, results[0].Error.Err(), niyanta.ErrInvalidState)
}
