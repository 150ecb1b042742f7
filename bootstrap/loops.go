package bootstrap

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/niyanta/niyanta/core/services/coordinator"
)

const (
	// maintenanceInterval is the time between two rounds of maintenance, maintenanceRetry after one
	// that failed.
	maintenanceInterval = 10 * time.Minute
	maintenanceRetry    = time.Minute
)

// startLoops runs the coordinator's loops, and maintains the storage if that needs it.
func (a *App) startLoops(ctx context.Context) error {
	loops := a.coordinator.Loops()
	if maintain := a.backends.Maintain; maintain != nil {
		loops = append(loops, maintenance(maintain))
	}
	woken := make([]chan struct{}, len(loops))
	for i := range woken {
		woken[i] = make(chan struct{}, 1)
	}
	wake := func(reason string) {
		for i, l := range loops {
			if l.WokenBy == nil || !l.WokenBy(reason) {
				continue
			}
			select {
			case woken[i] <- struct{}{}:
			default:
			}
		}
	}
	sub, err := a.backends.Listener.Wakes(ctx, wake)
	if err != nil {
		return fmt.Errorf("listen for wake-ups: %w", err)
	}
	a.closers = append(a.closers, func() { _ = sub.Close() }, a.coordinator.Close)
	for i, l := range loops {
		a.loops.Go(func() { runLoop(ctx, l, woken[i], wake, a.log) })
	}
	return nil
}

// maintenance has the storage look after itself, at the start and at intervals.
func maintenance(maintain func(context.Context) error) coordinator.Loop {
	return coordinator.Loop{Name: "maintenance of the storage",
		Tick: func(ctx context.Context) (coordinator.Round, error) {
			if err := maintain(ctx); err != nil {
				return coordinator.Round{Next: maintenanceRetry}, err
			}
			return coordinator.Round{Next: maintenanceInterval}, nil
		}}
}

// runLoop makes a loop's rounds until ctx ends. wake wakes the loops of this coordinator.
func runLoop(
	ctx context.Context, l coordinator.Loop, woken <-chan struct{}, wake func(reason string), log *slog.Logger,
) {
	t := trouble{what: l.Name, log: log}
	for {
		round, err := l.Tick(ctx)
		if ctx.Err() == nil {
			t.note(err)
		}
		if round.Wake != "" {
			wake(round.Wake)
		}
		if !pause(ctx, round.Rest, nil) || !pause(ctx, round.Next-round.Rest, woken) {
			return
		}
	}
}

// pause waits for d to pass or for woken. It returns false if ctx ends before.
func pause(ctx context.Context, d time.Duration, woken <-chan struct{}) bool {
	if d <= 0 && woken == nil {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-woken:
	case <-timer.C:
	}
	return true
}

// trouble logs a failure that repeats: when it begins, and when it is over.
type trouble struct {
	what  string
	log   *slog.Logger
	since time.Time
	times int
}

// note takes the outcome of one round.
func (t *trouble) note(err error) {
	switch {
	case err == nil && t.times > 0:
		t.log.Info(t.what+" works again", "failures", t.times, "after",
			time.Since(t.since).Round(time.Millisecond).String())
		*t = trouble{what: t.what, log: t.log}
	case err == nil:
	case t.times == 0:
		t.since, t.times = time.Now(), 1
		t.log.Error(t.what+" failed", "error", err)
	default:
		t.times++
	}
}
