// Command worker counts, with the SDK for Go.
package main

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	niyanta "github.com/niyanta/niyanta/sdk"
)

type input struct {
	To     int `json:"to"`
	StepMS int `json:"step_ms"`
	FailAt int `json:"fail_at"`
	Bytes  int `json:"bytes"`
}

type state struct {
	At      int    `json:"at"`
	Padding string `json:"padding,omitempty"`
}

type output struct {
	Counted int `json:"counted"`
}

var definition = niyanta.Define[input, state, output]("count")

// count counts to what the input says. It saves a checkpoint after each tenth number. The platform
// takes the others, when it wants one, with the function given to OnCheckpoint.
func count(ctx context.Context, t *niyanta.Task[input, state]) (output, error) {
	in, now := t.Input(), t.State()
	if !t.Resumed() {
		now.Padding = strings.Repeat("x", in.Bytes)
	}
	if in.StepMS == 0 {
		in.StepMS = 100
	}
	var mu sync.Mutex
	t.OnCheckpoint(func() state {
		mu.Lock()
		defer mu.Unlock()
		return now
	})
	for now.At < in.To {
		select {
		case <-ctx.Done():
			return output{}, context.Cause(ctx)
		case <-time.After(time.Duration(in.StepMS) * time.Millisecond):
		}
		if now.At+1 == in.FailAt {
			return output{}, niyanta.WithType(fmt.Errorf("%d is a bad number", in.FailAt), "bad_number")
		}
		mu.Lock()
		now.At++
		mu.Unlock()
		if now.At%10 != 0 {
			continue
		}
		if err := t.Checkpoint(ctx, now, niyanta.Progress{Percent: 100 * float64(now.At) / float64(in.To)}); err != nil {
			return output{}, err
		}
	}
	return output{Counted: now.At}, nil
}

func main() {
	worker := niyanta.NewWorker(niyanta.WorkerOptions{
		URL: os.Getenv("NIYANTA_COORDINATOR_URL"), Key: os.Getenv("NIYANTA_WORKER_KEY"),
		ID: os.Getenv("NIYANTA_WORKER_ID"), Slots: 2, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	definition.Handle(worker, count)
	if err := worker.RunUntilSignal(context.Background()); err != nil {
		log.Fatal(err)
	}
}
