package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFollowLogs_FromBeforeTheFirstLine_PrintsAll has a workload that logs more lines than a page at
// once, after the first look at its log.
func TestFollowLogs_FromBeforeTheFirstLine_PrintsAll(t *testing.T) {
	const lines = 500
	var logged atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if !strings.HasSuffix(r.URL.Path, "/logs") {
			status := "RUNNING"
			if logged.Swap(true) {
				status = "COMPLETED"
			}
			_ = json.NewEncoder(w).Encode(map[string]any{"workload_id": "wl_1", "status": status})
			return
		}
		first, last := 1, 0
		limit, err := strconv.Atoi(q.Get("limit"))
		assert.NoError(t, err)
		if logged.Load() {
			if last = lines; q.Has("after") {
				after, err := strconv.Atoi(q.Get("after"))
				assert.NoError(t, err)
				first, last = after+1, min(after+limit, lines)
			} else {
				first = lines - limit + 1
			}
		}
		log := []map[string]any{}
		for seq := first; seq <= last; seq++ {
			log = append(log, map[string]any{"seq": seq, "timestamp": time.Now(), "level": "info", "generation": 1,
				"message": fmt.Sprintf("line-%d.", seq), "details": map[string]any{}})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"workload_id": "wl_1", "logs": log, "has_more": last < lines})
	}))
	defer server.Close()
	out, errs, code := shell{t, server.URL, "k"}.run("", "workload", "logs", "wl_1", "--follow")
	require.Equal(t, exitDone, code, errs)
	require.Equal(t, lines, strings.Count(out, "\n"))
	for seq := range lines {
		assert.Equal(t, 1, strings.Count(out, fmt.Sprintf(" line-%d.\n", seq+1)))
	}
}
