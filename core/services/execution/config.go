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
	Resources domain.Offer
	Tags      map[string]string
	Version   string
	// ProcessID identifies the process. If it is empty, one is generated.
	ProcessID string
	// CertificateDigest is the digest of the secret with which the supervisor of the process
	// certifies its death. It is empty if there is no supervisor.
	CertificateDigest string
	// TakeOver makes the first registration end the session of another process that holds WorkerID.
	TakeOver bool
	// Types are the workload types that the worker offers.
	Types map[string]ports.WorkloadFactory
	// Capabilities are what the worker offers beside the types; see domain.NeededCapability.
	Capabilities []string
	// StopGrace bounds each half of a stop: first the checkpoint before the run's context ends,
	// then what the run still does. A run that has not returned after both is stuck. 0 means
	// DefaultStopGrace.
	StopGrace time.Duration
}

// DefaultStopGrace is the default of Config.StopGrace.
const DefaultStopGrace = 10 * time.Second

// Deps are the dependencies of a worker.
type Deps struct {
	Plane ports.ControlPlane
	Clock ports.Clock
	IDs   ports.IDs
	Log   *slog.Logger
	// Sleep waits for d or until ctx ends, and returns ctx's error.
	Sleep func(ctx context.Context, d time.Duration) error
	// Spawn runs f concurrently. New replaces it by goroutines that the engine waits for.
	Spawn func(f func())
	// Spool keeps checkpoints that are streamed; nil: there are none.
	Spool ports.Spool
}
