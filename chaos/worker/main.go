// Command worker is the worker of the chaos run. It has a supervisor, and offers the built-in types
// and the type "steps". A run of "steps" reports each step to a sink before it saves a checkpoint.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/niyanta/niyanta/bootstrap"
	"github.com/niyanta/niyanta/core/ports"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// in is the input of a "steps" workload.
type in struct {
	Sink  string `json:"sink"`
	Steps int    `json:"steps"`
	MS    int    `json:"ms"`    // duration of a step, in milliseconds
	Fails int    `json:"fails"` // number of attempts that fail
}

// effect is the body of a report to the sink.
type effect struct {
	Workload   string `json:"workload"`
	Generation int64  `json:"generation"`
	Step       int    `json:"step"`
}

// run does the steps of a workload.
func run(ctx context.Context, t *niyanta.Task[in, int]) (int, error) {
	for step := t.State(); step < t.Input().Steps; step++ {
		select {
		case <-time.After(time.Duration(t.Input().MS) * time.Millisecond):
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
		if step == 0 && t.Attempt() < t.Input().Fails {
			return 0, errors.New("this attempt fails")
		}
		if err := tell(ctx, t.Input().Sink, effect{t.WorkloadID(), t.Generation(), step}); err != nil {
			return 0, err
		}
		if err := t.Checkpoint(ctx, step+1,
			niyanta.Progress{Percent: 100 * float64(step+1) / float64(t.Input().Steps)}); err != nil {
			return 0, err
		}
	}
	return t.Input().Steps, nil
}

// tell reports an effect to the sink. The sink refuses it if this run is not the current one.
func tell(ctx context.Context, sink string, e effect) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sink, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the sink answered %s", resp.Status)
	}
	return nil
}

// types collects the types that definitions register.
type types map[string]ports.WorkloadFactory

func (t types) RegisterType(name string, f ports.WorkloadFactory) { t[name] = f }

func main() {
	if err := bootstrap.Prepare(); err != nil {
		log.Fatal(err)
	}
	cfg, err := bootstrap.Load(os.Environ())
	if err == nil {
		err = cfg.Validate(bootstrap.RoleWorker)
	}
	if err != nil {
		log.Fatal(err)
	}
	logger := bootstrap.NewLogger(os.Stderr, cfg.LogLevel, cfg.LogFormat)
	status, supervised, err := bootstrap.Supervise(context.Background(), cfg, bootstrap.RoleWorker, logger)
	if err != nil {
		log.Fatal(err)
	}
	if supervised {
		os.Exit(status)
	}
	more := types{}
	niyanta.Define[in, int, int]("steps").Handle(more, run)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	working, done := bootstrap.UntilOrphaned(ctx, logger)
	w, err := bootstrap.NewWorker(context.Background(), cfg, "chaos", logger, more)
	if err == nil {
		err = w.Run(working)
	}
	done()
	stop()
	if err != nil {
		log.Fatal(err)
	}
}
