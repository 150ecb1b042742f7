package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// autoscaler starts and ends worker processes as KEDA's metrics-api scaler and the autoscaler behind it
// do: it reads a number from JSON over HTTP, divides it by a target, and sets the replicas. To end a
// worker it sends SIGTERM, and waits.
type autoscaler struct {
	f *fleet
	// url, key and path are what a ScaledObject states: url, the bearer token, and valueLocation.
	url, key, path string
	target         float64
	// window is how long fewer replicas must be desired before one is ended.
	window time.Duration

	started int
	running []*process // oldest first
	leaving []*process
	// most is the largest number of replicas so far.
	most     int
	lowSince time.Time
}

// value reads the number at the path.
func (a *autoscaler) value(ctx context.Context) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+a.key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	var v any
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return 0, err
	}
	for key := range strings.SplitSeq(a.path, ".") {
		object, ok := v.(map[string]any)
		if !ok {
			return 0, fmt.Errorf("%s: nothing at %s", a.path, key)
		}
		v = object[key]
	}
	n, ok := v.(float64)
	if !ok {
		return 0, fmt.Errorf("%s is %v, not a number", a.path, v)
	}
	return n, nil
}

// step reads the figure once and follows it.
func (a *autoscaler) step(t *testing.T) {
	t.Helper()
	v, err := a.value(t.Context())
	require.NoError(t, err)
	desired := int(math.Ceil(v / a.target))
	if desired >= len(a.running) {
		a.lowSince = time.Time{}
	} else if a.lowSince.IsZero() {
		a.lowSince = time.Now()
	}
	for len(a.running) < desired {
		p, _ := a.f.start([]string{
			"NIYANTA_COORDINATOR_URL=" + a.f.url, "NIYANTA_WORKER_KEY=" + a.f.workerKey, "NIYANTA_WORKER_SLOTS=2",
			fmt.Sprint("NIYANTA_WORKER_ID=replica-", a.started), "NIYANTA_DRAIN_TIMEOUT=30s",
		}, "worker")
		a.started++
		a.running = append(a.running, p)
		a.most = max(a.most, len(a.running))
	}
	if !a.lowSince.IsZero() && time.Since(a.lowSince) > a.window {
		last := len(a.running) - 1
		p := a.running[last]
		p.signal(t, syscall.SIGTERM)
		a.running, a.leaving = a.running[:last], append(a.leaving, p)
	}
}

// run steps until done, and says why if that takes too long.
func (a *autoscaler) run(t *testing.T, what string, done func() bool) {
	t.Helper()
	began := time.Now()
	defer func() { t.Logf("it %s: %s", what, time.Since(began).Round(time.Millisecond)) }()
	for deadline := began.Add(time.Minute); !done(); time.Sleep(50 * time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "%s: %d run, %d leave", what, len(a.running), len(a.leaving))
		a.step(t)
	}
}

func TestScaling_OfProcesses_FollowsTheLoadFromZeroAndBack(t *testing.T) {
	f := newFleet(t, `NIYANTA_POOLS=[{"name":"sleepers","types":["sleep"],"slots":2,"max_workers":4}]`)
	scaler, err := f.admin.CreateOperatorKey(t.Context(), niyanta.OperatorKeyInput{Name: "keda", Role: "scaler"})
	require.NoError(t, err)
	a := &autoscaler{
		f: f, url: f.url + "/v1/scaling", key: scaler.Key, path: "pools.sleepers.desired_workers", target: 1,
		window: 300 * time.Millisecond,
	}
	a.step(t)
	require.Empty(t, a.running, "nothing to do, nobody to do it")

	// A wave of short ones; with them some long ones, under which the fleet shrinks; then nothing.
	var ids []string
	for range 16 {
		ids = append(ids, f.submit("sleep", `{"duration_ms":400,"steps":4}`))
	}
	a.run(t, "grows", func() bool { return len(a.running) == 4 })
	var long []string
	for range 3 {
		long = append(long, f.submit("sleep", `{"duration_ms":600000,"steps":6000}`))
	}
	all := func(ids []string, status niyanta.Status) bool {
		for _, id := range ids {
			if w, err := f.client.Get(t.Context(), id); err != nil || w.Status != status {
				return false
			}
		}
		return true
	}
	a.run(t, "shrinks while work runs", func() bool {
		return len(a.leaving) > 0 && all(ids, "COMPLETED") && all(long, "RUNNING")
	})
	for _, id := range long {
		_, err := f.client.Cancel(t.Context(), id, "enough", "")
		require.NoError(t, err)
	}
	a.run(t, "shrinks to nothing", func() bool { return len(a.running) == 0 })
	assert.Equal(t, 4, a.most)

	// It grows from nothing again.
	ids = append(ids, f.submit("sleep", `{"duration_ms":10}`))
	a.run(t, "grows again", func() bool { return all(ids, "COMPLETED") })
	a.run(t, "shrinks again", func() bool { return len(a.running) == 0 })

	for _, p := range a.leaving {
		require.NoError(t, p.wait(), "each worker ended by itself, and well:\n%s", p.log)
	}
	for _, id := range append(ids, long...) {
		for e, err := range f.client.Audit(t.Context(), id) {
			require.NoError(t, err)
			assert.NotContains(t, []string{"workload.redistributed", "workload.failed", "workload.retried"}, e.EventType, id)
		}
	}
	left, err := niyanta.Collect(f.admin.Workers(t.Context()))
	require.NoError(t, err)
	assert.Empty(t, left, "no worker was declared dead")
}
