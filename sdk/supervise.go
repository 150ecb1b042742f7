package niyanta

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/niyanta/niyanta/adapters/http/workerclient"
	"github.com/niyanta/niyanta/adapters/process"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
)

// certifyTimeout bounds how long a supervisor tells of a worker's death.
const certifyTimeout = 10 * time.Second

// Supervise gives this worker a supervisor: call it first of all in main, with the options that
// NewWorker gets.
//
// In the process that was started it does not return: that becomes the supervisor of a child, which
// is this program again, and ends with the child's status. In the child it returns nil. When the
// child dies, the supervisor kills all that it has started, and certifies its death to the
// coordinators, so that what it was running moves at once instead of when its lease ends. When the
// supervisor dies, the child's Worker.Run drains. It never starts the child again.
//
// Supervise also moves the environment out of the sight of other processes of the same user, for
// which it executes this program once more. Where the system has no such means (anything but
// Linux), it says so in the log and returns nil.
func Supervise(o WorkerOptions) error {
	log := o.Log
	if log == nil {
		log = slog.Default()
	}
	if _, err := process.Shed(); err != nil {
		return err
	}
	if life, err := process.Supervised(); err != nil || life != nil {
		return err
	}
	secret := make([]byte, 32)
	system.IDs{}.Random(secret)
	certificate := domain.SessionEnd{ProcessID: system.IDs{}.New(domain.PrefixProcess),
		Secret: hex.EncodeToString(secret)}
	s := process.Supervisor{
		ProcessID: certificate.ProcessID, Digest: domain.CertificateDigest(certificate.Secret), Log: log,
		Certify: func(ctx context.Context, _ int) error { return certify(ctx, o, certificate, log) },
	}
	status, err := s.Run(context.Background())
	if errors.Is(err, process.ErrUnsupported) {
		log.Warn("running without a supervisor: the work of a killed worker waits for its lease", "reason", err)
		return nil
	}
	if err == nil {
		os.Exit(status)
	}
	return err
}

// certify tells the coordinators of a death, one after the other, until one has heard it.
func certify(ctx context.Context, o WorkerOptions, c domain.SessionEnd, log *slog.Logger) error {
	shown, err := o.coordinatorTLS(log)
	if err != nil {
		return err
	}
	clients, err := workerclient.NewAll(o.URL, o.Key, shown.Equip)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, certifyTimeout)
	defer cancel()
	for {
		for _, client := range clients {
			try, done := context.WithTimeout(ctx, time.Second)
			err = client.End(try, c)
			done()
			if err == nil || domain.IsCode(err, domain.CodeForbidden) {
				return err
			}
		}
		if system.Sleep(ctx, 200*time.Millisecond) != nil {
			return err
		}
	}
}

// untilOrphaned returns a context that ends with ctx, or when this process's supervisor has ended.
func untilOrphaned(ctx context.Context, life *process.Supervision) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	if life == nil {
		return ctx, cancel
	}
	go func() {
		select {
		case <-life.Orphaned:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}
