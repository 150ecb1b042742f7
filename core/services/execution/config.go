package execution

import (
	"context"
	"log/slog"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Config describes a worker.
type Config struct {
	WorkerID  domain.WorkerID
	Slots     int
	Resources domain.Resources
	Tags      map[string]string
	Version   string
	// ProcessID names the process; "" means a generated one.
	ProcessID string
	// CertificateDigest is the digest of the secret with which the process's supervisor certifies
	// its death; "" means that it has none.
	CertificateDigest string
	// TakeOver ends the session of another process that holds WorkerID, with the first
	// registration.
	TakeOver bool
	// Types are the workload types that the worker offers.
	Types map[string]ports.WorkloadFactory
	// Capabilities are what the worker offers beside the types; see domain.NeededCapability.
	Capabilities []string
	// StopGrace bounds each half of a stop: the checkpoint that the worker takes of a run before it
	// ends the run's context, and what the run still does after that. A run that has not returned
	// by then is stuck. 0 means DefaultStopGrace.
	StopGrace time.Duration
}

// DefaultStopGrace is the default of Config.StopGrace.
const DefaultStopGrace = 10 * time.Second

// Deps are what the worker works with.
type Deps struct {
	Plane ports.ControlPlane
	Clock ports.Clock
	IDs   ports.IDs
	Log   *slog.Logger
	// Sleep waits for d or until ctx ends, and returns ctx's error.
	Sleep func(ctx context.Context, d time.Duration) error
	// Spawn runs f beside the caller. New replaces it with go statements of the engine's own.
	Spawn func(f func())
}
