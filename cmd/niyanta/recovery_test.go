//go:build recovery

package main

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// TestRecoveryTimes_WithDefaults measures how long recovery takes, with every default in force.
// `make recovery` takes about five minutes and prints the figures of docs/RELIABILITY.md.
func TestRecoveryTimes_WithDefaults(t *testing.T) {
	durable, err := servers.StartPostgres(true)
	require.NoError(t, err)
	t.Cleanup(durable.Remove)
	p := newProductionOn(t, "nats", durable)
	p.startWorker("w1", "NIYANTA_WORKER_SLOTS=20")
	say := func(what string, took time.Duration, limit time.Duration) {
		fmt.Printf("| %s | %.1f s | %s |\n", what, took.Seconds(), limit)
		assert.Less(t, took, limit, what)
	}

	_, err = p.client.CreateConfig(t.Context(), niyanta.ConfigInput{WorkloadType: "sleep", CheckpointIntervalSec: new(2)})
	require.NoError(t, err)

	// A worker that runs 20 checkpointing workloads is killed.
	var ids []string
	for range 20 {
		ids = append(ids, p.submit("sleep", `{"duration_ms":600000,"steps":600}`))
	}
	p.eventuallyWithin(30*time.Second, func() bool { return p.all(ids, 1, 2) }, "all run and have saved")
	p.startWorker("w2", "NIYANTA_WORKER_SLOTS=20")
	begin := time.Now()
	p.workers["w1"].signal(t, syscall.SIGKILL)
	p.eventuallyWithin(time.Minute, func() bool { return p.all(ids, 2, 2) }, "all run elsewhere")
	say("worker SIGKILL, 20 workloads: all running elsewhere", time.Since(begin), 2*time.Second)
	for _, id := range ids {
		require.GreaterOrEqual(t, p.get(id).CheckpointSequence, int64(2), "from their checkpoints")
	}

	// The worker that has them now is frozen for a minute, and wakes up.
	shell := p.submitWith("exec", `{"command":["sh","-c","echo $$; exec sleep 300"]}`, "")
	_, err = p.client.Cancel(t.Context(), ids[0], "makes room", "")
	require.NoError(t, err)
	pid := p.pidOf(shell, 1)
	p.startWorker("w3", "NIYANTA_WORKER_SLOTS=20")
	begin = time.Now()
	p.workers["w2"].vanish(t, syscall.SIGSTOP)
	p.eventuallyWithin(time.Minute, func() bool { return p.all(ids[1:], 3, 2) }, "all run elsewhere")
	say("worker and supervisor SIGSTOP: all running elsewhere", time.Since(begin), 12*time.Second)
	time.Sleep(time.Minute - time.Since(begin))
	begin = time.Now()
	p.workers["w2"].vanish(t, syscall.SIGCONT)
	p.eventuallyWithin(20*time.Second, func() bool { return !alive(pid) }, "its programs are gone")
	say("it wakes after a minute: its programs are gone", time.Since(begin), 5*time.Second)
	time.Sleep(5 * time.Second)
	require.True(t, p.all(ids[1:], 3, 2), "nothing of it landed")

	// The leader is killed; then the next one leaves gracefully.
	first := p.leader()
	p.url = p.urls[1-first]
	p.client, p.admin = p.rekey()
	begin = time.Now()
	p.coordinators[first].signal(t, syscall.SIGKILL)
	p.submitUntilDone()
	say("leader SIGKILL: new work is scheduled", time.Since(begin), 5*time.Second)
	_ = p.coordinators[first].wait()
	require.True(t, p.all(ids[1:], 3, 2), "a failover redistributes nothing")
	old := p.coordinators[1-first]
	p.startCoordinators() // two more; the one that is left leads
	p.client, p.admin = p.rekey()
	begin = time.Now()
	old.signal(t, syscall.SIGTERM)
	p.submitUntilDone()
	say("leader SIGTERM: new work is scheduled", time.Since(begin), 500*time.Millisecond)
	require.NoError(t, old.wait())
	require.True(t, p.all(ids[1:], 3, 2), "a graceful failover redistributes nothing either")

	// The leader and the worker that has them are killed together.
	leader := p.leader()
	p.url = p.urls[1-leader]
	p.startWorker("w4", "NIYANTA_WORKER_SLOTS=40")
	p.workers["w2"].signal(t, syscall.SIGTERM) // the coordinators that it knows the addresses of are gone
	require.NoError(t, p.workers["w2"].wait())
	p.client, p.admin = p.rekey()
	begin = time.Now()
	p.workers["w3"].signal(t, syscall.SIGKILL)
	p.coordinators[leader].signal(t, syscall.SIGKILL)
	p.eventuallyWithin(time.Minute, func() bool { return p.all(ids[1:], 4, 2) }, "all run elsewhere")
	say("leader and worker SIGKILL together: all running elsewhere", time.Since(begin), 6*time.Second)

	// NATS is disconnected for half a minute.
	p.nats.Stop()
	var slowest time.Duration
	for begin = time.Now(); time.Since(begin) < 30*time.Second; {
		one := time.Now()
		p.submitUntilDone()
		slowest = max(slowest, time.Since(one))
	}
	say("NATS disconnected for 30 s: the slowest of what is submitted meanwhile is done", slowest, 2*time.Second)
	require.NoError(t, p.nats.Start())
	require.True(t, p.all(ids[1:], 4, 2), "nothing was taken from its worker")

	// PostgreSQL crashes.
	p.postgres.Stop(true)
	time.Sleep(time.Second)
	require.NoError(t, p.postgres.Start())
	begin = time.Now()
	p.eventuallyWithin(20*time.Second, func() bool {
		_, err := p.client.Submit(t.Context(), niyanta.Submission{WorkloadType: "sleep",
			InputParams: []byte(`{"duration_ms":0}`)}, "")
		return err == nil
	}, "a submission succeeds")
	say("PostgreSQL crash: first success after it is back", time.Since(begin), 5*time.Second)
	p.submitUntilDone()
	require.True(t, p.all(ids[1:], 4, 2), "nothing was taken from its worker")
}

// all reports whether every workload runs at that generation and has at least that many
// checkpoints.
func (p *production) all(ids []string, generation, checkpoints int64) bool {
	for _, id := range ids {
		w, err := p.client.Get(p.t.Context(), id)
		if err != nil || w.Status != niyanta.Status("RUNNING") || w.Generation != generation ||
			w.CheckpointSequence < checkpoints {
			return false
		}
	}
	return true
}

// submitUntilDone submits one workload and waits until it is done.
func (p *production) submitUntilDone() {
	p.t.Helper()
	p.completed(p.submit("sleep", `{"duration_ms":0}`))
}
