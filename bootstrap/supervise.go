package bootstrap

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/niyanta/niyanta/adapters/process"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/adapters/workloads"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// certifyTimeout is how long a supervisor tries to certify a death. After that the lease is
	// over as well.
	certifyTimeout = 10 * time.Second
	// partingTimeout replaces certifyTimeout when the worker ended without an error. It has
	// deregistered then, and the certificate is only a precaution.
	partingTimeout = 2 * time.Second
	// certifyTry is the timeout of one try with one coordinator. certifyPause is the time between
	// two rounds of tries.
	certifyTry   = 2 * time.Second
	certifyPause = 200 * time.Millisecond
)

// Supervise runs this command again as a child of this process, and supervises it. It returns the
// status to exit with. supervised is false if the caller must run the command itself: it is the
// child already, or needs no supervisor.
//
// A worker needs a supervisor, whose certificates move the work of a dead worker at once, unless
// NIYANTA_SUPERVISE is false. So does a server with workers that shares its store. In memory it
// needs one if its workers may start programs. Any server needs one as process 1, where orphans must
// be reaped.
func Supervise(ctx context.Context, cfg Config, role Role, log *slog.Logger) (status int, supervised bool, err error) {
	already, err := process.Supervised()
	if err != nil || already != nil {
		return 0, false, err
	}
	if process.HasShed() && process.InForce() == process.ProtectionNone {
		log.Warn("other processes of this user can read this server's secrets: the system offers no protection",
			"system", runtime.GOOS)
	}
	first := os.Getpid() == 1
	s := &process.Supervisor{Log: log, Sweep: sweepScratch}
	switch {
	case cfg.Supervise && certified(cfg, role):
		certificate := newCertificate(system.IDs{})
		s.ProcessID, s.Digest = certificate.ProcessID, domain.CertificateDigest(certificate.Secret)
		s.Certify = func(ctx context.Context, status int) error { return certify(ctx, cfg, role, certificate, status, log) }
	case role != RoleCoordinator && cfg.Supervise && len(cfg.ExecAllow) > 0, first:
	default:
		return 0, false, nil
	}
	status, err = s.Run(context.WithoutCancel(ctx))
	if errors.Is(err, process.ErrUnsupported) {
		log.Warn("running without a supervisor: the work of a killed worker waits for its lease", "reason", err)
		return 0, false, nil
	}
	return status, err == nil, err
}

// certified reports whether a process of the role has workers whose work can move elsewhere.
func certified(cfg Config, role Role) bool {
	return role == RoleWorker || role == RoleServer && cfg.Store == StorePostgres && cfg.Workers > 0
}

// sweepScratch removes the scratch directories that dead workers have left.
func sweepScratch() error {
	_, err := workloads.SweepScratch()
	return err
}

// UntilOrphaned returns a context that ends with ctx, or when this process's supervisor has ended.
func UntilOrphaned(ctx context.Context, log *slog.Logger) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	s, err := process.Supervised()
	if err != nil || s == nil {
		return ctx, cancel
	}
	go func() {
		select {
		case <-s.Orphaned:
			log.Error("the supervisor has ended: draining")
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// newCertificate makes the death certificate of a process that is about to start.
func newCertificate(ids ports.IDs) domain.SessionEnd {
	secret := make([]byte, 32)
	ids.Random(secret)
	return domain.SessionEnd{ProcessID: ids.New(domain.PrefixProcess), Secret: hex.EncodeToString(secret)}
}

// certify sends a death certificate to the coordinators, over all transports at once, until one has
// answered.
func certify(
	ctx context.Context, cfg Config, role Role, c domain.SessionEnd, status int, log *slog.Logger,
) error {
	timeout := certifyTimeout
	if status == 0 {
		timeout = partingTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ways, closeAll, err := waysToCertify(ctx, cfg, role, c.ProcessID, log)
	if err != nil {
		return err
	}
	defer closeAll()
	for {
		if err = certifyByAny(ctx, ways, c); err == nil {
			log.Info("death certified", "process_id", c.ProcessID, "status", status)
			return nil
		}
		if code := domain.CodeOf(err); code == domain.CodeForbidden || code == domain.CodeInvalidInput ||
			code == domain.CodeUnauthorized {
			return err
		}
		if system.Sleep(ctx, certifyPause) != nil {
			return fmt.Errorf("no coordinator has answered within %s: %w", timeout, err)
		}
	}
}

// waysToCertify returns a client for each coordinator's address, and one for the bus. For a server
// it returns the store that it shared, because its supervisor knows no other coordinator.
func waysToCertify(
	ctx context.Context, cfg Config, role Role, id string, log *slog.Logger,
) (ways []certifier, closeAll func(), err error) {
	if role == RoleServer {
		cfg.MigrateOnStart = false
		app, closeBackends, err := newConfiguredApp(ctx, cfg, log)
		if err != nil {
			return nil, nil, err
		}
		return []certifier{app.coordinator.Plane}, func() { app.coordinator.Close(); closeBackends() }, nil
	}
	var closers []func()
	closeAll = func() {
		for _, f := range closers {
			f()
		}
	}
	if cfg.CoordinatorURL != "" {
		clients, _, err := newWorkerClients(cfg, log)
		if err != nil {
			return nil, nil, err
		}
		for _, c := range clients {
			ways, closers = append(ways, c), append(closers, c.Close)
		}
	}
	if cfg.Bus != BusMemory {
		cfg.CoordinatorURL = "" // its addresses have clients already
		bus := startOpening(func() (*workerPlane, error) { return newWorkerPlane(cfg, id, log) })
		if len(ways) == 0 {
			if <-bus.opened; bus.err != nil {
				return nil, nil, bus.err
			}
		}
		ways, closers = append(ways, bus), append(closers, bus.close)
	}
	return ways, closeAll, nil
}

// certifier takes death certificates.
type certifier interface {
	End(ctx context.Context, c domain.SessionEnd) error
}

// openingBus is a bus that is being opened. Servers that fall silent hold that up for seconds, which the
// other ways to certify do not have to wait for.
type openingBus struct {
	opened chan struct{}
	plane  *workerPlane // once it is opened
	err    error
}

func startOpening(open func() (*workerPlane, error)) *openingBus {
	b := &openingBus{opened: make(chan struct{})}
	go func() {
		defer close(b.opened)
		b.plane, b.err = open()
	}()
	return b
}

// End tells the coordinators, once the bus is open.
func (b *openingBus) End(ctx context.Context, c domain.SessionEnd) error {
	select {
	case <-b.opened:
	case <-ctx.Done():
		return fmt.Errorf("the bus is not open yet: %w", ctx.Err())
	}
	if b.err != nil {
		return b.err
	}
	return b.plane.End(ctx, c)
}

// close closes the bus as soon as it is open.
func (b *openingBus) close() {
	go func() {
		if <-b.opened; b.err == nil {
			b.plane.close()
		}
	}()
}

// certifyByAny tries all ways at once, and returns nil as soon as one has succeeded. A certificate
// that arrives twice does no harm.
func certifyByAny(ctx context.Context, ways []certifier, c domain.SessionEnd) error {
	ctx, cancel := context.WithTimeout(ctx, certifyTry)
	defer cancel()
	answers := make(chan error, len(ways))
	for _, way := range ways {
		go func() { answers <- way.End(ctx, c) }()
	}
	var errs []error
	for range ways {
		err := <-answers
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
