package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/bootstrap"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// production is two coordinators and three workers, as processes, on PostgreSQL, NATS and Redis.
type production struct {
	*fleet
	postgres     *servers.Postgres
	nats         *servers.NATS
	redis        *servers.Redis
	env          []string
	coordinators []*process
	urls         []string
	workers      map[string]*process
	collector    collector
	customer     string
	key          string // of the customer
}

func newProduction(t *testing.T, bus string, more ...string) *production {
	t.Helper()
	return newProductionOn(t, bus, servers.SharedPostgres(t, func(url string) error {
		_, err := bootstrap.MigrateUp(context.Background(), bootstrap.Config{PostgresURL: url},
			bootstrap.NewLogger(t.Output(), 8, "json"))
		return err
	}), slices.Concat(shortTimes, more)...)
}

// shortTimes are for tests that wait for leases to end. No process loses the lease of others because the
// machine is busy for a while.
var shortTimes = []string{"NIYANTA_HEARTBEAT_INTERVAL=300ms", shortLease, "NIYANTA_LEADER_TTL=3s"}

// longTimes are for tests in which no lease ends.
var longTimes = []string{"NIYANTA_HEARTBEAT_INTERVAL=300ms", "NIYANTA_WORKER_LEASE=20s", "NIYANTA_LEADER_TTL=20s"}

func newProductionOn(t *testing.T, bus string, cluster *servers.Postgres, times ...string) *production {
	t.Helper()
	p := &production{
		fleet: &fleet{t: t, adminKey: "admin-key-of-tests-0123456789-abcdef",
			workerKey: "worker-key-of-tests-0123456789-abcde"},
		postgres: cluster,
		nats:     servers.StartNATS(t, 0), redis: servers.StartRedis(t), workers: map[string]*process{},
	}
	p.env = []string{
		"NIYANTA_STORE=postgres", "NIYANTA_BUS=" + bus, "NIYANTA_RATE_LIMITER=redis",
		"NIYANTA_POSTGRES_URL=" + p.postgres.URL(p.postgres.EmptyDatabase(t)), "NIYANTA_NATS_URL=" + p.nats.URL(),
		"NIYANTA_REDIS_URL=" + p.redis.URL(),
		"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_ADMIN_KEY=" + p.adminKey, "NIYANTA_WORKER_KEY=" + p.workerKey,
	}
	p.env = append(p.env, times...)
	collector := httptest.NewServer(&p.collector)
	t.Cleanup(collector.Close)
	p.env = append(p.env, "NIYANTA_OTLP_ENDPOINT="+collector.URL)
	p.startCoordinators() // both on an empty database, at once
	p.admin = p.clientWith(p.adminKey)
	cust, err := p.admin.CreateCustomer(t.Context(), niyanta.CustomerInput{Name: "Test", Tier: "enterprise",
		Limits: &niyanta.LimitsInput{
			RateLimitPerSec: new(100_000.0), Burst: new(100_000),
		}})
	require.NoError(t, err)
	key, err := p.admin.CreateKey(t.Context(), cust.CustomerID, niyanta.KeyInput{Role: "customer"})
	require.NoError(t, err)
	p.client, p.customer, p.key = p.clientWith(key.Key), cust.CustomerID, key.Key
	return p
}

func (p *production) startCoordinators() {
	p.t.Helper()
	p.coordinators, p.urls = nil, nil
	lines := make(chan string, 2)
	for range 2 {
		proc, out := p.start(p.env, "coordinator")
		p.coordinators = append(p.coordinators, proc)
		go func() {
			line, _ := out.ReadString('\n')
			lines <- line
		}()
		line := <-lines
		require.True(p.t, strings.HasPrefix(line, "url: "), "%s", proc.log)
		p.urls = append(p.urls, strings.TrimSpace(strings.TrimPrefix(line, "url: ")))
	}
	p.url = p.urls[1]
}

// leader returns the index of the coordinator that leads, or -1.
func (p *production) leader() int {
	for i, c := range p.coordinators {
		log := c.log.String()
		elected, lost := strings.LastIndex(log, "elected leader"), strings.LastIndex(log, "no longer leader")
		if c.ProcessState == nil && elected > lost {
			return i
		}
	}
	return -1
}

func (p *production) startWorker(id string, more ...string) {
	p.t.Helper()
	env := append(slices.Clone(p.env), "NIYANTA_WORKER_ID="+id, "NIYANTA_EXEC_ALLOW=sh",
		"NIYANTA_COORDINATOR_URL="+strings.Join(p.urls, ","))
	proc, _ := p.start(append(env, more...), "worker")
	p.workers[id] = proc
	p.eventually(func() bool {
		return strings.Contains(proc.log.String()+p.logs(), `"worker_id":"`+id+`"`) && p.healthy(id)
	}, "worker "+id+" registers")
}

func (p *production) logs() (out string) {
	for _, c := range p.coordinators {
		out += c.log.String()
	}
	return out
}

func (p *production) healthy(id string) bool {
	ws, err := niyanta.Collect(p.admin.Workers(p.t.Context()))
	return err == nil && slices.ContainsFunc(ws, func(w niyanta.WorkerInfo) bool {
		return w.WorkerID == id && w.Status == "HEALTHY"
	})
}

func (p *production) submitWith(workloadType, input, affinity string) string {
	p.t.Helper()
	s := niyanta.Submission{WorkloadType: workloadType, InputParams: json.RawMessage(input)}
	if affinity != "" {
		require.NoError(p.t, json.Unmarshal([]byte(affinity), &s.AffinityRules))
	}
	a, err := p.client.Submit(p.t.Context(), s, "")
	require.NoError(p.t, err)
	return a.WorkloadID
}

func TestProductionSet_RunsTheWholeLoop(t *testing.T) {
	for _, bus := range []string{"nats", "redis"} {
		t.Run(bus, func(t *testing.T) { runWholeLoop(t, newProduction(t, bus, "NIYANTA_LEADER_TTL=8s")) })
	}
}

func runWholeLoop(t *testing.T, p *production) {
	t.Helper()
	p.startWorker("east", "NIYANTA_WORKER_TAGS=region=east")
	p.startWorker("west", "NIYANTA_WORKER_TAGS=region=west")
	p.startWorker("spare", "NIYANTA_WORKER_TAGS=region=none")
	p.eventually(func() bool { return p.leader() >= 0 }, "a leader")

	// A workload is submitted to any coordinator, placed by the leader, and run over the bus.
	p.completed(p.submit("sleep", `{"duration_ms":10}`))

	// A workload with affinity continues from its checkpoint on another worker.
	id := p.submitWith("exec", halfDone,
		`{"soft_affinity":{"worker_id":"west"},"anti_affinity":{"worker_tags":{"region":"east"}}}`)
	p.saved(id)
	require.Equal(t, "west", *p.get(id).WorkerID)
	p.workers["west"].signal(t, syscall.SIGKILL)
	w := p.completed(id)
	require.Equal(t, int64(2), w.Generation)
	require.Contains(t, string(w.ResultData), continued)
	trail, err := niyanta.Collect(p.client.Audit(t.Context(), id))
	require.NoError(t, err)
	require.Equal(t, "spare", *trail[len(trail)-1].Details.WorkerID, "never where the anti rule forbids it")

	// Cancel kills the program, pause and resume go through the worker.
	shell := p.submit("exec", `{"command":["sh","-c","echo $$; exec sleep 300"]}`)
	pid := p.pidOf(shell, 1)
	_, err = p.client.Cancel(t.Context(), shell, "enough", "")
	require.NoError(t, err)
	p.eventually(func() bool { return !alive(pid) }, "the program is gone")
	id = p.submit("exec", halfDone)
	p.saved(id)
	a, err := p.client.Pause(t.Context(), id, "")
	require.NoError(t, err)
	require.Equal(t, niyanta.Status("PAUSED"), a.Status)
	_, err = p.client.Resume(t.Context(), id, "")
	require.NoError(t, err)
	require.Contains(t, string(p.completed(id).ResultData), continued)

	// Drain: what runs is released and continues elsewhere, not counted as lost.
	p.startWorker("west", "NIYANTA_WORKER_TAGS=region=west")
	id = p.submitWith("exec", halfDone, `{"soft_affinity":{"worker_id":"spare"}}`)
	p.saved(id)
	require.Equal(t, "spare", *p.get(id).WorkerID)
	_, err = p.admin.DrainWorker(t.Context(), "spare")
	require.NoError(t, err)
	w = p.completed(id)
	require.Equal(t, int64(2), w.Generation)
	require.Zero(t, w.RedistributionCount)

	// The leader leaves gracefully: the other one takes over, and does not wait for the end of its lease.
	p.eventually(func() bool { return p.leader() >= 0 }, "a leader")
	leading := p.leader()
	p.coordinators[leading].signal(t, syscall.SIGTERM)
	begin := testfiles.StartStopwatch(t)
	require.NoError(t, p.coordinators[leading].wait())
	p.eventually(func() bool { return p.leader() == 1-leading }, "takeover")
	assert.Less(t, begin.Took(), 5*time.Second, "the lease is 8 s, and is renewed early")
	p.url = p.urls[1-leading]
	p.client, p.admin = p.rekey()
	p.completed(p.submit("sleep", `{"duration_ms":10}`))

	p.restartEverything()
}

// rekey makes clients of the coordinator that is left. It makes a new key, because the old one is
// known only to the old clients.
func (p *production) rekey() (client, admin *niyanta.Client) {
	p.t.Helper()
	admin = p.clientWith(p.adminKey)
	customers, err := niyanta.Collect(admin.Customers(p.t.Context()))
	require.NoError(p.t, err)
	key, err := admin.CreateKey(p.t.Context(), customers[0].CustomerID, niyanta.KeyInput{Role: "customer"})
	require.NoError(p.t, err)
	return p.clientWith(key.Key), admin
}

// restartEverything kills all processes while work waits and runs. After the restart all of it
// completes.
func (p *production) restartEverything() {
	p.t.Helper()
	var ids []string
	for n := range 40 {
		ids = append(ids, p.submit("sleep", fmt.Sprintf(`{"duration_ms":%d,"steps":10}`, 200+20*n)))
	}
	p.eventually(func() bool { return p.get(ids[0]).Status == "COMPLETED" }, "the first is done")
	for _, proc := range p.workers {
		if proc.ProcessState == nil {
			proc.vanish(p.t, syscall.SIGKILL)
		}
		_ = proc.wait()
	}
	for _, proc := range p.coordinators {
		_ = proc.Process.Kill()
		_ = proc.wait()
	}
	p.startCoordinators()
	p.client, p.admin = p.rekey()
	p.startWorker("east", "NIYANTA_WORKER_TAGS=region=east")
	p.startWorker("new")
	for _, id := range ids {
		p.completed(id)
	}
}

// While NATS is disconnected, submitted work still starts within two seconds, and no worker loses
// its work.
func TestProductionSet_WithoutItsBus_StartsWorkAndRedistributesNothing(t *testing.T) {
	p := newProduction(t, "nats")
	p.startWorker("w1")
	p.startWorker("w2")
	long := p.submit("sleep", `{"duration_ms":6000,"steps":60}`)
	p.eventually(func() bool { return p.get(long).Status == "RUNNING" }, "it runs")
	p.nats.Stop()
	time.Sleep(500 * time.Millisecond) // the processes notice
	var took []time.Duration
	watch := testfiles.StartStopwatch(t)
	for range 3 {
		begun := watch.Took()
		id := p.submit("sleep", `{"duration_ms":1}`)
		p.completed(id)
		took = append(took, watch.Took()-begun)
	}
	slices.Sort(took)
	t.Logf("without the bus, three workloads were done so long after their submission: %s", took)
	assert.Less(t, took[1], 3*time.Second, "one of them may have waited for the machine")
	w := p.completed(long) // longer than the lease
	require.Equal(t, int64(1), w.Generation, "never taken from its worker")
	require.NoError(t, p.nats.Start())
}

// The test crashes PostgreSQL under load, twice. Every submission that was acknowledged must
// finish, exactly once.
func TestProductionSet_WhenPostgresCrashes_FinishesEveryAcknowledgedSubmission(t *testing.T) {
	durable, err := servers.StartPostgres(true)
	require.NoError(t, err)
	t.Cleanup(durable.Remove)
	p := newProductionOn(t, "nats", durable, shortTimes...)
	p.startWorker("w1", "NIYANTA_WORKER_SLOTS=50")
	p.startWorker("w2", "NIYANTA_WORKER_SLOTS=50")
	ctx, stop := context.WithCancel(t.Context())
	acknowledged := make(chan string, 100_000)
	var wg sync.WaitGroup
	var lastOK atomic.Int64
	for range 4 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				a, err := p.client.Submit(ctx, niyanta.Submission{WorkloadType: "sleep",
					InputParams: json.RawMessage(`{"duration_ms":20}`)}, "")
				if err == nil {
					acknowledged <- a.WorkloadID
					lastOK.Store(time.Now().UnixNano())
				} else {
					time.Sleep(20 * time.Millisecond)
				}
			}
		})
	}
	enough := func(n int) {
		t.Helper()
		p.eventuallyWithin(time.Minute, func() bool { return len(acknowledged) >= n }, "submissions are acknowledged")
	}
	for round := range 2 {
		enough(20 * (round + 1))
		p.postgres.Stop(true)
		time.Sleep(500 * time.Millisecond)
		require.NoError(t, p.postgres.Start())
		back := time.Now()
		p.eventually(func() bool { return lastOK.Load() > back.UnixNano() }, "a submission succeeds again")
		t.Logf("first success %s after PostgreSQL was back", time.Unix(0, lastOK.Load()).Sub(back).Round(time.Millisecond))
	}
	enough(60)
	stop()
	wg.Wait()
	close(acknowledged)
	t.Logf("%d acknowledged submissions", len(acknowledged))
	for id := range acknowledged {
		p.completed(id)
		trail, err := niyanta.Collect(p.client.Audit(t.Context(), id))
		require.NoError(t, err)
		done := 0
		for _, e := range trail {
			if e.EventType == "workload.completed" {
				done++
			}
		}
		require.Equal(t, 1, done, "one committed outcome")
	}
}
