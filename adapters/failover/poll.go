package failover

import (
	"context"
	"errors"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// pushLook is how soon a poll notices that the push route does not work any more.
	pushLook = 250 * time.Millisecond
	// pullWait is how long a poll of another route waits for a command. It is short, so that a poll
	// whose connection has fallen silent does not keep the worker from its next command for long.
	pullWait = time.Second
	// pingTimeout bounds how long the push route is listened to after a ping.
	pingTimeout = time.Second
)

// pullPatiences are those with polls after what they wait, by how many in a row failed.
var pullPatiences = []time.Duration{time.Second, 2 * time.Second, 4 * time.Second}

// Poll implements ports.ControlPlane. Commands come over the push route while it works, else they
// are fetched over another one. A poll that waits changes over when that changes.
func (p *Plane) Poll(ctx context.Context, s ports.SessionRef, wait time.Duration) ([]ports.Command, error) {
	until := time.Now().Add(wait)
	for {
		cs, err := p.look(ctx, s, max(time.Until(until), 0))
		if err != nil || len(cs) > 0 || !time.Now().Before(until) {
			return cs, err
		}
	}
}

// look waits for a command over the one route that is best now, for a part of wait.
func (p *Plane) look(ctx context.Context, s ports.SessionRef, wait time.Duration) ([]ports.Command, error) {
	if p.push == nil {
		return p.fetch(ctx, p.paths, s, min(wait, pullWait), false)
	}
	push, pull := p.paths[0], p.paths[1:]
	if len(pull) > 0 && !push.works() {
		p.ping(ctx, push)
		// What silenced the push route may have silenced the connections of the others, which
		// nothing has used meanwhile.
		return p.fetch(ctx, pull, s, min(wait, pullWait), p.pushed.Swap(false))
	}
	cs, err := push.Try(pushLook, false).Poll(ctx, s, min(wait, pushLook))
	tooLarge := domain.IsCode(err, domain.CodeTooLarge)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err == nil:
		p.pushed.Store(true)
		return cs, nil
	case tooLarge && len(pull) > 0:
		return p.fetch(ctx, pull, s, min(wait, pullWait), false)
	case tooLarge:
		push.log.Error("command too large for the only route: give the worker its coordinators' URL",
			"route", push.String())
		return nil, nil
	case elsewhere(err):
		push.fail(err)
		if len(pull) > 0 {
			return p.fetch(ctx, pull, s, min(wait, pullWait), p.pushed.Swap(false))
		}
	}
	return nil, err
}

// fetch polls one route after the other until one answers. With fresh, it begins with a new
// connection.
func (p *Plane) fetch(
	ctx context.Context, pull []*path, s ports.SessionRef, wait time.Duration, fresh bool,
) ([]ports.Command, error) {
	pull = order(pull)
	for n := 0; ; n++ {
		q := pull[n%len(pull)]
		patience := pullPatiences[min(int(p.pullsFailed.Load()), len(pullPatiences)-1)]
		cs, err := q.Try(patience, fresh || n > 0 || q.isSilent()).Poll(ctx, s, wait)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !elsewhere(err):
			p.pullsFailed.Store(0)
			q.succeed()
			return cs, err
		}
		p.pullsFailed.Add(1)
		q.fail(err)
		if n >= len(pull) {
			return nil, err
		}
	}
}

// ping asks over the push route, beside the caller, whether a coordinator answers again. One ping
// runs at a time.
func (p *Plane) ping(ctx context.Context, push *path) {
	if !push.Connected() || !p.pinging.CompareAndSwap(false, true) {
		return
	}
	p.background.Go(func() {
		defer p.pinging.Store(false)
		bounded, cancel := context.WithTimeout(ctx, pingTimeout)
		defer cancel()
		if err := p.push.Ping(bounded); err == nil || !errors.Is(err, ports.ErrUnanswered) && bounded.Err() == nil {
			push.succeed()
		}
	})
}
