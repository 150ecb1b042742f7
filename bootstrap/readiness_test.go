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
		a.becomes(c.code, map[string]any{
			"status": c.status, "dependencies.database": c.database, "dependencies.broker": c.broker,
			"dependencies.rate_limiter": c.limiter, "dependencies.replica": c.replica,
			"dependencies.archive": c.archive, "is_leader": true,
		}, c.name)
		assert.Equal(t, 200, a.call("GET", "/health", "", nil).status, "%s: the process is alive", c.name)
	}
}

// becomes checks the dependencies until /ready has the status and the fields. A check that began
// before may end after one of the test.
func (a *api) becomes(status int, fields map[string]any, why string) {
	a.Helper()
	var ans answer
	assert.Eventually(a, func() bool {
		a.dev.App.checkDependencies(a.Context())
		ans = a.call("GET", "/ready", "", nil)
		for name, want := range fields {
			if ans.field(name) != want {
				return false
			}
		}
		return ans.status == status
	}, 30*time.Second, time.Millisecond, why)
	assert.Equal(a, status, ans.status, why)
	for name, want := range fields {
		assert.Equal(a, want, ans.field(name), "%s: %s", why, name)
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
		a.becomes(200, map[string]any{"status": c.status, "dependencies.checkpoints": c.checkpoints}, c.status)
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
	checks := int64(time.Since(began)/checkInterval) + 2 // one may have been late
	assert.LessOrEqual(t, deps.writes.Load()-before, checks)
	require.Eventually(t, func() bool { return deps.writes.Load() >= before+2 }, 30*time.Second,
		50*time.Millisecond, "it goes on checking")
}

func TestReadiness_WhenTheProcessStoodStill_IsUnavailable(t *testing.T) {
	d, _ := withDependencies(t)
	require.Equal(t, httpapi.Connected, d.App.ready(t.Context()).Database)
	old := *d.App.watcher.last.Load()
	old.at = old.at.Add(-2 * checkValidFor)
	require.Eventually(t, func() bool { // unless it checks just then
		d.App.watcher.last.Store(&old)
		return d.App.ready(t.Context()).Database == httpapi.Disconnected
	}, 30*time.Second, time.Millisecond)
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
