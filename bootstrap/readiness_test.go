package bootstrap

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	httpapi "github.com/niyanta/niyanta/adapters/http"
	"github.com/niyanta/niyanta/contracttests"
)

// dependencies answer with the errors that a test sets.
type dependencies struct {
	database, broker, limiter, replica, archive, checkpoints atomic.Pointer[error]
	writes                                                   atomic.Int64
}

func answers(p *atomic.Pointer[error]) func(context.Context) error {
	return func(context.Context) error {
		if err := p.Load(); err != nil {
			return *err
		}
		return nil
	}
}

// withDependencies starts a coordinator on dependencies that can be disconnected.
func withDependencies(t *testing.T) (*Dev, *dependencies) {
	t.Helper()
	deps := &dependencies{}
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0"})
	require.NoError(t, err)
	d, err := newDevOn(t.Context(), cfg, 0, "test", silent, func(cfg Config, log *slog.Logger) (*App, error) {
		app, err := newMemoryApp(cfg, log)
		if err != nil {
			return nil, err
		}
		b := &app.backends
		b.Present = func(ctx context.Context, coordinator string) error {
			assert.Equal(t, app.host.Name, coordinator)
			deps.writes.Add(1)
			return answers(&deps.database)(ctx)
		}
		b.Hints.Ping, b.Limiter.Ping, b.PingReplica = answers(&deps.broker), answers(&deps.limiter),
			answers(&deps.replica)
		b.Archive.Ping, b.Checkpoints.Ping = answers(&deps.archive), answers(&deps.checkpoints)
		return app, nil
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close(context.Background())) })
	return d, deps
}

func TestReadiness_WhenADependencyGoes_IsUnavailableOnlyWithoutADatabaseThatTakesWrites(t *testing.T) {
	d, deps := withDependencies(t)
	a := newAPIOf(t, d)
	disconnected, readOnly, full := errors.New("disconnected"), error(&pgconn.PgError{Code: "25006"}),
		error(&pgconn.PgError{Code: "53100"})
	for _, c := range []struct {
		name, status, database, broker, limiter, replica, archive string
		code                                                      int
		set                                                       func(*dependencies)
	}{
		{"everything is there", "ready", "connected", "connected", "connected", "connected", "connected", 200,
			func(*dependencies) {}},
		{"the bus is disconnected", "degraded", "connected", "disconnected", "connected", "connected", "connected", 200,
			func(d *dependencies) { d.broker.Store(&disconnected) }},
		{"the rate limiter is disconnected", "degraded",
			"connected", "connected", "disconnected", "connected", "connected", 200,
			func(d *dependencies) { d.limiter.Store(&disconnected) }},
		{"the replica is disconnected", "degraded", "connected", "connected", "connected", "disconnected", "connected", 200,
			func(d *dependencies) { d.replica.Store(&disconnected) }},
		{"the archive is disconnected", "degraded",
			"connected", "connected", "connected", "connected", "disconnected", 200,
			func(d *dependencies) { d.archive.Store(&disconnected) }},
		{"the database is disconnected", "unavailable",
			"disconnected", "connected", "connected", "connected", "connected", 503,
			func(d *dependencies) { d.database.Store(&disconnected) }},
		{"the database is read-only", "unavailable",
			"not_writable", "connected", "connected", "connected", "connected", 503,
			func(d *dependencies) { d.database.Store(&readOnly) }},
		{"its disk is full", "unavailable", "not_writable", "connected", "connected", "connected", "connected", 503,
			func(d *dependencies) { d.database.Store(&full) }},
		{"everything is back", "ready", "connected", "connected", "connected", "connected", "connected", 200,
			func(*dependencies) {}},
	} {
		for _, p := range []*atomic.Pointer[error]{&deps.database, &deps.broker, &deps.limiter, &deps.replica,
			&deps.archive} {
			p.Store(nil)
		}
		c.set(deps)
		d.App.checkDependencies(t.Context())
		ans := a.call("GET", "/ready", "", nil)
		assert.Equal(t, c.code, ans.status, c.name)
		assert.Equal(t, c.status, ans.field("status"), c.name)
		for field, want := range map[string]string{
			"database": c.database, "broker": c.broker, "rate_limiter": c.limiter, "replica": c.replica,
			"archive": c.archive,
		} {
			assert.Equal(t, want, ans.field("dependencies."+field), "%s: %s", c.name, field)
		}
		assert.Equal(t, true, ans.field("is_leader"), c.name)
		assert.Equal(t, 200, a.call("GET", "/health", "", nil).status, "%s: the process is alive", c.name)
	}
}

func TestReadiness_WhenTheStorageOfCheckpointsGoes_IsDegradedAndItsMetricIsZero(t *testing.T) {
	d, deps := withDependencies(t)
	a := newAPIOf(t, d)
	disconnected := errors.New("disconnected")
	for _, c := range []struct {
		err                 *error
		status, checkpoints string
		connected           float64
	}{
		{nil, "ready", "connected", 1}, {&disconnected, "degraded", "disconnected", 0}, {nil, "ready", "connected", 1},
	} {
		deps.checkpoints.Store(c.err)
		d.App.checkDependencies(t.Context())
		ans := a.call("GET", "/ready", "", nil)
		assert.Equal(t, 200, ans.status)
		assert.Equal(t, c.status, ans.field("status"))
		assert.Equal(t, c.checkpoints, ans.field("dependencies.checkpoints"))
		connected, known := d.App.checkpointsConnected()
		assert.True(t, known)
		assert.InDelta(t, c.connected, connected, 0)
	}
}

func TestReadiness_HoweverManyProbes_CostsOneWriteEachTwoSeconds(t *testing.T) {
	t.Parallel()
	d, deps := withDependencies(t)
	a := newAPIOf(t, d)
	began, before := time.Now(), deps.writes.Load()
	for range 1000 {
		a.call("GET", "/ready", "", nil)
	}
	checks := int64(time.Since(began)/checkInterval) + 1
	assert.LessOrEqual(t, deps.writes.Load()-before, checks)
	require.Eventually(t, func() bool { return deps.writes.Load() >= before+2 }, 30*time.Second,
		50*time.Millisecond, "it goes on checking")
}

func TestReadiness_WhenTheProcessStoodStill_IsUnavailable(t *testing.T) {
	d, _ := withDependencies(t)
	require.Equal(t, httpapi.Connected, d.App.ready(t.Context()).Database)
	old := *d.App.watcher.last.Load()
	old.at = old.at.Add(-2 * checkValidFor)
	d.App.watcher.last.Store(&old)
	require.Equal(t, httpapi.Disconnected, d.App.ready(t.Context()).Database)
}

func TestArchivePing_WhileItSucceeds_AsksOnceInAnInterval(t *testing.T) {
	clock := contracttests.NewClock(time.Unix(1_700_000_000, 0))
	asked, fails := 0, error(nil)
	ping := seldom(clock, time.Minute, func(context.Context) error {
		asked++
		return fails
	})
	for range 10 {
		require.NoError(t, ping(t.Context()))
	}
	require.Equal(t, 1, asked)
	clock.Advance(time.Minute)
	fails = errors.New("disconnected")
	for range 3 {
		require.Error(t, ping(t.Context()))
	}
	require.Equal(t, 4, asked, "a failure is looked at each time")
	fails = nil
	require.NoError(t, ping(t.Context()))
	require.NoError(t, ping(t.Context()))
	require.Equal(t, 5, asked)
}
