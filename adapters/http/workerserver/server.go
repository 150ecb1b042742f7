package workerserver

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/niyanta/niyanta/core/services/execution"
)

const (
	// Variable is the setting of the address.
	Variable = "NIYANTA_WORKER_HTTP_ADDR"
	// DefaultAddr is where a worker listens unless it is told otherwise.
	DefaultAddr = ":8081"

	// retryInterval is the time between two tries to listen on DefaultAddr while another process
	// does.
	retryInterval = 5 * time.Second
	// closeTimeout bounds how long Close waits for answers under way.
	closeTimeout = time.Second
	// requestTimeout bounds the parts of a request, so that slow clients cost little.
	requestTimeout = 5 * time.Second
	idleTimeout    = 2 * time.Minute
	headerLimit    = 16 << 10
)

// Server is the HTTP server of one worker. A nil Server does nothing.
type Server struct {
	http    *http.Server
	running context.Context //nolint:containedctx // ends with Close
	stop    context.CancelFunc
	done    sync.WaitGroup
	log     *slog.Logger

	mu   sync.Mutex
	addr net.Addr // nil until it listens
}

// Worker is what the server tells of a worker.
type Worker struct {
	Version string
	Stats   func() execution.Stats
	// Certificates say, for each connection of the worker that shows one, when it expires.
	Certificates map[string]func() time.Time
}

// Start listens on addr and serves until Close. An empty addr returns a nil Server. With secure, it
// speaks TLS only.
//
// If another process listens on addr, Start returns an error that names the setting, unless addr is
// DefaultAddr: it is probably another worker, and nobody has asked for the address. Then Start logs a
// warning and tries again until it succeeds. So a second worker on a machine works all the same, and
// a worker that replaces a draining one gets the address when that one has ended.
func Start(ctx context.Context, addr string, secure *tls.Config, w Worker, log *slog.Logger) (*Server, error) {
	if addr == "" {
		return nil, nil
	}
	s := newServer(ctx, secure, w, log)
	if err := s.start(ctx, addr, addr == DefaultAddr, retryInterval); err != nil {
		return nil, err
	}
	return s, nil
}

func newServer(ctx context.Context, secure *tls.Config, w Worker, log *slog.Logger) *Server {
	s := &Server{log: log, http: &http.Server{
		TLSConfig: secure, Handler: Handler(w), ReadHeaderTimeout: requestTimeout, ReadTimeout: requestTimeout,
		WriteTimeout: requestTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerLimit,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}
	s.running, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	return s
}

// start listens on addr. If another process does and patient is set, it tries again at every
// interval.
func (s *Server) start(ctx context.Context, addr string, patient bool, interval time.Duration) error {
	listener, err := listen(ctx, addr)
	taken := errors.Is(err, syscall.EADDRINUSE)
	switch {
	case err == nil:
		s.serve(listener)
		return nil
	case taken && patient:
		s.log.Warn("another process listens: this worker's health, readiness and metrics are not served until it ends",
			"address", addr, "setting", Variable)
		s.done.Go(func() { s.retry(addr, interval) })
		return nil
	}
	s.stop()
	if taken {
		return fmt.Errorf("%s: another process listens on %s; choose another address, or set it to nothing to serve "+
			"nothing", Variable, addr)
	}
	return fmt.Errorf("%s: %w", Variable, err)
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
}

// retry tries to listen until it succeeds or the server is closed.
func (s *Server) retry(addr string, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-s.running.Done():
			return
		case <-ticker.C:
		}
		if listener, err := listen(s.running, addr); err == nil {
			s.serve(listener)
			return
		}
	}
}

func (s *Server) serve(listener net.Listener) {
	s.mu.Lock()
	s.addr = listener.Addr()
	s.mu.Unlock()
	s.log.Info("serving health, readiness and metrics", "address", listener.Addr().String())
	s.done.Go(func() {
		serve := s.http.Serve
		if s.http.TLSConfig != nil {
			serve = func(l net.Listener) error { return s.http.ServeTLS(l, "", "") }
		}
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("serving health, readiness and metrics failed", "error", err)
		}
	})
}

// Addr returns the address that the server listens on. It is empty while it does not listen.
func (s *Server) Addr() string {
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.addr == nil {
		return ""
	}
	return s.addr.String()
}

// Close ends the server. Answers under way are finished, within a second.
func (s *Server) Close() {
	if s == nil {
		return
	}
	s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	s.done.Wait()
}

// Handler returns the handler of a worker: /health, /ready and /metrics. None of them needs a key.
func Handler(worker Worker) http.Handler {
	began := time.Now()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		now := time.Now()
		write(w, http.StatusOK, health{
			Status: "healthy", Timestamp: now.UTC(), UptimeSeconds: int(now.Sub(began).Seconds()),
			Version: worker.Version,
		})
	})
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		s := worker.Stats()
		out, status := readiness{"ready", s.Registered, s.Draining}, http.StatusOK
		if !s.Ready() {
			out.Status, status = "unavailable", http.StatusServiceUnavailable
		}
		write(w, status, out)
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_, _ = w.Write(exposition(&worker)) // a client that is gone needs no answer
	})
	return mux
}

// health answers 200 as long as the process runs.
type health struct {
	Status        string    `json:"status"`
	Timestamp     time.Time `json:"timestamp"`
	UptimeSeconds int       `json:"uptime_seconds"`
	Version       string    `json:"version"`
}

// readiness says whether the worker takes work, and if not, why.
type readiness struct {
	Status     string `json:"status"`
	Registered bool   `json:"registered"`
	Draining   bool   `json:"draining"`
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}
