//go:build recovery

package main

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
)

var repetitions = flag.Int("repetitions", 5, "number of measurements of each recovery")

// figure is one recovery: how it is caused, and how long it may take until work runs elsewhere.
type figure struct {
	name  string
	limit time.Duration
	// leaderToo: the leader is killed with the worker.
	leaderToo bool
	cause     func(t *testing.T, w *process)
}

var recoveryFigures = []figure{
	{"worker SIGKILL (certified)", 2 * time.Second, false,
		func(t *testing.T, w *process) { w.signal(t, syscall.SIGKILL) }},
	{"worker and supervisor SIGKILL", 12 * time.Second, false,
		func(t *testing.T, w *process) { w.vanish(t, syscall.SIGKILL) }},
	{"worker and supervisor frozen", 12 * time.Second, false,
		func(t *testing.T, w *process) { w.vanish(t, syscall.SIGSTOP) }},
	{"leader and worker SIGKILL (certified)", 6 * time.Second, true,
		func(t *testing.T, w *process) { w.signal(t, syscall.SIGKILL) }},
	{"leader, worker and supervisor SIGKILL", 16 * time.Second, true,
		func(t *testing.T, w *process) { w.vanish(t, syscall.SIGKILL) }},
}

// TestRecoveryFigures_OfDeathsWithDefaults measures each recovery several times, and prints p50,
// p99 and the longest.
func TestRecoveryFigures_OfDeathsWithDefaults(t *testing.T) {
	durable, err := servers.StartPostgres(true)
	require.NoError(t, err)
	t.Cleanup(durable.Remove)
	for _, f := range recoveryFigures {
		var took []time.Duration
		for n := range *repetitions {
			t.Run(fmt.Sprint(strings.ReplaceAll(f.name, " ", "_"), "/", n), func(t *testing.T) {
				took = append(took, f.measure(t, newProductionOn(t, "nats", durable)))
			})
		}
		if len(took) == 0 {
			continue
		}
		slices.Sort(took)
		at := func(q float64) time.Duration {
			return took[min(int(q*float64(len(took))), len(took)-1)].Round(time.Millisecond)
		}
		fmt.Printf("| %s | n=%d p50 %s p99 %s max %s | %s |\n", f.name, len(took), at(0.5), at(0.99),
			took[len(took)-1].Round(time.Millisecond), f.limit)
		assert.LessOrEqual(t, took[len(took)-1], f.limit, f.name)
	}
}

// measure returns how long it takes until a workload of the victim runs elsewhere.
func (f figure) measure(t *testing.T, p *production) time.Duration {
	t.Helper()
	p.eventually(func() bool { return p.leader() >= 0 }, "a leader")
	leader := p.leader()
	p.url = p.urls[1-leader]
	p.client, p.admin = p.rekey()
	p.startWorker("victim")
	id := p.submit("sleep", `{"duration_ms":600000,"steps":600}`)
	p.eventually(func() bool { return p.get(id).Status == "RUNNING" }, "it runs")
	p.startWorker("heir")
	begin := time.Now()
	f.cause(t, p.workers["victim"])
	if f.leaderToo {
		p.coordinators[leader].signal(t, syscall.SIGKILL)
	}
	p.eventuallyWithin(time.Minute, func() bool { w := p.get(id); return w.Generation == 2 && w.Status == "RUNNING" },
		"it runs elsewhere")
	return time.Since(begin)
}
