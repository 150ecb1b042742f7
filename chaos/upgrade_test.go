package chaos_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/dear"
	"github.com/niyanta/niyanta/contracttests/previous"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// rollout is a fleet under load whose processes are replaced, one after the other, by those of
// another version.
type rollout struct {
	*monkey
	old, new programs
	hist     *history
	proofs   int
	usurped  int // how often a coordinator led that should have followed
}

// rollouts are the orders in which processes are replaced. Each starts with the old version, and
// ends with the new one.
var rollouts = []struct {
	name  string
	smoke bool // it runs also without -whole
	do    func(r *rollout)
}{
	{"coordinators first", true, func(r *rollout) {
		r.replaceFollower(r.new) // it migrates the schema under the old leader
		r.expect(r.old, r.old)
		r.failover(syscall.SIGKILL) // the old coordinator comes back on the new schema
		r.expect(r.new, r.old)
		if dear.Whole() {
			r.failover(syscall.SIGTERM)
			r.expect(r.old, r.old)
			r.failover(syscall.SIGTERM)
			r.expect(r.new, r.old)
			r.failover(syscall.SIGKILL)
			r.expect(r.old, r.old)
			r.failover(syscall.SIGKILL)
			r.expect(r.new, r.old)
		}
		r.replaceFollower(r.new)
		r.expect(r.new, r.old)
		r.replaceWorkers(r.new)
		r.expect(r.new, r.new)
	}},
	{"workers first", false, func(r *rollout) {
		r.replaceWorkers(r.new)
		r.expect(r.old, r.new)
		r.replaceFollower(r.new)
		r.expect(r.old, r.new)
		r.failover(syscall.SIGTERM)
		r.expect(r.new, r.new)
		r.failover(syscall.SIGKILL)
		r.expect(r.old, r.new)
		r.failover(syscall.SIGKILL)
		r.expect(r.new, r.new)
		r.replaceFollower(r.new)
		r.expect(r.new, r.new)
	}},
	{"back to the old version", false, func(r *rollout) {
		r.replaceFollower(r.new)
		r.failover(syscall.SIGTERM)
		r.replaceFollower(r.new)
		r.replaceWorkers(r.new)
		r.expect(r.new, r.new)
		r.replaceWorkers(r.old) // the schema stays as it is
		r.expect(r.new, r.old)
		r.replaceFollower(r.old)
		r.failover(syscall.SIGTERM)
		r.replaceFollower(r.old)
		r.expect(r.old, r.old)
	}},
}

func TestUpgrade_WhileOldAndNewRunTogether_LosesNothing(t *testing.T) {
	before, now := build(t, previous.Source(t)), build(t, "..")
	for _, order := range rollouts {
		t.Run(order.name, func(t *testing.T) {
			if !order.smoke {
				dear.Skip(t)
			}
			upgrade(t, before, now, order.do)
		})
	}
}

// upgrade replaces processes of a fleet under load, and checks in the end that nothing was lost.
func upgrade(t *testing.T, before, now programs, do func(r *rollout)) {
	t.Helper()
	f := newFleet(t, before, []string{
		"NIYANTA_HEARTBEAT_INTERVAL=400ms", "NIYANTA_WORKER_LEASE=2s", "NIYANTA_LEADER_TTL=2s",
	})
	ctx, stop := context.WithCancel(t.Context())
	r := &rollout{monkey: &monkey{fleet: f, ctx: ctx, lease: 2 * time.Second, ttl: 2 * time.Second},
		old: before, new: now, hist: newHistory()}
	v := &verdict{}
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	background.Go(func() { f.supervise(ctx) })
	require.True(t, r.probe(ctx), "a workload must complete before the upgrade")
	background.Go(func() { f.watchLimits(ctx, v) })
	stopLoading := f.startLoad(ctx, r.hist, "c")
	r.expect(before, before)
	do(r)
	stopLoading()
	if left := f.finish(ctx, 5*time.Minute); left > 0 {
		v.fail("I3: %d workloads are not final five minutes after the upgrade", left)
	}
	checked := f.check(ctx, r.hist, v)
	stop()
	background.Wait()
	assert.Empty(t, v.violations)
	t.Logf("%d workloads, %d of them to prove a phase; %d violations", checked, r.proofs, len(v.violations))
}

// replaceFollower replaces the coordinator that does not lead, and waits until it serves.
func (r *rollout) replaceFollower(to programs) {
	r.t.Helper()
	follower := 1 - r.mustLead()
	r.coordinators[follower].replace(to.coordinator)
	r.serves(follower)
}

// failover ends the leader, and waits until the other one leads and the first one serves again.
func (r *rollout) failover(s syscall.Signal) {
	r.t.Helper()
	leader := r.mustLead()
	r.coordinators[leader].end(s, machine, 2*r.ttl)
	require.Eventually(r.t, func() bool { return r.leader() == 1-leader }, 30*time.Second, 50*time.Millisecond)
	r.serves(leader)
}

// mustLead waits for a leader, and returns its index.
func (r *rollout) mustLead() (leader int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { leader = r.leader(); return leader >= 0 }, 30*time.Second, 50*time.Millisecond)
	return leader
}

// serves waits until a coordinator is ready.
func (r *rollout) serves(coordinator int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { return ready(r.urls[coordinator]) }, 30*time.Second, 50*time.Millisecond,
		r.coordinators[coordinator].name)
}

// replaceWorkers replaces one worker after the other. While half of them are new, it proves that
// both do work.
func (r *rollout) replaceWorkers(to programs) {
	r.t.Helper()
	for n, w := range r.workers {
		w.replace(to.worker)
		if n == len(r.workers)/2-1 {
			r.prove()
		}
	}
}

// expect checks which version leads, and which version all workers have, and proves that work of
// every type is done. A leader that the machine kept from running for longer than its lease loses it: the
// other one hands the leadership back then, and the proof is made again.
func (r *rollout) expect(leader, workers programs) {
	r.t.Helper()
	for _, w := range r.workers {
		require.Equal(r.t, workers.worker, w.program(), w.name)
	}
	leads := func() bool { return r.coordinators[r.mustLead()].program() == leader.coordinator }
	for {
		if leads() {
			r.prove()
			if leads() {
				return
			}
		}
		r.usurped++
		require.LessOrEqual(r.t, r.usurped, 2, "a coordinator leads that should follow")
		r.t.Logf("the leadership has moved by itself %d times", r.usurped)
		r.failover(syscall.SIGTERM)
	}
}

// prove submits workloads of every type, and waits until all have completed, and until every worker
// has completed something since.
func (r *rollout) prove() {
	r.t.Helper()
	var since int64
	require.NoError(r.t, r.direct.QueryRow(r.ctx, "SELECT coalesce(max(audit_id), 0) FROM audit").Scan(&since))
	ids := map[string]bool{}
	submit := func(s niyanta.Submission, steps int) {
		r.proofs++
		id := r.submit(r.ctx, r.hist, fmt.Sprint("proof-", r.proofs), s)
		r.hist.mu.Lock()
		defer r.hist.mu.Unlock()
		r.hist.steps[id] = steps
		ids[id] = true
	}
	for range 8 {
		submit(submission("steps", `{"sink":%q,"steps":4,"ms":50,"fails":1}`, r.sink.url), 4) // a retry
		submit(submission("http", `{"url":%q,"body":{}}`, r.sink.url), 1)
		submit(submission("exec", `{"command":["sleep","0.1"]}`), 0)
		submit(submission("sleep", `{"duration_ms":200,"steps":2}`), 0)
	}
	done := func() bool {
		for id := range ids {
			one, cancel := call(r.ctx)
			w, err := r.client.Get(one, id)
			cancel()
			if err != nil || w.Status != "COMPLETED" {
				return false
			}
			delete(ids, id)
		}
		var working int
		err := r.direct.QueryRow(r.ctx, "SELECT count(DISTINCT worker_id) FROM audit "+
			"WHERE type = 'workload.completed' AND audit_id > $1", since).Scan(&working)
		return err == nil && working == len(r.workers)
	}
	require.Eventually(r.t, done, time.Minute, 50*time.Millisecond, "not all work is done, or not by every worker")
}

// ready reports whether a coordinator is ready.
func ready(url string) bool {
	resp, err := (&http.Client{Timeout: time.Second}).Get(url + "/ready")
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
