package bootstrap

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
	"github.com/niyanta/niyanta/core/domain"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// group are servers on one PostgreSQL, without a bus.
type group struct {
	*testing.T
	url     string
	servers []*Server
	clients []*niyanta.Client
	key     string
	closed  map[*Server]bool
}

const serverAdminKey = "admin-key-of-tests-0123456789-abcdef"

// newGroup starts n servers with one worker each.
func newGroup(t *testing.T, n int, environment ...string) *group {
	t.Helper()
	c := servers.SharedPostgres(t, preparePostgres)
	g := &group{T: t, url: c.URL(c.Database(t)), closed: map[*Server]bool{}}
	for range n {
		g.start(environment...)
	}
	return g
}

// start starts another server.
func (g *group) start(environment ...string) *Server {
	g.Helper()
	cfg, err := Load(append([]string{
		"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_STORE=postgres", "NIYANTA_POSTGRES_URL=" + g.url,
		"NIYANTA_ADMIN_KEY=" + serverAdminKey, "NIYANTA_WORKER_SLOTS=4",
		"NIYANTA_LEADER_TTL=1m", // a leader goes only when it is closed
		fmt.Sprintf("NIYANTA_WORKER_ID=server%d", len(g.servers)),
	}, environment...))
	require.NoError(g, err)
	require.NoError(g, cfg.Validate(RoleServer))
	s, err := NewServer(g.Context(), cfg, "test", silent)
	require.NoError(g, err)
	require.NoError(g, s.Start(context.Background()))
	g.Cleanup(func() { g.close(s) })
	admin, err := niyanta.NewClient(s.App.URL(), serverAdminKey)
	require.NoError(g, err)
	g.Cleanup(admin.Close)
	if g.key == "" {
		many, perSecond := 1_000_000, 1e6
		cust, err := admin.CreateCustomer(g.Context(), niyanta.CustomerInput{Name: "T", Tier: "enterprise",
			Limits: &niyanta.LimitsInput{MaxConcurrentWorkloads: &many, MaxQueueDepth: &many, Burst: &many,
				RateLimitPerSec: &perSecond}})
		require.NoError(g, err)
		key, err := admin.CreateKey(g.Context(), cust.CustomerID, niyanta.KeyInput{Role: "customer"})
		require.NoError(g, err)
		g.key = key.Key
	}
	client, err := niyanta.NewClient(s.App.URL(), g.key)
	require.NoError(g, err)
	g.Cleanup(client.Close)
	g.servers, g.clients = append(g.servers, s), append(g.clients, client)
	id := fmt.Sprintf("server%d-1", len(g.servers)-1)
	g.eventually(func() bool {
		w, err := admin.Worker(g.Context(), id)
		return err == nil && w.Status == "HEALTHY"
	}, id)
	g.eventually(func() bool { return s.App.ready(g.Context()).LeaderElected }, "a leader")
	return s
}

// close closes a server, once.
func (g *group) close(s *Server) {
	g.Helper()
	if !g.closed[s] {
		g.closed[s] = true
		assert.NoError(g, s.Close(context.Background()))
	}
}

func (g *group) eventually(is func() bool, what string) {
	g.Helper()
	require.Eventually(g, is, 30*time.Second, 5*time.Millisecond, what)
}

// leader returns which server leads.
func (g *group) leader() int {
	g.Helper()
	found := -1
	g.eventually(func() bool {
		found = slices.IndexFunc(g.servers, func(s *Server) bool { return s.App.ready(g.Context()).Leader })
		return found >= 0
	}, "a leader")
	return found
}

func (g *group) submit(at int, in niyanta.Submission) string {
	g.Helper()
	w, err := g.clients[at].Submit(g.Context(), in, "")
	require.NoError(g, err)
	return w.WorkloadID
}

func sleeping(ms int) niyanta.Submission {
	return niyanta.Submission{
		WorkloadType: "sleep", InputParams: fmt.Appendf(nil, `{"duration_ms": %d, "steps": %d}`, ms, max(ms/100, 1)),
	}
}

func TestServers_OnOneDatabaseWithoutABus_WorkTogether(t *testing.T) {
	g := newGroup(t, 2)
	for i, s := range g.servers {
		require.NoError(t, s.App.backends.Hints.Ping(t.Context()), "server %d hears the others", i)
	}
	var ids []string
	for range 8 {
		ids = append(ids, g.submit(len(ids)%2, sleeping(600_000)))
	}
	ranOn := map[string]int{}
	for i, id := range ids {
		g.eventually(func() bool {
			w, err := g.clients[i%2].Get(g.Context(), id)
			if err != nil || w.Status != "RUNNING" {
				return false
			}
			ranOn[*w.LastWorkerID]++
			return true
		}, "running")
	}
	assert.Equal(t, map[string]int{"server0-1": 4, "server1-1": 4}, ranOn, "each has four slots")
	for i, id := range ids {
		_, err := g.clients[i%2].Cancel(t.Context(), id, "", "")
		require.NoError(t, err)
		w, err := g.clients[1-i%2].Wait(t.Context(), id, 30*time.Second)
		require.NoError(t, err)
		require.Equal(t, "CANCELLED", string(w.Status))
	}
}

// TestServers_WithoutABus_HearOfEachOtherAtOnce submits at the server that does not lead, has the
// workload run by the one or the other, and waits for it at either. Without notifications the leader
// would find it by polling, after half a second on average, and so would the worker.
func TestServers_WithoutABus_HearOfEachOtherAtOnce(t *testing.T) {
	g := newGroup(t, 2)
	follower := 1 - g.leader()
	for _, at := range []int{follower, 1 - follower} {
		var took []time.Duration
		ranOn := map[string]bool{}
		watch := testfiles.StartStopwatch(t)
		for range 40 {
			begun := watch.Took()
			id := g.submit(follower, sleeping(0))
			w, err := g.clients[at].Wait(t.Context(), id, 30*time.Second)
			require.NoError(t, err)
			took = append(took, watch.Took()-begun)
			ranOn[*w.LastWorkerID] = true
		}
		slices.Sort(took)
		t.Logf("submitted at the follower, waited for at server %d: p50 %s, worst %s, ran on %v", at, took[20],
			took[39], ranOn)
		assert.Less(t, took[20], 200*time.Millisecond, "polling takes longer")
	}
}

func TestServer_WhenClosed_GivesItsWorkAndLeadershipToTheOthers(t *testing.T) {
	g := newGroup(t, 1)
	id := g.submit(0, sleeping(600_000))
	var w niyanta.Workload
	runsOn := func(at int, worker string) {
		g.eventually(func() bool {
			var err error
			w, err = g.clients[at].Get(t.Context(), id)
			return err == nil && w.Status == "RUNNING" && *w.WorkerID == worker
		}, "running on "+worker)
	}
	runsOn(0, "server0-1")
	g.start()
	require.Equal(t, 0, g.leader())
	g.close(g.servers[0])
	runsOn(1, "server1-1")
	assert.Equal(t, 0, w.RedistributionCount, "it was released, not lost")
	assert.Equal(t, 1, g.leader())
	gone, err := g.servers[1].App.coordinator.Plane.ListWorkers(t.Context())
	require.NoError(t, err)
	for _, w := range gone {
		assert.NotEqual(t, domain.WorkerID("server0-1"), w.ID, "it deregistered")
	}
}

func TestServer_InMemory_WorksAlone(t *testing.T) {
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_ADMIN_KEY=" + serverAdminKey,
		"NIYANTA_WORKERS=3", "NIYANTA_WORKER_SLOTS=2"})
	require.NoError(t, err)
	require.NoError(t, cfg.Validate(RoleServer))
	s, err := NewServer(t.Context(), cfg, "test", silent)
	require.NoError(t, err)
	require.NoError(t, s.Start(context.Background()))
	require.Eventually(t, func() bool {
		ws, err := s.App.coordinator.Plane.ListWorkers(t.Context())
		return err == nil && len(ws) == 3 && ws[0].Slots == 2
	}, 30*time.Second, 5*time.Millisecond)
	require.NoError(t, s.Close(context.Background()))
}
