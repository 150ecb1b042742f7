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

// Supervisor runs this image again as its child, and ends what the child leaves behind.
//
// It is the subreaper of everything that the child starts. It forwards signals, and reaps orphans
// if it is process 1. When the child has ended, it kills the child's descendants until none is
// left. Only then it calls Certify, and after that Sweep. It never starts the child again, and
// exits as the child did.
//
// When the supervisor ends first, the child is told by Supervision.Orphaned, and should end.
type Supervisor struct {
	// ProcessID is the name of the child's process, and Digest that of the secret with which
	// Certify certifies its death. The child is told both. Empty if nothing is to be certified.
	ProcessID, Digest string
	// Certify tells the coordinators that nothing of the child is left. It is not called while a
	// descendant survives. Nil if nobody has to know.
	Certify func(ctx context.Context, status int) error
	// Sweep removes what the child has left on disk. It may be nil.
	Sweep func() error
	// KillTimeout bounds the killing of descendants. 0 means DefaultKillTimeout.
	KillTimeout time.Duration
	Log         *slog.Logger
}

// DefaultKillTimeout is the default of Supervisor.KillTimeout.
const DefaultKillTimeout = 10 * time.Second

// Run supervises until nothing of the child is left. It returns the status to exit with: the
// child's, or 128 and the number of the signal that killed it. With ErrUnsupported, nothing was
// started.
func (s *Supervisor) Run(ctx context.Context) (status int, err error) { return s.run(ctx) }

// ErrUnsupported is returned where processes cannot be supervised.
var ErrUnsupported = errors.New("processes are supervised on Linux only")

// Supervision is what a supervised process knows of its supervisor.
type Supervision struct {
	// ProcessID and Digest are those of Supervisor.
	ProcessID, Digest string
	// Orphaned is closed when the supervisor has ended.
	Orphaned <-chan struct{}
}

// supervisedVariable holds the descriptor, the process id and the digest for the child, separated
// by colons.
const supervisedVariable = "NIYANTA_SUPERVISED"

// Supervised returns this process's supervision, nil if it has no supervisor. The first call takes
// it out of the environment. Call it after Shed, and before anything else reads the environment.
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
		_, _ = lifeline.Read(make([]byte, 1)) // nothing is written: it returns when the supervisor has ended
	}()
	return &Supervision{parts[1], parts[2], orphaned}, nil
})
