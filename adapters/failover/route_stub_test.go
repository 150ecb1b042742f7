package failover_test

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// call is a try that a route saw.
type call struct {
	route    string
	at       time.Duration // since the route was made
	patience time.Duration
	fresh    bool
}

// calls collects what the routes of a test saw, in order.
type calls struct {
	mu  sync.Mutex
	all []call
}

func (c *calls) routes() (names []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, each := range c.all {
		names = append(names, each.route)
	}
	return names
}

// errSilent has a stubbed route say nothing for as long as the patience lasts.
var errSilent = errors.New("silent")

var (
	errRefused = &domain.Error{Code: domain.CodeUnavailable, Message: "refused", Cause: ports.ErrUnanswered}
	errStore   = &domain.Error{Code: domain.CodeUnavailable, Message: "the database is not available"}
	errLarge   = domain.NewError(domain.CodeTooLarge, "too large")
)

// route is a stub whose tries end as its test says.
type route struct {
	name         string
	seen         *calls
	begun        time.Time
	mu           sync.Mutex
	ends         func(n int) error // of the nth try
	n            int
	disconnected bool
	commands     []ports.Command
	pong         error
}

func newRoute(name string, seen *calls, ends func(n int) error) *route {
	return &route{name: name, seen: seen, begun: time.Now(), ends: ends}
}

func always(err error) func(int) error { return func(int) error { return err } }

func (r *route) String() string { return r.name }

func (r *route) Connected() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.disconnected
}

func (r *route) Ping(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.pong
}

func (r *route) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

func (r *route) Try(patience time.Duration, fresh bool) ports.ControlPlane {
	return &tried{route: r, patience: patience, fresh: fresh}
}

type tried struct {
	ports.ControlPlane
	*route
	patience time.Duration
	fresh    bool
}

func (t *tried) end(ctx context.Context) error {
	t.seen.mu.Lock()
	t.seen.all = append(t.seen.all, call{t.name, time.Since(t.begun), t.patience, t.fresh})
	t.seen.mu.Unlock()
	t.mu.Lock()
	t.n++
	err := t.ends(t.n)
	t.mu.Unlock()
	if !errors.Is(err, errSilent) {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(t.patience):
		return errRefused
	}
}

func (t *tried) Register(ctx context.Context, _ domain.Registration) (ports.Grant, error) {
	return ports.Grant{LeaseMS: 10_000}, t.end(ctx)
}

func (t *tried) Heartbeat(ctx context.Context, _ ports.Heartbeat) (ports.HeartbeatAnswer, error) {
	err := t.end(ctx)
	return ports.HeartbeatAnswer{LeaseMS: 10_000}, err
}

func (t *tried) Report(ctx context.Context, _ ports.SessionRef, rs []ports.Report) ([]ports.ReportAnswer, error) {
	if err := t.end(ctx); err != nil {
		return nil, err
	}
	return make([]ports.ReportAnswer, len(rs)), nil
}

func (t *tried) Poll(ctx context.Context, _ ports.SessionRef, wait time.Duration) ([]ports.Command, error) {
	if err := t.end(ctx); err != nil {
		return nil, err
	}
	t.mu.Lock()
	cs := t.commands
	t.commands = nil
	t.mu.Unlock()
	if len(cs) == 0 {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
	return cs, nil
}
