package bootstrap

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	httpapi "github.com/niyanta/niyanta/adapters/http"
	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// checkInterval is the time between two checks of the coordinator's dependencies. Each check
	// writes the coordinator's presence once. Probes are answered from the last check, so that they
	// cost the dependencies nothing.
	checkInterval = 2 * time.Second
	// checkTimeout is the timeout of a check. A dependency without an answer by then counts as
	// disconnected.
	checkTimeout = 2 * time.Second
	// checkValidFor is how long the result of a check is used. An older one is left only when this
	// process stood still, and says nothing about the present.
	checkValidFor = 3 * (checkInterval + checkTimeout)
)

// checked is the result of a check.
type checked struct {
	at                                              time.Time
	database, broker, rateLimiter, replica, archive httpapi.Dependency
	identity, checkpoints                           httpapi.Dependency
}

// keyTrouble is how long a key that a storage could not use is told of. What waits for it is tried again
// more often than that.
const keyTrouble = 10 * time.Minute

// encryptionRefused is what is counted when a storage could not use the key of a customer.
const encryptionRefused = "encryption_refused"

// keyWatch notices that a storage could not use the encryption key of a customer.
type keyWatch struct {
	ports.Observer
	clock ports.Clock
	last  atomic.Pointer[time.Time]
}

// Count implements ports.Observer.
func (k *keyWatch) Count(name string, n int) {
	if name == encryptionRefused && n > 0 {
		k.last.Store(new(k.clock.Now()))
	}
	k.Observer.Count(name, n)
}

// encryptionState returns whether storages take the keys of customers; empty if none encrypts.
func (a *App) encryptionState() httpapi.EncryptionState {
	b := a.backends
	if !encrypts(b.Archive.BlobStore) && !encrypts(b.Checkpoints.BlobStore) {
		return ""
	}
	if k, ok := a.host.Observer.(*keyWatch); ok {
		if last := k.last.Load(); last != nil && k.clock.Now().Sub(*last) < keyTrouble {
			return httpapi.EncryptionRefused
		}
	}
	return httpapi.EncryptionUsable
}

func encrypts(s ports.BlobStore) bool { return s != nil && s.Encrypts() }

// watcher holds the result of the last check.
type watcher struct{ last atomic.Pointer[checked] }

// watchDependencies checks the dependencies until ctx ends.
func (a *App) watchDependencies(ctx context.Context) {
	for system.Sleep(ctx, checkInterval) == nil {
		a.checkDependencies(ctx)
	}
}

// checkDependencies checks all dependencies at the same time. It logs each change since the last
// check.
func (a *App) checkDependencies(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	b := a.backends
	now := checked{database: httpapi.Connected, broker: httpapi.Connected, rateLimiter: httpapi.Connected}
	var wg sync.WaitGroup
	ask := func(into *httpapi.Dependency, ping func(context.Context) error) {
		if ping == nil {
			return // the dependency is in this process
		}
		wg.Go(func() { *into = stateOf(ping(bounded)) })
	}
	if b.Present != nil {
		ask(&now.database, func(ctx context.Context) error { return b.Present(ctx, a.host.Name) })
	}
	ask(&now.broker, b.Hints.Ping)
	ask(&now.rateLimiter, b.Limiter.Ping)
	ask(&now.replica, b.PingReplica)
	ask(&now.archive, b.Archive.Ping)
	ask(&now.checkpoints, b.Checkpoints.Ping)
	ask(&now.identity, b.Identity.ping())
	wg.Wait()
	if ctx.Err() != nil {
		return // the process ends, so that the result says nothing
	}
	now.at = time.Now()
	before := a.watcher.last.Swap(&now)
	if before == nil {
		before = &checked{
			database: httpapi.Connected, broker: httpapi.Connected, rateLimiter: httpapi.Connected,
			replica: connectedIfAny(now.replica), archive: connectedIfAny(now.archive),
			identity: connectedIfAny(now.identity), checkpoints: connectedIfAny(now.checkpoints),
		}
	}
	for _, d := range []struct {
		name      string
		was, isIt httpapi.Dependency
	}{
		{"database", before.database, now.database}, {"broker", before.broker, now.broker},
		{"rate_limiter", before.rateLimiter, now.rateLimiter}, {"replica", before.replica, now.replica},
		{"archive", before.archive, now.archive}, {"identity_provider", before.identity, now.identity},
		{"checkpoints", before.checkpoints, now.checkpoints},
	} {
		if d.was != d.isIt {
			a.log.Warn("a dependency changed", "dependency", d.name, "from", string(d.was), "to", string(d.isIt))
		}
	}
}

// connectedIfAny returns Connected for a dependency that is configured.
func connectedIfAny(d httpapi.Dependency) httpapi.Dependency {
	if d == "" {
		return ""
	}
	return httpapi.Connected
}

// stateOf returns the state of a dependency whose check returned err.
func stateOf(err error) httpapi.Dependency {
	switch {
	case err == nil:
		return httpapi.Connected
	case postgres.NotWritable(err):
		return httpapi.NotWritable
	}
	return httpapi.Disconnected
}

// ready returns the result of the last check, and whether a coordinator leads.
func (a *App) ready(context.Context) httpapi.Readiness {
	_, leading := a.coordinator.Leadership.Current()
	leader := a.coordinator.Leadership.Leader().Holder
	r := httpapi.Readiness{
		Leader: leading, LeaderElected: leading || leader != "", LeaderName: leader,
		Certificate: certificateState(a.certificates), EncryptionKeys: a.encryptionState(),
	}
	last := a.watcher.last.Load()
	if last == nil || time.Since(last.at) > checkValidFor {
		r.Database, r.Broker, r.RateLimiter = httpapi.Disconnected, httpapi.Disconnected, httpapi.Disconnected
		return r
	}
	r.Database, r.Broker, r.RateLimiter = last.database, last.broker, last.rateLimiter
	r.Checkpoints = last.checkpoints
	r.Replica, r.Archive, r.IdentityProvider = last.replica, last.archive, last.identity
	return r
}

// checkpointsConnected returns 1 if the last check found the storage of large checkpoints connected,
// and else 0. It is not known before the first check.
func (a *App) checkpointsConnected() (connected float64, known bool) {
	last := a.watcher.last.Load()
	if last == nil {
		return 0, false
	}
	if last.checkpoints == httpapi.Connected {
		connected = 1
	}
	return connected, true
}
