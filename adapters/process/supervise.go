package process

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Supervisor runs this image again as its child, and outlives it for as long as it takes to end what the child leaves behind.
//
// It is the subreaper of everything that the child starts, forwards signals, and does the duties of process 1 where it is
// that. When the child ends, it kills the child's descendants until none is left to wait for. Then, and only then, it calls
// Certify; then Sweep. It never starts the child again, and ends as the child has ended.
//
// When the supervisor ends first, the child is told (Supervision.Orphaned), and is expected to finish.
type Supervisor struct {
	// ProcessID and Digest are told to the child: the name of its process, and the digest of the secret with which Certify
	// certifies its death. Empty: nothing is to be certified.
	ProcessID, Digest string
	// Certify tells the world that nothing of the child is left; nil: nobody has to know. A descendant that survives prevents it.
	Certify func(ctx context.Context, status int) error
	// Sweep removes what the child has left on disk; may be nil.
	Sweep func() error
	// KillTimeout bounds the killing of descendants; 0: DefaultKillTimeout.
	KillTimeout time.Duration
	Log         *slog.Logger
}

// DefaultKillTimeout is the default of Supervisor.KillTimeout.
const DefaultKillTimeout = 10 * time.Second

// Run supervises until the child has ended and nothing of it is left, and returns the status to exit with: the child's, or 128
// and the number of the signal that killed it. ErrUnsupported: the system has no such means, nothing was started.
func (s *Supervisor) Run(ctx context.Context) (status int, err error) { return s.run(ctx) }

// ErrUnsupported tells that processes cannot be supervised on this system.
var ErrUnsupported = errors.New("processes are supervised on Linux only")

// Supervision is what a supervised process knows of its supervisor.
type Supervision struct {
	// ProcessID and Digest are those of Supervisor.
	ProcessID, Digest string
	// Orphaned is closed when the supervisor has ended.
	Orphaned <-chan struct{}
}

// supervisedVariable tells a child of its supervisor: descriptor, process id and digest, separated by colons.
const supervisedVariable = "NIYANTA_SUPERVISED"

// Supervised returns this process's supervision; nil when it has no supervisor. The first call takes it out of the environment,
// so it comes behind Shed, and before anything else reads the environment.
var Supervised = sync.OnceValues(func() (*Supervision, error) {
	text, ok := os.LookupEnv(supervisedVariable)
	if !ok {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	if err := os.Unsetenv(supervisedVariable); err != nil {
		return nil, err
	}
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return nil, fmt.Errorf("%s is set by supervisors only", supervisedVariable)
	}
	fd, err := strconv.Atoi(parts[0])
	if err != nil || fd < 3 {
		return nil, fmt.Errorf("%s is set by supervisors only", supervisedVariable)
	}
	orphaned := make(chan struct{})
	lifeline := os.NewFile(uintptr(fd), "lifeline")
	go func() {
		defer close(orphaned)
		_, _ = lifeline.Read(make([]byte, 1)) // the supervisor writes nothing: it returns when that has ended
	}()
	return &Supervision{parts[1], parts[2], orphaned}, nil
})
