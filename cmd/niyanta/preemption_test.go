package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestWorker_OnAPreemptionNotice_CheckpointsAndReleasesEverything(t *testing.T) {
	c := newFleet(t)
	file := filepath.Join(t.TempDir(), "notice")
	var announced atomic.Bool
	cloud := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if announced.Load() {
			_, _ = w.Write([]byte("TRUE"))
		} else {
			_, _ = w.Write([]byte("FALSE"))
		}
	}))
	t.Cleanup(cloud.Close)
	start := func(id, notice string) *process {
		p, _ := c.start([]string{
			"NIYANTA_COORDINATOR_URL=" + c.url, "NIYANTA_WORKER_KEY=" + c.workerKey, "NIYANTA_WORKER_ID=" + id,
			"NIYANTA_PREEMPT_NOTICE=" + notice, "NIYANTA_PREEMPT_WITHIN=10s",
		}, "worker")
		return p
	}
	runsOn := func(id, worker string) func() bool {
		return func() bool {
			w := c.get(id)
			return w.Status == "RUNNING" && w.WorkerID != nil && *w.WorkerID == worker && w.CheckpointSequence > 1
		}
	}
	long := c.submit("sleep", `{"duration_ms":60000,"steps":1200}`)
	var before *process
	for _, by := range []struct {
		id, notice string
		give       func(*process)
	}{
		{"by-file", "file:" + file, func(*process) { require.NoError(t, os.WriteFile(file, nil, 0o600)) }},
		{"by-cloud", cloud.URL, func(*process) { announced.Store(true) }},
		{"by-signal", "signal:USR1", func(p *process) { p.signal(t, syscall.SIGUSR1) }},
	} {
		p := start(by.id, by.notice)
		c.eventually(runsOn(long, by.id), "it runs on "+by.id)
		if before != nil {
			require.NoError(t, before.wait(), "%s", before.log)
		}
		saved := c.get(long).CheckpointSequence
		began := testfiles.StartStopwatch(t)
		by.give(p)
		require.NoError(t, p.wait(), "%s", p.log)
		assert.Less(t, began.Took(), 10*time.Second, "within the notice")
		assert.Contains(t, p.log.String(), "will be taken away")
		w := c.get(long)
		assert.NotEqual(t, niyanta.Status("RUNNING"), w.Status, "it is released")
		assert.GreaterOrEqual(t, w.CheckpointSequence, saved)
		before = p
	}
	for e, err := range c.client.Audit(t.Context(), long) {
		require.NoError(t, err)
		assert.NotEqual(t, "workload.redistributed", e.EventType, "nothing was lost")
	}

	// Whoever starts a worker on the machine that is about to go, gets none that takes work.
	again := start("by-file", "file:"+file)
	c.eventually(func() bool { return strings.Contains(again.log.String(), "does not start") }, "it says why it waits")
	ws, err := niyanta.Collect(c.admin.Workers(t.Context()))
	require.NoError(t, err)
	assert.Empty(t, ws)
	require.NoError(t, os.Remove(file))
	c.eventually(runsOn(long, "by-file"), "the notice was taken back")
}
