package bootstrap

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/niyanta/niyanta/adapters/preemption"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/services/execution"
)

// preemptReserve is the part of the time after a notice that goes until it is seen and until the
// process has ended.
const preemptReserve = 3 * time.Second

// preemptible watches for the notice that the machine will be taken away.
type preemptible struct {
	notice *preemption.Notice
	within time.Duration
	log    *slog.Logger
}

// newPreemptible returns what watches, or nil if the configuration names no notice.
func newPreemptible(cfg Config, log *slog.Logger) (*preemptible, error) {
	if cfg.PreemptNotice == "" {
		return nil, nil
	}
	notice, err := preemption.Parse(cfg.PreemptNotice)
	if err != nil {
		return nil, err
	}
	return &preemptible{notice, max(cfg.PreemptWithin-preemptReserve, cfg.PreemptWithin/2), log}, nil
}

// run runs work with a context that ends when there is a notice, so that it drains in time. While
// there is a notice already it waits, or a worker that somebody starts again would take work that it
// has to give back at once.
func (p *preemptible) run(ctx context.Context, work func(context.Context) error) error {
	if p == nil {
		return work(ctx)
	}
	for said := false; ; {
		there, _ := p.notice.Present(ctx)
		if !there {
			break
		}
		if !said {
			p.log.Warn("this machine will be taken away: the worker does not start while the notice is there")
			said = true
		}
		if system.Sleep(ctx, time.Second) != nil {
			return nil
		}
	}
	working, end := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		quiet := false
		err := p.notice.Wait(working, func(err error) {
			if !quiet {
				p.log.Warn("cannot look for the notice that this machine will be taken away; trying on", "error", err)
			}
			quiet = true
		})
		if err == nil {
			p.log.Warn("this machine will be taken away: the worker drains", "within", p.within.String())
			end(&execution.Preempted{Within: p.within})
		}
	})
	err := work(working)
	end(nil)
	watching.Wait()
	return err
}
