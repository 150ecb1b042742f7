// Command worker runs workloads of type sourcestats. It shows all that a worker of one's own needs.
package main

import (
	"context"
	"log"
	"log/slog"
	"os"

	"github.com/niyanta/niyanta/examples/sourcestats"
	niyanta "github.com/niyanta/niyanta/sdk"
)

func main() {
	worker := niyanta.NewWorker(niyanta.WorkerOptions{
		URL:   os.Getenv("NIYANTA_COORDINATOR_URL"),
		Key:   os.Getenv("NIYANTA_WORKER_KEY"),
		ID:    os.Getenv("NIYANTA_WORKER_ID"),
		Slots: 2,
		Log:   slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	sourcestats.Definition.Handle(worker, sourcestats.Run)

	// The first signal drains, a second one skips the rest.
	if err := worker.RunUntilSignal(context.Background()); err != nil {
		log.Fatal(err)
	}
}
