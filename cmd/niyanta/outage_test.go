package main

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

var outage = flag.Duration("outage", 15*time.Second, "how long the bus is away in the test with probes")

// Probes as deploy/kubernetes makes them, but more often. One failure is enough, and so are a few answers
// that come too late: a machine that is busy for a while delays some, a coordinator or worker that waits for
// the bus each of them.
const (
	probeInterval = time.Second
	probeTimeout  = 2 * time.Second
	probeLimit    = 30 * time.Second
)

// prober makes liveness and readiness probes until the test ends.
type prober struct {
	mu     sync.Mutex
	probes int
	late   int
	failed []string
	seen   map[string]bool // the statuses that coordinators gave
}

func (p *prober) probe(ctx context.Context, name, url string) {
	bounded, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	begun := time.Now()
	req, err := http.NewRequestWithContext(bounded, http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes++
	if time.Since(begun) > probeTimeout {
		p.late++
	}
	if err != nil {
		p.failed = append(p.failed, name+": "+err.Error())
		return
	}
	body, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	var state struct {
		Status       string
		Dependencies struct{ Broker string }
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &state) != nil {
		p.failed = append(p.failed, name+": "+resp.Status+" "+string(body))
	}
	p.seen[strings.TrimSpace(state.Status+" "+state.Dependencies.Broker)] = true
}

var servedAt = regexp.MustCompile(`"address":"([^"]+)"[^\n]*"message":"serving health, readiness and metrics"`)

// While the bus is away, no probe of a coordinator or a worker fails, and work goes on: it goes over
// HTTP, which needs coordinators in rotation.
func TestProductionSet_WithoutItsBus_PassesEveryProbe(t *testing.T) {
	p := newProduction(t, "nats", "NIYANTA_WORKER_LEASE=10s", "NIYANTA_LEADER_TTL=10s") // both shorter than the outage
	p.startWorker("w1")
	p.startWorker("w2")
	targets := map[string]string{"coordinator 0": p.urls[0], "coordinator 1": p.urls[1]}
	for id, proc := range p.workers {
		var found []string
		p.eventually(func() bool {
			found = servedAt.FindStringSubmatch(proc.log.String())
			return found != nil
		}, "the address of "+id)
		targets[id] = "http://" + found[1]
	}
	probes := &prober{seen: map[string]bool{}}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for name, url := range targets {
		for _, path := range []string{"/health", "/ready"} {
			wg.Go(func() {
				tick := time.NewTicker(probeInterval)
				defer tick.Stop()
				for ctx.Err() == nil {
					probes.probe(ctx, name+path, url+path)
					select {
					case <-tick.C:
					case <-ctx.Done():
					}
				}
			})
		}
	}
	long := p.submit("sleep", `{"duration_ms":3000,"steps":30}`)
	p.eventually(func() bool { return p.get(long).Status == "RUNNING" }, "it runs")
	p.nats.Stop()
	done := 0
	for began := time.Now(); time.Since(began) < *outage; done++ {
		p.completed(p.submit("sleep", `{"duration_ms":1}`))
	}
	w := p.completed(long)
	require.Equal(t, int64(1), w.Generation, "never taken from its worker")
	require.NoError(t, p.nats.Start())
	p.eventually(func() bool {
		probes.mu.Lock()
		defer probes.mu.Unlock()
		was := probes.seen["degraded disconnected"]
		delete(probes.seen, "ready connected") // of before the outage
		return was
	}, "the coordinators said what was away")
	p.eventually(func() bool {
		probes.mu.Lock()
		defer probes.mu.Unlock()
		return probes.seen["ready connected"]
	}, "and that it is back")
	stop()
	wg.Wait()
	assert.Empty(t, probes.failed)
	assert.Less(t, probes.late, probes.probes/10)
	assert.Greater(t, probes.probes, int(*outage/probeInterval))
	assert.Greater(t, done, int(*outage/(3*time.Second)), "work went on")
	all, err := niyanta.Collect(p.admin.Workers(t.Context()))
	require.NoError(t, err)
	for _, w := range all {
		assert.Equal(t, "HEALTHY", string(w.Status), w.WorkerID)
	}
	t.Logf("%d probes, %d workloads in %s without the bus", probes.probes, done, *outage)
}
