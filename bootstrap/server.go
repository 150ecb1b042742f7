package bootstrap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
)

// Server is a coordinator and workers in one process. The workers speak to the coordinator by plain
// calls. Start it, and Close it once.
type Server struct {
	App *App

	cfg    Config
	log    *slog.Logger
	drain  context.CancelFunc // ends the workers
	worked sync.WaitGroup     // until the workers have ended
	ended  chan error
}

// NewServer returns a server on the backends that the configuration names. See NewCoordinator.
func NewServer(ctx context.Context, cfg Config, version string, log *slog.Logger) (*Server, error) {
	app, err := NewCoordinator(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	app.Version = version
	return newServer(app, cfg, log), nil
}

func newServer(app *App, cfg Config, log *slog.Logger) *Server {
	return &Server{App: app, cfg: cfg, log: log, ended: make(chan error, cfg.Workers), drain: func() {}}
}

// Start serves and starts the workers. When it returns without error, the API answers; the workers
// register by themselves. When ctx ends, the runs are stopped at once: see execution.New.
func (s *Server) Start(ctx context.Context) error {
	if err := s.App.Start(ctx); err != nil {
		return err
	}
	working, drain := context.WithCancel(context.WithoutCancel(ctx))
	s.drain = drain
	id := cmp.Or(domain.WorkerID(s.cfg.WorkerID), generatedWorkerID(system.IDs{}))
	var offers []domain.Offer
	if s.cfg.Workers > 0 {
		has, err := s.cfg.offer(ctx, s.log)
		if err != nil {
			return errors.Join(err, s.Close(ctx))
		}
		offers = has.Split(s.cfg.Workers)
	}
	for n, has := range offers {
		if err := s.startWorker(ctx, working, domain.WorkerID(fmt.Sprintf("%s-%d", id, n+1)), has); err != nil {
			return errors.Join(err, s.Close(ctx))
		}
	}
	return nil
}

func (s *Server) startWorker(ctx, working context.Context, id domain.WorkerID, has domain.Offer) error {
	w, err := newWorker(ctx, s.cfg, id, has, s.App.Version, s.App.coordinator.Plane, func() {}, s.log)
	if err != nil {
		return err
	}
	s.worked.Go(func() {
		if err := w.Run(working); err != nil {
			s.ended <- fmt.Errorf("worker %s: %w", id, err)
		}
	})
	return nil
}

// Failed delivers an error that ends a worker. App.Failed delivers those of the coordinator.
func (s *Server) Failed() <-chan error { return s.ended }

// Close stops in the order that loses nothing. The server is not ready any more; its workers drain,
// which gives what they run to those of other servers; then the coordinator stops, and gives up
// leadership.
func (s *Server) Close(ctx context.Context) error {
	s.App.stopping()
	s.drain()
	s.worked.Wait()
	return s.App.Close(ctx)
}
