package bootstrap

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/adapters/system"
)

const (
	// queueInterval is the time between two looks of the leader at what waits, for its metrics.
	queueInterval = 5 * time.Second
	// pingTimeout bounds a question that is asked when metrics are read.
	pingTimeout = time.Second
)

// always returns a value that is always known.
func always(value func() float64) func() (float64, bool) {
	return func() (float64, bool) { return value(), true }
}

// answering returns 1 while ping succeeds and 0 otherwise.
func answering(ping func(context.Context) error) func() (float64, bool) {
	return always(func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), pingTimeout)
		defer cancel()
		if ping(ctx) != nil {
			return 0
		}
		return 1
	})
}

// watchQueue has the metrics say what waits, while this process leads, until ctx ends.
func (a *App) watchQueue(ctx context.Context) {
	for {
		if _, leads := a.coordinator.Leadership.Current(); leads {
			if err := a.measureQueue(ctx); err != nil && ctx.Err() == nil {
				a.log.Debug("cannot count what waits for the metrics", "error", err)
			}
		}
		if system.Sleep(ctx, queueInterval) != nil {
			return
		}
	}
}

func (a *App) measureQueue(ctx context.Context) error {
	queues, err := a.coordinator.Statistics.Queue(ctx)
	if err != nil {
		return err
	}
	a.metrics.Queue(queues)
	pools, err := a.coordinator.Scaling.Pools(ctx)
	if err == nil {
		a.metrics.Pools(pools)
	}
	return err
}
