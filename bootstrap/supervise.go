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

	"github.com/niyanta/niyanta/adapters/http/workerclient"
	"github.com/niyanta/niyanta/adapters/process"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/adapters/workloads"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// certifyTimeout bounds how long a supervisor tells of a death. Behind it the lease is over as
	// well.
	certifyTimeout = 10 * time.Second
	// partingTimeout bounds it when the worker ended well: it has deregistered, and the certificate
	// only makes sure.
	partingTimeout = 2 * time.Second
	// certifyTry bounds one try at one coordinator, certifyPause is the time between two rounds of
	// tries.
	certifyTry   = 2 * time.Second
	certifyPause = 200 * time.Millisecond
)

// Supervise runs this command again as the child of this process, which supervises it, and returns
// the status to exit with. supervised is false when the caller is to go on itself: it is that child
// already, or has no need of a supervisor.
//
// A worker has one, whose certificates move its work at once, unless NIYANTA_SUPERVISE says
// otherwise. A development server has one where its workers may start programs, any server where it
// is process 1: somebody has to reap orphans there.
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
	case role == RoleWorker && cfg.Supervise:
		certificate := newCertificate(system.IDs{})
		s.ProcessID, s.Digest = certificate.ProcessID, domain.CertificateDigest(certificate.Secret)
		s.Certify = func(ctx context.Context, status int) error { return certify(ctx, cfg, certificate, status, log) }
	case role == RoleDev && cfg.Supervise && len(cfg.ExecAllow) > 0, first:
	default:
		return 0, false, nil
	}
	status, err = s.Run(context.WithoutCancel(ctx))
	if errors.Is(err, process.ErrUnsupported) {
		log.Warn("running without a supervisor: what a killed worker was running waits for its lease", "reason", err)
		return 0, false, nil
	}
	return status, err == nil, err
}

// sweepScratch removes the scratch directories of programs that a worker which died has left.
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
			log.Error("the supervisor has ended: finishing")
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

// certify tells the coordinators of a death, over every way there is at once, until one has heard
// it.
func certify(ctx context.Context, cfg Config, c domain.SessionEnd, status int, log *slog.Logger) error {
	timeout := certifyTimeout
	if status == 0 {
		timeout = partingTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	ways, closeAll, err := waysToCertify(cfg, c.ProcessID, log)
	defer closeAll()
	if err != nil {
		return err
	}
	for {
		if err = firstToHear(ctx, ways, c); err == nil {
			log.Info("death certified", "process_id", c.ProcessID, "status", status)
			return nil
		}
		if code := domain.CodeOf(err); code == domain.CodeForbidden || code == domain.CodeInvalidInput ||
			code == domain.CodeUnauthorized {
			return err
		}
		if system.Sleep(ctx, certifyPause) != nil {
			return fmt.Errorf("no coordinator has heard it within %s: %w", timeout, err)
		}
	}
}

// waysToCertify are the coordinators' addresses, each by itself, and the bus.
func waysToCertify(cfg Config, id string, log *slog.Logger) (ways []ports.ControlPlane, closeAll func(), err error) {
	var closers []func()
	closeAll = func() {
		for _, f := range closers {
			f()
		}
	}
	if cfg.CoordinatorURL != "" {
		clients, err := workerclient.NewAll(cfg.CoordinatorURL, cfg.WorkerKeys[0])
		if err != nil {
			return nil, closeAll, err
		}
		for _, c := range clients {
			ways, closers = append(ways, c), append(closers, c.Close)
		}
	}
	if cfg.Bus != BusMemory {
		cfg.CoordinatorURL = "" // these ways are tried already
		bus, closeBus, err := newWorkerPlane(cfg, id, log)
		switch {
		case err == nil:
			ways, closers = append(ways, bus), append(closers, closeBus)
		case len(ways) == 0:
			return nil, closeAll, err
		}
	}
	return ways, closeAll, nil
}

// firstToHear tries all ways at once and returns nil as soon as one has worked. Hearing of a death
// twice does no harm.
func firstToHear(ctx context.Context, ways []ports.ControlPlane, c domain.SessionEnd) error {
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
