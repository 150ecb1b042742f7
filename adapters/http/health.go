package http

import (
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/niyanta/niyanta/adapters/http/gen"
)

// mountHealth mounts health, readiness and metrics. None of them needs a key.
func (a *api) mountHealth(r chi.Router) {
	r.Get("/health", a.health)
	r.Get("/ready", a.ready)
	r.Method(http.MethodGet, "/metrics", a.Metrics)
}

// health answers 200 as long as the process runs. It depends on nothing outside the process.
func (a *api) health(w http.ResponseWriter, _ *http.Request) {
	now := time.Now()
	writeJSON(w, http.StatusOK, gen.Health{
		Status: gen.Healthy, Timestamp: at(now), UptimeSeconds: int(now.Sub(a.started).Seconds()), Version: a.Version,
	})
}

// Dependency is the state of something that the coordinator depends on.
type Dependency string

// The states.
const (
	Connected    Dependency = "connected"
	Disconnected Dependency = "disconnected"
	// NotWritable is a database that answers but takes no writes.
	NotWritable Dependency = "not_writable"
)

// CertificateState is how the certificate that the coordinator shows stands.
type CertificateState string

// The states of the certificate.
const (
	CertificateValid CertificateState = "valid"
	// CertificateNotReplaced is a certificate whose files have changed and cannot be used: the earlier
	// one is shown.
	CertificateNotReplaced CertificateState = "not_replaced"
	CertificateExpired     CertificateState = "expired"
)

// EncryptionState is whether the storages take the encryption keys of customers.
type EncryptionState string

// The states of encryption keys.
const (
	EncryptionUsable EncryptionState = "usable"
	// EncryptionRefused: a storage could not use the key of a customer lately.
	EncryptionRefused EncryptionState = "refused"
)

// Readiness is the state of the process and of its dependencies. Replica, Archive,
// IdentityProvider, EncryptionKeys and Certificate are empty if none is configured.
type Readiness struct {
	Leader, LeaderElected bool
	// LeaderName is the coordinator that leads; empty if none does. /ready does not tell it to everybody.
	LeaderName                                                   string
	Database, Broker, RateLimiter, Replica, Archive, Checkpoints Dependency
	IdentityProvider                                             Dependency
	Certificate                                                  CertificateState
	EncryptionKeys                                               EncryptionState
}

// status is "unavailable" if the process cannot serve: it shuts down, or there is no database that
// takes writes. It is "degraded" if the process serves without something that it can do without. A
// fault that all coordinators see at once must not take all of them out of rotation: with the bus
// disconnected, workers get their work over HTTP. Encryption keys change nothing: they are in the
// hands of customers, and one must not be able to have all coordinators called degraded.
func (r Readiness) status(stopping bool) gen.ReadinessStatus {
	switch {
	case stopping || r.Database != Connected:
		return gen.Unavailable
	case r.Broker != Connected, r.RateLimiter != Connected, r.Replica != Connected && r.Replica != "",
		r.Archive != Connected && r.Archive != "", r.Checkpoints != Connected && r.Checkpoints != "",
		r.IdentityProvider != Connected && r.IdentityProvider != "",
		r.Certificate != CertificateValid && r.Certificate != "",
		!r.LeaderElected:
		return gen.Degraded
	}
	return gen.Ready
}

func (a *api) ready(w http.ResponseWriter, r *http.Request) {
	state := a.Ready(r.Context())
	out := gen.Readiness{Status: state.status(a.Stopping.Err() != nil), IsLeader: state.Leader}
	d := &out.Dependencies
	d.Database, d.Broker = gen.ReadinessDependenciesDatabase(state.Database), gen.ReadinessDependenciesBroker(state.Broker)
	d.RateLimiter, d.LeaderElected = gen.ReadinessDependenciesRateLimiter(state.RateLimiter), state.LeaderElected
	if state.Replica != "" {
		replica := gen.ReadinessDependenciesReplica(state.Replica)
		d.Replica = &replica
	}
	if state.Checkpoints != "" {
		checkpoints := gen.ReadinessDependenciesCheckpoints(state.Checkpoints)
		d.Checkpoints = &checkpoints
	}
	if state.Archive != "" {
		archive := gen.ReadinessDependenciesArchive(state.Archive)
		d.Archive = &archive
	}
	if state.IdentityProvider != "" {
		provider := gen.ReadinessDependenciesIdentityProvider(state.IdentityProvider)
		d.IdentityProvider = &provider
	}
	if state.EncryptionKeys != "" {
		keys := gen.ReadinessDependenciesEncryptionKeys(state.EncryptionKeys)
		d.EncryptionKeys = &keys
	}
	if state.Certificate != "" {
		certificate := gen.ReadinessDependenciesCertificate(state.Certificate)
		d.Certificate = &certificate
	}
	status := http.StatusOK
	if out.Status == gen.Unavailable {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, out)
}
