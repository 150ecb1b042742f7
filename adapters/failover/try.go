package failover

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// patiences are how long the tries of a request wait; the last one repeats. The first is short,
// because a coordinator that does not answer is mostly gone. Later ones leave time for a slow one.
var patiences = []time.Duration{2 * time.Second, 3 * time.Second, 5 * time.Second}

// jitterLimit is the longest pause between two tries of a request.
const jitterLimit = 200 * time.Millisecond

// try calls f over one route after the other until one answers. Every request of the worker
// protocol may be repeated. A route that cannot carry the request is passed over.
func try[R any](
	ctx context.Context, p *Plane, f func(ctx context.Context, plane ports.ControlPlane) (R, error),
) (R, error) {
	var none R
	paths := order(p.paths)
	tries := max(len(patiences), len(paths))
	for n := 0; ; n++ {
		i := n % len(paths)
		q := paths[i]
		out, err := f(ctx, q.Try(patiences[min(n, len(patiences)-1)], n > 0 || q.isSilent()))
		switch {
		case ctx.Err() != nil:
			return none, ctx.Err()
		case domain.IsCode(err, domain.CodeTooLarge):
			if paths = slices.Delete(paths, i, i+1); len(paths) == 0 {
				return none, err
			}
			n--
			continue
		case !elsewhere(err):
			q.succeed()
			return out, err
		}
		q.fail(err)
		if n+1 >= tries {
			return none, err
		}
		if err := pause(ctx, rand.N(jitterLimit)); err != nil {
			return none, err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
