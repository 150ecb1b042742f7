package http

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/auditing"
	"github.com/niyanta/niyanta/core/services/checkpointing"
	"github.com/niyanta/niyanta/core/services/controlplane"
	"github.com/niyanta/niyanta/core/services/insight"
	"github.com/niyanta/niyanta/core/services/lifecycle"
	"github.com/niyanta/niyanta/core/services/live"
	"github.com/niyanta/niyanta/core/services/scaling"
	"github.com/niyanta/niyanta/core/services/statistics"
	"github.com/niyanta/niyanta/core/services/tenancy"
)

// Deps are the services and settings that the API needs.
type Deps struct {
	Lifecycle   *lifecycle.Service
	Checkpoints *checkpointing.Service
	Live        *live.Service
	Insight     *insight.Service
	Statistics  *statistics.Service
	Scaling     *scaling.Service
	Tenancy     *tenancy.Service
	Plane       *controlplane.Service
	Auditing    *auditing.Service
	IDs         ports.IDs
	Observer    ports.Observer
	Log         *slog.Logger
	// Ready tells whether the process can serve; see /ready.
	Ready func(ctx context.Context) Readiness
	// Metrics serves /metrics.
	Metrics http.Handler
	// Name is what the process calls itself, Version is its version, Settings is its configuration.
	Name     string
	Version  string
	Settings []Setting
	// Part is which part of the API is served.
	Part Part
	// InFlight bounds the requests that are served at the same time.
	InFlight InFlight
	// Measure, if set, hears of each request: its method, route pattern, status and duration.
	Measure func(method, route string, status int, took time.Duration)
	// Throttled hears of each request that is refused because there are too many: the tier of its
	// customer, empty for a caller without one, and why.
	Throttled func(tier domain.Tier, reason string)
	// Console answers with a file of the web console, or with its page if the name is empty. It
	// reports whether there is that file; if not, it has not answered. Nil: there is no console.
	Console func(w http.ResponseWriter, r *http.Request, name string) bool
	// WorkerCertificates has the worker protocol need a client certificate, which the listener has
	// verified.
	WorkerCertificates bool
	// CursorKey signs cursors and encrypts sessions; coordinators that serve the same clients share
	// it. Empty: one is made.
	CursorKey []byte
	// StreamHeartbeat is the time after which a stream without events sends a comment. It also
	// bounds how long a client may take no data before its stream is dropped. WebSockets are pinged at
	// this interval.
	StreamHeartbeat time.Duration
	// SocketOrigins are the origins of pages that may open WebSockets, beside the coordinator's own, as
	// patterns of path.Match for hosts, or for schemes and hosts.
	SocketOrigins []string
	// Stopping ends when the server shuts down: long polls answer then, and streams end.
	Stopping context.Context //nolint:containedctx // a signal, not a request's context
}

// api implements gen.StrictServerInterface.
type api struct {
	Deps
	ops      operations
	paths    map[string]bool // of operations, those without parameters
	cursors  cursors
	sessions sessions
	reserves reserves
	started  time.Time
	keys     *watchedKeys
	sockets  *sockets
	// tokenless bounds the WebSockets whose clients have not sent a key yet.
	tokenless *pool
}

var _ gen.StrictServerInterface = (*api)(nil)

// Handler serves the API.
type Handler struct {
	http.Handler

	sockets *sockets
}

// Drain waits for the WebSockets, which http.Server.Shutdown does not know of. They close when
// Deps.Stopping ends. Call it after Shutdown. When ctx ends, Drain cuts those that are still open.
func (h *Handler) Drain(ctx context.Context) error { return h.sockets.drain(ctx) }

// New returns the handler of the whole API.
func New(d Deps) (*Handler, error) {
	a, err := newAPI(d)
	if err != nil {
		return nil, err
	}
	router, err := a.router(gen.NewStrictHandlerWithOptions(a, []gen.StrictMiddlewareFunc{checkWorker, checkBound},
		gen.StrictHTTPServerOptions{
			RequestErrorHandlerFunc: a.failBody, ResponseErrorHandlerFunc: a.fail,
		}))
	return &Handler{router, a.sockets}, err
}

func newAPI(d Deps) (*api, error) {
	ops, err := loadOperations()
	if err != nil {
		return nil, err
	}
	if len(d.CursorKey) == 0 {
		d.CursorKey = make([]byte, 32)
		_, _ = rand.Read(d.CursorKey) // never fails, by its documentation
	}
	sessions, err := newSessions(d.CursorKey)
	if err != nil {
		return nil, err
	}
	a := &api{
		Deps: d, ops: ops, paths: ops.fixedPaths(), cursors: cursors{key: d.CursorKey}, sessions: sessions,
		reserves: newReserves(d.InFlight), started: time.Now(), sockets: &sockets{},
		tokenless: newPool("WebSockets without a key", tokenlessLimit, 0),
	}
	a.keys = newWatchedKeys(a.recheck)
	return a, nil
}

// router puts every route behind admit.
func (a *api) router(handlers gen.ServerInterface) (chi.Router, error) {
	r := chi.NewRouter()
	r.Use(secured, a.requestID, a.traced, a.accessLog, a.recovery, middleware.GetHead)
	r.NotFound(a.notFound)
	r.MethodNotAllowed(a.methodNotAllowed(r))
	r.Group(func(r chi.Router) {
		r.Use(a.admit)
		a.mountHealth(r)
		a.mountConsole(r)
		a.mountDocs(r)
		r.Group(func(r chi.Router) {
			r.Use(a.limitInFlight)
			a.mountOperations(r, handlers)
			a.mountRPCs(r, handlers)
		})
	})
	return r, a.ops.complete(r)
}

// mountOperations puts every operation behind the checks of what it is called with.
func (a *api) mountOperations(r chi.Router, handlers gen.ServerInterface) {
	r.Group(func(r chi.Router) {
		r.Use(a.checkParameters, a.onBehalf, a.decodeBody)
		gen.HandlerWithOptions(handlers, gen.ChiServerOptions{
			BaseRouter:       r,
			ErrorHandlerFunc: func(w http.ResponseWriter, r *http.Request, err error) { a.fail(w, r, errBadParameter(err)) },
		})
	})
}

// Timeouts of the server.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 60 * time.Second // enough for a 10 MiB checkpoint on a slow line
	writeTimeout  = maxWait + 30*time.Second
	maxHeader     = 64 << 10
)

// NewServer returns a server for the handler with a bound on everything that a client can stretch.
// idle is how long a connection without a request is kept. It must be longer than what a load
// balancer in front uses, or that sends requests into connections that are being closed.
func NewServer(h http.Handler, idle time.Duration, log *slog.Logger) *http.Server {
	// gRPC clients speak HTTP/2 without TLS to a port that has none.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Protocols: protocols,
		Handler:   h, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idle, MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
