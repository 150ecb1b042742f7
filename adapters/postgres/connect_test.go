package postgres_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// TestOpen_WhateverSessionsTheURLWants_ReadsAndWrites: what libpq offers for several hosts holds for the
// connections that only read as well.
func TestOpen_WhateverSessionsTheURLWants_ReadsAndWrites(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	for _, wanted := range []string{"", "&target_session_attrs=any", "&target_session_attrs=primary",
		"&target_session_attrs=read-write"} {
		t.Run(wanted, func(t *testing.T) {
			s := open(t, c.URL(c.Database(t))+wanted)
			_, err := s.Stores().Customers.Create(t.Context(), domain.Customer{ID: acme, Name: "A", Tier: domain.TierFree},
				domain.Admin{})
			require.NoError(t, err)
			_, err = s.Stores().Workloads.Submit(t.Context(), []domain.Submission{{Spec: domain.Spec{
				ID: "wl_1", CustomerID: acme, Type: "t", Input: "{}", Run: domain.DefaultRunConfig(),
			}}})
			require.NoError(t, err)
			_, err = s.Stores().Workloads.Get(t.Context(), acme, "wl_1")
			require.NoError(t, err)
			page, err := s.Stores().Workloads.List(t.Context(), ports.WorkloadQuery{Customer: acme, Limit: 10})
			require.NoError(t, err)
			assert.Len(t, page.Items, 1)
			mode, err := postgres.QueryReads[string](t.Context(), s, "SHOW default_transaction_read_only")
			require.NoError(t, err)
			assert.Equal(t, "on", mode)
			require.NoError(t, s.Present(t.Context(), "coord_a"))
		})
	}
}

func TestOpen_WhenAReplicaMustBeReadOnly_RefusesThePrimary(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	url := c.URL(c.Database(t))
	for wanted, refused := range map[string]bool{"read-only": true, "standby": true, "any": false} {
		s, err := postgres.Open(t.Context(), postgres.Options{URL: url, Log: silent,
			ReplicaURL: url + "&target_session_attrs=" + wanted})
		require.NoError(t, err)
		t.Cleanup(s.Close)
		require.NoError(t, s.Present(t.Context(), "coord_a"))
		assert.Equal(t, refused, s.PingReplica()(t.Context()) != nil, wanted)
	}
}

// TestOpen_OnAConnectionThatTakesNoWrites_ConnectsAnew: the connections were made while the server took no
// writes, as they are to a server that was the primary before.
func TestOpen_OnAConnectionThatTakesNoWrites_ConnectsAnew(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	db := c.Database(t)
	s := open(t, c.SocketURL(db))
	create := func(id domain.CustomerID) error {
		_, err := s.Stores().Customers.Create(t.Context(), domain.Customer{ID: id, Name: "A", Tier: domain.TierFree},
			domain.Admin{})
		return err
	}
	c.Exec(t, db, fmt.Sprintf("ALTER DATABASE %q SET default_transaction_read_only = on", db))
	assert.True(t, postgres.NotWritable(s.Present(t.Context(), "coord_a")))
	assert.True(t, postgres.NotWritable(create("cust_a")))
	c.Exec(t, "postgres", fmt.Sprintf("ALTER DATABASE %q RESET default_transaction_read_only", db))
	require.NoError(t, s.Present(t.Context(), "coord_a"))
	require.NoError(t, create("cust_a"))
}

func TestOpen_RenewsConnections_UnlessTheURLSaysWhen(t *testing.T) {
	for parameters, want := range map[string]time.Duration{
		"": 10 * time.Minute, "?pool_max_conn_lifetime=1h": time.Hour, "?pool_max_conn_lifetime=1m": time.Minute,
	} {
		s := open(t, "postgres://u:p@127.0.0.1:1/none"+parameters)
		for name, got := range postgres.Lifetimes(s) {
			assert.Equal(t, want, got, "%s %s", name, parameters)
		}
	}
}

// hosts returns a URL of several hosts.
func hosts(c *servers.Postgres, before ...int) string {
	var list strings.Builder
	for _, port := range before {
		fmt.Fprintf(&list, "127.0.0.1:%d,", port)
	}
	return strings.Replace(c.URL("postgres"), "@", "@"+list.String(), 1)
}

func TestOpen_OnAStandby_ServesNothingThatIsStale(t *testing.T) {
	r := newReplicated(t, 1)
	r.settled()
	standby := r.replicas[0]
	s := open(t, standby.URL("postgres"))
	_, err := s.Stores().Workloads.List(t.Context(), ports.WorkloadQuery{Customer: acme, Limit: 10})
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err), "%v", err)
	_, err = s.Stores().Customers.List(t.Context(), "", 1)
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err), "%v", err)
	err = s.Present(t.Context(), "coord_a")
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err), "%v", err)
	assert.True(t, postgres.NotWritable(err), "%v", err)

	for _, wanted := range []string{"", "&target_session_attrs=read-write"} {
		found, err := postgres.Inspect(t.Context(), standby.URL("postgres")+wanted)
		require.NoError(t, err)
		assert.True(t, found.Standby)
		require.NoError(t, postgres.CheckSchema(t.Context(), standby.URL("postgres")+wanted))
	}

	both := hosts(r.primary, standby.Port) // the standby is the first
	found, err := postgres.Inspect(t.Context(), both)
	require.NoError(t, err)
	assert.False(t, found.Standby)
	_, err = postgres.MigrateUp(t.Context(), both, silent)
	require.NoError(t, err)
	s = open(t, both)
	require.NoError(t, s.Present(t.Context(), "coord_a"))
	_, err = s.Stores().Workloads.List(t.Context(), ports.WorkloadQuery{Customer: acme, Limit: 10})
	require.NoError(t, err)
	p := &processes{T: t, url: both, observer: &counting{counts: map[string]int{}}}
	p.start()
}

// dark returns the port of a host that never answers.
func dark(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().(*net.TCPAddr).Port
}

func TestConnect_WhenTheFirstHostIsDark_GoesOnToTheNext(t *testing.T) {
	c := servers.SharedPostgres(t, prepare)
	db := c.Database(t)
	url := strings.Replace(hosts(c, dark(t)), "/postgres?", "/"+db+"?", 1)
	t.Run("schema", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, postgres.CheckSchema(t.Context(), url))
	})
	t.Run("inspection", func(t *testing.T) {
		t.Parallel()
		_, err := postgres.Inspect(t.Context(), url)
		require.NoError(t, err)
	})
	t.Run("hints", func(t *testing.T) {
		t.Parallel()
		p := &processes{T: t, url: c.URL(db), observer: &counting{counts: map[string]int{}}}
		p.start(func(_ *postgres.Options, o *postgres.HintOptions) { o.URL = url })
	})
}
