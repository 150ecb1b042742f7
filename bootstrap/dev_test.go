package bootstrap

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/niyanta/niyanta/contracttests/apispec"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// parallel is the number of parallel tests that run at once. These are tests that mostly wait.
const parallel = "8"

// TestMain also checks every answer that a client in this process reads against the OpenAPI file.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", parallel); err != nil { // the command line may say otherwise
		panic(err)
	}
	os.Exit(apispec.Main(func() int { return servers.Run(m, func() error { return goleak.Find() }) }))
}

// startDev starts a development server on a free port. Its customer has no limits.
func startDev(t *testing.T, workers int, change ...func(*Config)) (*Dev, *niyanta.Client) {
	t.Helper()
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_WORKER_SLOTS=50"})
	require.NoError(t, err)
	for _, c := range change {
		c(&cfg)
	}
	require.NoError(t, cfg.Validate(RoleDev))
	d, err := NewDev(context.Background(), cfg, workers, "test", silent)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close(context.Background())) })
	admin, err := niyanta.NewClient(d.App.URL(), d.AdminKey)
	require.NoError(t, err)
	const many = 100_000
	_, err = admin.UpdateCustomer(t.Context(), string(DevCustomer), niyanta.CustomerPatch{Limits: &niyanta.LimitsPatch{
		RateLimitPerSec: niyanta.To(float64(many)), Burst: niyanta.To(many), MaxQueueDepth: niyanta.To(many),
		MaxConcurrentWorkloads: niyanta.To(many),
	}})
	require.NoError(t, err)
	c, err := niyanta.NewClient(d.App.URL(), d.CustomerKey)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close(); admin.Close() })
	return d, c
}

// paths holds the legal audit paths: for each event, the states that it may find and lead to.
var paths = map[string][2][]string{
	"workload.created":            {{""}, {"PENDING"}},
	"workload.scheduled":          {{"PENDING", "REDISTRIBUTING"}, {"SCHEDULED"}},
	"workload.started":            {{"SCHEDULED"}, {"RUNNING"}},
	"workload.declined":           {{"SCHEDULED"}, {"PENDING"}},
	"workload.progress_updated":   {{"RUNNING"}, {"RUNNING"}},
	"workload.checkpoint_created": {{"RUNNING"}, {"RUNNING"}},
	"workload.checkpoint_skipped": {{"SCHEDULED", "RUNNING"}, {"SCHEDULED", "RUNNING"}},
	"workload.pause_requested":    {{"RUNNING"}, {"RUNNING"}},
	"workload.paused":             {{"RUNNING"}, {"PAUSED"}},
	"workload.resumed":            {{"PAUSED"}, {"PENDING"}},
	"workload.completed":          {{"SCHEDULED", "RUNNING"}, {"COMPLETED"}},
	"workload.cancelled":          {{"PENDING", "SCHEDULED", "RUNNING", "PAUSED", "REDISTRIBUTING"}, {"CANCELLED"}},
	"workload.released":           {{"SCHEDULED", "RUNNING"}, {"REDISTRIBUTING"}},
	"workload.redistributed":      {{"SCHEDULED", "RUNNING"}, {"REDISTRIBUTING"}},
}

// requireLegal checks that the audit trail is a connected path of legal events, and that it ends in
// the workload's state.
func requireLegal(t *testing.T, c *niyanta.Client, id string, want niyanta.Status) {
	t.Helper()
	events, err := niyanta.Collect(c.Audit(t.Context(), id))
	require.NoError(t, err)
	state := ""
	generation := int64(0)
	for _, e := range events {
		from := ""
		if e.Details.From != nil {
			from = string(*e.Details.From)
		}
		require.Equal(t, state, from, "%s: %s does not continue the path", id, e.EventType)
		legal, ok := paths[e.EventType]
		require.True(t, ok, "%s: %s", id, e.EventType)
		state = string(e.Details.To)
		require.Contains(t, legal[0], from, "%s: %s", id, e.EventType)
		require.Contains(t, legal[1], state, "%s: %s", id, e.EventType)
		require.GreaterOrEqual(t, e.Details.Generation, generation)
		generation = e.Details.Generation
	}
	require.Equal(t, string(want), state)
}

func sleepers(n, ms, steps int) []niyanta.Submission {
	subs := make([]niyanta.Submission, n)
	for i := range subs {
		subs[i] = niyanta.Submission{
			WorkloadType: "sleep", InputParams: json.RawMessage(fmt.Sprintf(`{"duration_ms":%d,"steps":%d}`, ms,
				steps)),
		}
	}
	return subs
}

func submitAll(t *testing.T, c *niyanta.Client, subs []niyanta.Submission) []string {
	t.Helper()
	var ids []string
	for chunk := range slices.Chunk(subs, 1000) {
		batch := make([]niyanta.BatchSubmission, len(chunk))
		for i := range chunk {
			batch[i].Submission = chunk[i]
		}
		rs, err := c.SubmitBatch(t.Context(), batch, "")
		require.NoError(t, err)
		for _, r := range rs {
			require.Nil(t, r.Error)
			ids = append(ids, *r.WorkloadID)
		}
	}
	return ids
}

// final waits until a workload is final.
func final(t *testing.T, c *niyanta.Client, id string) niyanta.Workload {
	t.Helper()
	for range 3 {
		w, err := c.Wait(t.Context(), id, 20*time.Second)
		require.NoError(t, err)
		if slices.Contains([]niyanta.Status{"COMPLETED", "FAILED", "CANCELLED"}, w.Status) {
			return w
		}
	}
	require.Fail(t, "not final in a minute", id)
	return niyanta.Workload{}
}

func TestDev_FiveHundredWorkloadsWithRandomActions_EndAsTheyShould(t *testing.T) {
	_, c := startDev(t, 2)
	rng := rand.New(rand.NewPCG(1, 2))
	subs := append(sleepers(40, 600, 20), sleepers(440, 10, 1)...)
	doomed := rng.Perm(40)[:20]
	for _, k := range doomed {
		subs[k] = sleepers(1, 600_000, 20)[0] // it does not end before it is cancelled
	}
	ids := submitAll(t, c, subs)
	cancelled := map[string]bool{}
	for _, k := range doomed {
		a, err := c.Cancel(t.Context(), ids[k], "test", "")
		require.NoError(t, err)
		require.Equal(t, niyanta.Status("CANCELLED"), a.Status)
		cancelled[ids[k]] = true
	}
	paused := 0
	for range 20 {
		one := sleepers(1, 2000, 20) // each comes only now, so that a slow machine finds it running, too
		one[0].Priority = new(1000)
		id := submitAll(t, c, one)[0]
		ids = append(ids, id)
		require.Eventually(t, func() bool {
			w, err := c.Get(t.Context(), id)
			return err == nil && w.Status != "PENDING" && w.Status != "SCHEDULED"
		}, 30*time.Second, time.Millisecond)
		a, err := c.Pause(t.Context(), id, "test")
		if err != nil {
			continue // has finished
		}
		require.Equal(t, niyanta.Status("PAUSED"), a.Status)
		paused++
		a, err = c.Resume(t.Context(), id, "test")
		require.NoError(t, err)
		require.Equal(t, niyanta.Status("PENDING"), a.Status)
	}
	assert.Positive(t, paused)
	for _, id := range ids {
		w := final(t, c, id)
		want := niyanta.Status("COMPLETED")
		if cancelled[id] {
			want = "CANCELLED"
		}
		require.Equal(t, want, w.Status, "%s: %v", id, w.ErrorMessage)
		requireLegal(t, c, id, want)
	}
}

func TestPause_WhenResumed_ContinuesFromTheCheckpoint(t *testing.T) {
	t.Parallel()
	_, c := startDev(t, 1)
	id := submitAll(t, c, sleepers(1, 4000, 20))[0]
	require.Eventually(t, func() bool {
		w, err := c.Get(t.Context(), id)
		return err == nil && w.ProgressPercent >= 25
	}, 30*time.Second, 5*time.Millisecond)
	a, err := c.Pause(t.Context(), id, "")
	require.NoError(t, err)
	require.Equal(t, niyanta.Status("PAUSED"), a.Status)
	require.Positive(t, a.CheckpointSequence)
	_, err = c.Resume(t.Context(), id, "")
	require.NoError(t, err)
	w := final(t, c, id)
	require.Equal(t, niyanta.Status("COMPLETED"), w.Status)
	require.Equal(t, int64(2), w.Generation)
	var out struct {
		ResumedFromStep int `json:"resumed_from_step"`
	}
	require.NoError(t, json.Unmarshal(w.ResultData, &out))
	require.GreaterOrEqual(t, out.ResumedFromStep, 5)
}

func TestCheckpoint_RunningWorkload_IsDurableSoonAfterItIsAskedFor(t *testing.T) {
	t.Parallel()
	_, c := startDev(t, 1)
	id := submitAll(t, c, sleepers(1, 60_000, 6000))[0]
	require.Eventually(t, func() bool {
		w, err := c.Get(t.Context(), id)
		return err == nil && w.Status == "RUNNING" && w.ProgressPercent > 0
	}, 30*time.Second, 5*time.Millisecond)
	a, err := c.Checkpoint(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, niyanta.Status("RUNNING"), a.Status)
	require.Zero(t, a.CheckpointSequence, "the interval is 5 minutes: nothing else saves one")
	require.Eventually(t, func() bool {
		w, err := c.Get(t.Context(), id)
		return err == nil && w.CheckpointSequence == 1
	}, 30*time.Second, 5*time.Millisecond)
	_, err = c.Cancel(t.Context(), id, "", "")
	require.NoError(t, err)
	_, err = c.Checkpoint(t.Context(), id)
	require.ErrorIs(t, err, niyanta.ErrInvalidState)
	var e *niyanta.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "CANCELLED", e.Details["status"])
}

func TestDrain_RunningWork_ContinuesOnAnotherWorker(t *testing.T) {
	t.Parallel()
	d, c := startDev(t, 2)
	ids := submitAll(t, c, sleepers(10, 4000, 40))
	admin, err := niyanta.NewClient(d.App.URL(), d.AdminKey)
	require.NoError(t, err)
	t.Cleanup(admin.Close)
	require.Eventually(t, func() bool {
		w, err := c.Get(t.Context(), ids[9])
		return err == nil && w.ProgressPercent >= 20
	}, 30*time.Second, 5*time.Millisecond)
	_, err = admin.DrainWorker(t.Context(), "dev-worker-1")
	require.NoError(t, err)
	moved := 0
	for _, id := range ids {
		w := final(t, c, id)
		require.Equal(t, niyanta.Status("COMPLETED"), w.Status)
		require.Zero(t, w.RedistributionCount, "a drain counts as neither failure nor loss")
		if w.Generation > 1 {
			moved++
			require.Positive(t, w.CheckpointSequence)
		}
	}
	require.Positive(t, moved)
	ws, err := niyanta.Collect(admin.Workers(t.Context()))
	require.NoError(t, err)
	require.Equal(t, "DRAINING", string(ws[0].Status))
	require.Zero(t, ws[0].CapacityUsed)
}

func TestRemove_RunningWork_ContinuesOnAnotherWorker(t *testing.T) {
	t.Parallel()
	d, c := startDev(t, 2, func(cfg *Config) { cfg.HeartbeatInterval = 200 * time.Millisecond })
	ids := submitAll(t, c, sleepers(10, 3000, 30))
	admin, err := niyanta.NewClient(d.App.URL(), d.AdminKey)
	require.NoError(t, err)
	t.Cleanup(admin.Close)
	require.Eventually(t, func() bool {
		w, err := c.Get(t.Context(), ids[9])
		return err == nil && w.ProgressPercent >= 20
	}, 30*time.Second, 5*time.Millisecond)
	require.NoError(t, admin.RemoveWorker(t.Context(), "dev-worker-1"))
	moved := 0
	for _, id := range ids {
		w := final(t, c, id)
		require.Equal(t, niyanta.Status("COMPLETED"), w.Status)
		requireLegal(t, c, id, "COMPLETED")
		if w.Generation == 2 {
			moved++
			var out struct {
				ResumedFromStep int `json:"resumed_from_step"`
			}
			require.NoError(t, json.Unmarshal(w.ResultData, &out))
			require.Positive(t, out.ResumedFromStep)
		}
	}
	require.Positive(t, moved)
}

func TestSubmit_WithRunAt_StartsWhenDue(t *testing.T) {
	_, c := startDev(t, 1)
	sub := sleepers(1, 0, 1)[0]
	due := testfiles.StartStopwatch(t)
	at := time.Now().Add(700 * time.Millisecond)
	sub.RunAt = &at
	a, err := c.Submit(t.Context(), sub, "")
	require.NoError(t, err)
	require.NotNil(t, a.EstimatedStartTime)
	w := final(t, c, a.WorkloadID)
	require.False(t, w.StartedAt.Before(at.Truncate(time.Millisecond)))
	require.Less(t, w.StartedAt.Sub(at)-due.Stalled(), 900*time.Millisecond)
}

func TestApp_WhileWorkRunsAndPollsWait_Stops(t *testing.T) {
	d, c := startDev(t, 1, func(c *Config) { c.MaxLongPollsPerCustomer = 1 })
	id := submitAll(t, c, sleepers(1, 60_000, 600))[0]
	poll := func(wait string) (status int, w niyanta.Workload) {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet,
			d.App.URL()+"/v1/workloads/"+id+"?wait="+wait, nil)
		if err != nil {
			return 0, w
		}
		req.Header.Set("Authorization", "Bearer "+d.CustomerKey)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = json.NewDecoder(resp.Body).Decode(&w) // after an error, w is empty and the test fails
			_ = resp.Body.Close()
			return resp.StatusCode, w
		}
		return 0, w
	}
	waited := make(chan niyanta.Workload, 1)
	go func() {
		status, w := poll("50s")
		for status == http.StatusServiceUnavailable { // the other poll may have the only place for a moment
			status, w = poll("50s")
		}
		waited <- w
	}()
	require.Eventually(t, func() bool { // until the first poll waits, this one gets the place
		status, _ := poll("20ms")
		return status == http.StatusServiceUnavailable
	}, 30*time.Second, 5*time.Millisecond)
	require.Eventually(t, func() bool {
		w, err := c.Get(t.Context(), id)
		return err == nil && w.Status == "RUNNING"
	}, 30*time.Second, 5*time.Millisecond)
	d.drain()
	d.worked.Wait() // workers release what they run
	w, err := c.Get(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, niyanta.Status("REDISTRIBUTING"), w.Status)
	d.App.stopping()
	require.Equal(t, niyanta.Status("REDISTRIBUTING"), (<-waited).Status)
}

func TestApp_WhenItsPortIsTaken_FailsAndLeavesNothingBehind(t *testing.T) {
	d, _ := startDev(t, 0)
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=" + strings.TrimPrefix(d.App.URL(), "http://")})
	require.NoError(t, err)
	app, err := newMemoryApp(cfg, silent)
	require.NoError(t, err)
	released := 0
	app.closeBackends = func() { released++ }
	require.ErrorContains(t, app.Start(t.Context()), "NIYANTA_HTTP_ADDR")
	assert.Equal(t, 1, released)
	_, leading := app.coordinator.Leadership.Current()
	assert.False(t, leading, "a coordinator that cannot serve must not lead")
}
