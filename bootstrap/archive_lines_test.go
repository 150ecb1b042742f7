package bootstrap

import (
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/blob"
	compressor "github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/archiving"
	"github.com/niyanta/niyanta/core/services/retention"
)

// TestArchive_OfAWorkload_HasALineThatSaysWhatTheAPISaid compares the line of a workload with the
// answer to GET /v1/workloads/{id}, on each storage.
func TestArchive_OfAWorkload_HasALineThatSaysWhatTheAPISaid(t *testing.T) {
	for name, on := range map[string]backing{StoreMemory: memoryBacking, StorePostgres: postgresBacking} {
		t.Run(name, func(t *testing.T) { archivedLine(t, newAgingAPI(t, on)) })
	}
}

func archivedLine(t *testing.T, a *agingAPI) {
	t.Helper()
	body := shell("echo ü; exit 3")
	body["labels"], body["max_retries"], body["priority"] = map[string]any{"run": "nightly"}, 0, 7
	ids := []string{
		a.submit(body),
		a.submit(map[string]any{"workload_type": "sleep", "input_params": map[string]any{"duration_ms": 1, "steps": 1}}),
	}
	for _, id := range ids {
		require.Equal(t, 200, a.call("GET", "/v1/workloads/"+id+"?wait=30s", a.dev.CustomerKey, nil).status)
	}
	a.archive(len(ids))
	a.advance(32 * 24 * time.Hour)
	want := map[string]map[string]any{}
	for _, id := range ids {
		ans := a.call("GET", "/v1/workloads/"+id, a.dev.CustomerKey, nil)
		require.Equal(t, 200, ans.status, ans.body)
		said := map[string]any{}
		ans.decode(t, &said)
		want[id] = said
	}
	lines := a.writeArchive(t)
	require.Len(t, lines, len(ids))
	for _, line := range lines {
		said := want[line["workload_id"].(string)]
		require.NotEmpty(t, said)
		delete(line, "schema")
		delete(line, "config_id")
		delete(line, "executed_seconds")
		for field, is := range line {
			require.Contains(t, said, field, "a line has the names of the API")
			assert.Equal(t, instantOf(said[field]), instantOf(is), field)
		}
		for _, field := range []string{
			"workload_id", "customer_id", "status", "labels", "input_params", "result_data", "error_message", "error_type",
			"created_at", "completed_at", "archived_at", "retry_of",
		} {
			assert.Contains(t, line, field)
		}
	}
}

// instantOf returns a time if the value is one. The API cuts times to milliseconds.
func instantOf(v any) any {
	if s, ok := v.(string); ok {
		if at, err := time.Parse(time.RFC3339Nano, s); err == nil {
			return at.Truncate(time.Millisecond).UTC()
		}
	}
	return v
}

// writeArchive has the archive written to a folder and dropped, and returns its lines.
func (a *agingAPI) writeArchive(t *testing.T) (lines []map[string]any) {
	t.Helper()
	files, err := blob.OpenFiles(t.TempDir())
	require.NoError(t, err)
	t.Cleanup(func() { _ = files.Close() })
	z, err := compressor.New()
	require.NoError(t, err)
	host := a.dev.App.host
	r := retention.New(domain.Retention{Archive: time.Hour}, retention.Deps{
		Retention: a.stores.Retention, Observer: host.Observer, Clock: host.Clock, Leader: a.dev.App.coordinator.Leadership,
		Archive: archiving.New(archiving.Deps{
			Blobs: files, Retention: a.stores.Retention, Customers: a.stores.Customers, Compressor: z, Observer: host.Observer,
		}),
	})
	require.Eventually(t, func() bool {
		_, err := r.Tick(t.Context())
		assert.NoError(t, err)
		_, found, err := a.stores.Retention.ArchivedMonth(t.Context(), time.Time{})
		return assert.NoError(t, err) && !found
	}, 30*time.Second, 5*time.Millisecond)
	all, err := files.List(t.Context(), "workloads/", "", 100)
	require.NoError(t, err)
	for _, b := range all {
		r, _, err := files.Get(t.Context(), b.Key)
		require.NoError(t, err)
		d, err := zstd.NewReader(r)
		require.NoError(t, err)
		for j := json.NewDecoder(d); ; {
			var line map[string]any
			err := j.Decode(&line)
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			lines = append(lines, line)
		}
		d.Close()
	}
	return lines
}
