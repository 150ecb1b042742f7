package bootstrap

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	httpapi "github.com/niyanta/niyanta/adapters/http"
	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/adapters/system"
)

const (
	// lookInterval is the time between two looks at what the coordinator depends on: each writes
	// its presence once. Probes are answered from the last look, so that however many there are,
	// they cost the dependencies nothing.
	lookInterval = 2 * time.Second
	// lookTimeout bounds one look at one dependency. One that takes longer is as good as away.
	lookTimeout = 2 * time.Second
	// lookFresh is how long a look counts. Beyond it this process stood still, and what it knew is
	// no longer worth anything.
	lookFresh = 3 * (lookInterval + lookTimeout)
)

// look is what was found of the dependencies.
type look struct {
	at                                     time.Time
	database, broker, rateLimiter, replica httpapi.Dependency
}

// watcher looks at the dependencies now and then.
type watcher struct{ last atomic.Pointer[look] }

// watchDependencies looks again and again, and logs each change.
func (a *App) watchDependencies(ctx context.Context) {
	for system.Sleep(ctx, lookInterval) == nil {
		a.lookAtDependencies(ctx)
	}
}

// lookAtDependencies looks at all dependencies at once.
func (a *App) lookAtDependencies(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	b := a.backends
	now := look{database: httpapi.Connected, broker: httpapi.Connected, rateLimiter: httpapi.Connected}
	var wg sync.WaitGroup
	ask := func(into *httpapi.Dependency, ping func(context.Context) error) {
		if ping == nil {
			return // it is in this process
		}
		wg.Go(func() { *into = stateOf(ping(bounded)) })
	}
	if b.Present != nil {
		ask(&now.database, func(ctx context.Context) error { return b.Present(ctx, a.host.Name) })
	}
	ask(&now.broker, b.Hints.Ping)
	ask(&now.rateLimiter, b.Limiter.Ping)
	ask(&now.replica, b.PingReplica)
	wg.Wait()
	if ctx.Err() != nil {
		return // it says nothing: the process ends
	}
	now.at = time.Now()
	before := a.watcher.last.Swap(&now)
	if before == nil {
		before = &look{
			database: httpapi.Connected, broker: httpapi.Connected, rateLimiter: httpapi.Connected,
			replica: now.replica,
		}
	}
	for _, d := range []struct {
		name      string
		was, isIt httpapi.Dependency
	}{
		{"database", before.database, now.database}, {"broker", before.broker, now.broker},
		{"rate_limiter", before.rateLimiter, now.rateLimiter}, {"replica", before.replica, now.replica},
	} {
		if d.was != d.isIt {
			a.log.Warn("a dependency changed", "dependency", d.name, "from", string(d.was), "to", string(d.isIt))
		}
	}
}

func stateOf(err error) httpapi.Dependency {
	switch {
	case err == nil:
		return httpapi.Connected
	case postgres.NotWritable(err):
		return httpapi.NotWritable
	}
	return httpapi.Disconnected
}

// ready is what the last look found, and who leads.
func (a *App) ready(context.Context) httpapi.Readiness {
	_, leading := a.coordinator.Leadership.Current()
	r := httpapi.Readiness{Leader: leading, LeaderElected: leading || a.coordinator.Leadership.Leader().Holder != ""}
	last := a.watcher.last.Load()
	if last == nil || time.Since(last.at) > lookFresh {
		r.Database, r.Broker, r.RateLimiter = httpapi.Disconnected, httpapi.Disconnected, httpapi.Disconnected
		return r
	}
	r.Database, r.Broker, r.RateLimiter, r.Replica = last.database, last.broker, last.rateLimiter, last.replica
	return r
}
