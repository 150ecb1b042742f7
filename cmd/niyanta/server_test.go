package main

import (
	"context"
	"fmt"
	"strings"
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

// serverGroup are servers as processes, on one PostgreSQL, without a bus and with every default but their
// slots. Clients ask the last one.
type serverGroup struct {
	*fleet
	env     []string
	servers []*process
	urls    []string
	key     string
}

func newServerGroup(t *testing.T) *serverGroup {
	t.Helper()
	c := servers.SharedPostgres(t, func(url string) error {
		_, err := bootstrap.MigrateUp(context.Background(), bootstrap.Config{PostgresURL: url},
			bootstrap.NewLogger(t.Output(), 8, "json"))
		return err
	})
	g := &serverGroup{fleet: &fleet{t: t, adminKey: "admin-key-of-tests-0123456789-abcdef"}}
	g.env = []string{
		"NIYANTA_STORE=postgres", "NIYANTA_POSTGRES_URL=" + c.URL(c.Database(t)), "NIYANTA_ADMIN_KEY=" + g.adminKey,
		"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_WORKER_SLOTS=2", "NIYANTA_EXEC_ALLOW=sh",
	}
	return g
}

// server starts a server and waits until its worker is registered.
func (g *serverGroup) server() {
	g.t.Helper()
	id := fmt.Sprintf("server%d", len(g.servers))
	p, out := g.start(append(g.env, "NIYANTA_WORKER_ID="+id), "server")
	line, err := out.ReadString('\n')
	require.NoError(g.t, err, p.log)
	g.url = strings.TrimSpace(strings.TrimPrefix(line, "url: "))
	g.servers, g.urls = append(g.servers, p), append(g.urls, g.url)
	g.admin = g.clientWith(g.adminKey)
	if g.key == "" {
		cust, err := g.admin.CreateCustomer(g.t.Context(), niyanta.CustomerInput{Name: "Test", Tier: "enterprise"})
		require.NoError(g.t, err)
		key, err := g.admin.CreateKey(g.t.Context(), cust.CustomerID, niyanta.KeyInput{Role: "customer"})
		require.NoError(g.t, err)
		g.key = key.Key
	}
	g.client = g.clientWith(g.key)
	g.eventually(func() bool {
		w, err := g.admin.Worker(g.t.Context(), id+"-1")
		return err == nil && w.Status == "HEALTHY"
	}, id)
}

// running submits workloads that fill the first server, and waits until they run. They end when they
// are continued.
func (g *serverGroup) running(n int) []string {
	g.t.Helper()
	ids := make([]string, n)
	for i := range ids {
		ids[i] = g.submit("exec", halfDone)
	}
	for _, id := range ids {
		g.saved(id)
	}
	return ids
}

// TestServers_WhenOneIsKilled_TheOtherGoesOnWithItsWork kills the leader with what it runs. Its
// supervisor certifies the death through the database, so that the work waits for a new leader only,
// and not for the lease of 10 s.
func TestServers_WhenOneIsKilled_TheOtherGoesOnWithItsWork(t *testing.T) {
	g := newServerGroup(t)
	g.server()
	ids := g.running(2)
	g.server()
	g.servers[0].signal(t, syscall.SIGKILL)
	killed := testfiles.StartStopwatch(t)
	for _, id := range ids {
		g.eventually(func() bool {
			w := g.get(id)
			return w.LastWorkerID != nil && *w.LastWorkerID == "server1-1"
		}, "the other server has it")
	}
	took := killed.Took()
	t.Logf("all running elsewhere after %s", took)
	assert.Less(t, took, 9*time.Second, "the lease is 10 s")
	require.Error(t, g.servers[0].wait(), "the supervisor exits as the server did")
	assert.Contains(t, g.servers[0].log.String(), "death certified")
	for _, id := range ids {
		w, err := g.client.Wait(t.Context(), id, 30*time.Second)
		require.NoError(t, err)
		require.Equal(t, "COMPLETED", string(w.Status))
		assert.EqualValues(t, 2, w.Generation, "each was started twice")
	}
}

func TestServer_OnSIGTERM_ReleasesItsWorkAndExitsWell(t *testing.T) {
	g := newServerGroup(t)
	g.server()
	ids := g.running(2)
	g.server()
	g.servers[0].signal(t, syscall.SIGTERM)
	require.NoError(t, g.servers[0].wait(), "%s", g.servers[0].log)
	for _, id := range ids {
		w, err := g.client.Wait(t.Context(), id, 30*time.Second)
		require.NoError(t, err)
		require.Equal(t, "COMPLETED", string(w.Status))
		assert.Equal(t, "server1-1", *w.LastWorkerID)
		assert.Zero(t, w.RedistributionCount, "it was released, not lost")
	}
	g.eventually(func() bool {
		ready, err := g.admin.Ready(t.Context())
		return err == nil && ready.IsLeader
	}, "the other one leads")
}
