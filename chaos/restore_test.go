package chaos_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A backup is taken under load. Later the database is lost, and the set goes on from the backup: what
// was acknowledged before the backup is there and finishes, and no invariant is broken.
func TestRestore_OfABackupUnderLoad_LosesOnlyWhatCameAfterIt(t *testing.T) {
	f := newFleet(t, build(t, ".."), []string{
		"NIYANTA_HEARTBEAT_INTERVAL=400ms", "NIYANTA_WORKER_LEASE=2s", "NIYANTA_LEADER_TTL=2s",
	})
	ctx, stop := context.WithCancel(t.Context())
	h, v := newHistory(), &verdict{}
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	background.Go(func() { f.supervise(ctx) })
	load := f.startLoad(ctx, h, "before")
	accepted := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.accepted)
	}
	require.Eventually(t, func() bool { return accepted() > 60 }, time.Minute, 20*time.Millisecond)
	h.mu.Lock()
	before, began := maps.Clone(h.accepted), time.Now()
	h.mu.Unlock()
	require.NoError(t, f.pg.Backup())
	require.Eventually(t, func() bool { return accepted() > len(before)+60 }, time.Minute, 20*time.Millisecond)
	load()

	// Everything ends before the restore: generations that were given after the backup are given again.
	all := slices.Concat(f.workers, f.coordinators)
	for _, p := range all {
		p.keepDown()
		p.signal(syscall.SIGKILL, machine)
	}
	f.pg.Stop(true)
	require.NoError(t, f.pg.Restore())
	f.direct.Reset()
	lost := f.forgetLost(ctx, h, began)
	for key := range lost {
		assert.NotContains(t, before, key, "it was acknowledged before the backup")
	}
	require.NotEmpty(t, lost, "nothing was acknowledged after the backup: the test shows nothing")
	for _, p := range all {
		p.awaitEnd(0)
	}

	load = f.startLoad(ctx, h, "after")
	for key := range lost { // a client that sends them again gets new workloads
		require.NotEmpty(t, f.submit(ctx, h, key, submission("sleep", `{"duration_ms":0}`)))
	}
	sleep(ctx, 3*time.Second)
	load()
	if left := f.finish(ctx, 5*time.Minute); left > 0 {
		v.fail("I3: %d workloads are not final five minutes after the restore", left)
	}
	checked := f.check(ctx, h, v)
	stop()
	background.Wait()
	assert.Empty(t, v.violations)
	t.Logf("%d acknowledged before the backup, %d lost after it; %d workloads checked", len(before), len(lost), checked)
}

// startLoad submits workloads in the background, until the function that it returns is called.
func (f *fleet) startLoad(ctx context.Context, h *history, name string) (stop func()) {
	loading, cancel := context.WithCancel(ctx)
	var load sync.WaitGroup
	for c := range clients {
		load.Go(func() {
			f.load(loading, h, fmt.Sprint(name, "-", c), uint64(c), 1<<20, time.Second) //nolint:gosec // small
		})
	}
	return func() {
		cancel()
		load.Wait()
	}
}

// forgetLost forgets what was acknowledged after the backup and is not in it. It returns what it
// forgot, by key. The sink is reset as docs/operations/backup.md says: it takes the generations of
// the restored database for the newest.
func (f *fleet) forgetLost(ctx context.Context, h *history, began time.Time) (lost map[string]string) {
	f.t.Helper()
	rows, err := f.direct.Query(ctx, "SELECT workload_id, generation FROM workloads")
	require.NoError(f.t, err)
	restored := map[string]int64{}
	var id string
	var generation int64
	_, err = pgx.ForEachRow(rows, []any{&id, &generation}, func() error { restored[id] = generation; return nil })
	require.NoError(f.t, err)
	lost = map[string]string{}
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, id := range h.accepted {
		if _, there := restored[id]; !there {
			lost[key] = id
			delete(h.accepted, key)
		}
	}
	for id, at := range h.cancelled {
		if at.After(began) {
			delete(h.cancelled, id)
		}
	}
	f.sink.mu.Lock()
	defer f.sink.mu.Unlock()
	f.sink.newest, f.sink.last = restored, map[string]time.Time{}
	return lost
}
