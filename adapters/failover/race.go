package failover

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// hedgeLimit is the longest time for which a try of a heartbeat runs alone.
	hedgeLimit = time.Second
	// hedgeLeast is the shortest, however short the lease is.
	hedgeLeast = 200 * time.Millisecond
	// beatTries bounds the tries of one heartbeat. After them, what it says of the worker is old.
	beatTries = 4
)

// hedge returns how long a try of a heartbeat runs alone. A try is given up after twice that time.
func (p *Plane) hedge() time.Duration {
	lease := time.Duration(p.lease.Load())
	if lease == 0 {
		return hedgeLimit
	}
	return min(max(lease/10, hedgeLeast), hedgeLimit)
}

// attempt is one try of a heartbeat.
type attempt struct {
	path   *path
	begun  time.Time
	answer ports.HeartbeatAnswer
	err    error
}

// race sends a heartbeat over one route. After each hedge without an answer, it also sends it over
// the next route, on a new connection. The first answer wins.
func (p *Plane) race(ctx context.Context, h ports.Heartbeat) (ports.HeartbeatAnswer, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	hedge, paths := p.hedge(), order(p.paths)
	ended := make(chan *attempt, beatTries)
	var begun []*attempt
	open := 0
	start := func() {
		n := len(begun)
		a := &attempt{path: paths[n%len(paths)], begun: time.Now()}
		begun, open = append(begun, a), open+1
		plane := a.path.Try(2*hedge, n > 0 || a.path.isSilent())
		p.background.Go(func() {
			a.answer, a.err = plane.Heartbeat(ctx, h)
			ended <- a
		})
	}
	start()
	ticks := time.NewTicker(hedge)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return ports.HeartbeatAnswer{}, ctx.Err()
		case <-ticks.C:
			if len(begun) < beatTries {
				start()
			}
		case a := <-ended:
			open--
			tooLarge := domain.IsCode(a.err, domain.CodeTooLarge)
			switch {
			case ctx.Err() != nil:
				return ports.HeartbeatAnswer{}, ctx.Err()
			case !elsewhere(a.err) && !tooLarge:
				a.path.succeed()
				outrun(begun, a.path, hedge)
				return a.answer, a.err
			case !tooLarge:
				a.path.fail(a.err)
			}
			switch {
			case len(begun) < min(len(paths), beatTries):
				start()
				ticks.Reset(hedge)
			case open == 0:
				return ports.HeartbeatAnswer{}, a.err
			}
		}
	}
}

// errOutrun is noted of a route that was asked first and did not answer first.
var errOutrun = &domain.Error{Code: domain.CodeUnavailable, Message: "no answer", Cause: ports.ErrUnanswered}

// outrun notes which routes were silent while another one answered.
func outrun(begun []*attempt, winner *path, hedge time.Duration) {
	for _, a := range begun {
		if a.path != winner && time.Since(a.begun) >= hedge {
			a.path.fail(errOutrun)
		}
	}
}
