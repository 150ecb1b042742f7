package niyanta_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// exampleFleet starts a server and a worker that offers Count, and returns a client. stop ends all.
func exampleFleet(ctx context.Context) (c *niyanta.Client, stop func()) {
	server := exampleServer()
	c, err := niyanta.NewClient(server.URL, server.CustomerKey)
	if err != nil {
		panic(err)
	}
	working, drain := context.WithCancel(ctx)
	worker := niyanta.NewWorker(niyanta.WorkerOptions{URL: server.URL, Key: server.WorkerKey, Log: quiet})
	Count.Handle(worker, count)
	ended := make(chan error)
	go func() { ended <- worker.Run(working) }()
	run, err := submit(ctx, c, CountIn{N: 1}) // the type is known from now on
	if err == nil {
		_, err = run.Result(ctx)
	}
	if err != nil {
		panic(err)
	}
	return c, func() {
		drain()
		<-ended
		c.Close()
		_ = server.Close() // how it ends does not matter here
	}
}

// A batch is submitted in one call. Each submission is accepted or refused by itself.
func ExampleClient_SubmitBatch() {
	ctx := context.Background()
	c, stop := exampleFleet(ctx)
	defer stop()
	results, err := c.SubmitBatch(ctx, []niyanta.BatchSubmission{
		{Submission: niyanta.Submission{WorkloadType: "count", InputParams: json.RawMessage(`{"N":2}`)}},
		{Submission: niyanta.Submission{WorkloadType: "no such type", InputParams: json.RawMessage(`{}`)}},
	}, "nightly-2026-03-01")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(results), results[0].Error == nil, results[1].Error != nil)
	// Output: 2 true true
}

// Wait returns when the workload is final or the time is over, whichever comes first.
func ExampleClient_Wait() {
	ctx := context.Background()
	c, stop := exampleFleet(ctx)
	defer stop()
	a, err := c.Submit(ctx, niyanta.Submission{
		WorkloadType: "count", InputParams: json.RawMessage(`{"N":2}`),
	}, "invoice-4711") // the same key again gets the same workload
	if err != nil {
		fmt.Println(err)
		return
	}
	w, err := c.Wait(ctx, a.WorkloadID, 10*time.Second)
	fmt.Println(w.Status, err)
	// Output: COMPLETED <nil>
}

func ExampleClient_List() {
	ctx := context.Background()
	c, stop := exampleFleet(ctx)
	defer stop()
	list, err := c.List(ctx, niyanta.ListParams{Status: &[]niyanta.Status{niyanta.StatusCompleted}})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, w := range list.Workloads {
		fmt.Println(w.WorkloadType, w.Status)
	}
	// Output: count COMPLETED
}

// A workload that waits for its time is cancelled at once. A running one stops soon after.
func ExampleClient_Cancel() {
	ctx := context.Background()
	c, stop := exampleFleet(ctx)
	defer stop()
	run, err := Count.Submit(ctx, c, CountIn{N: 1}, niyanta.WithRunAt(time.Now().Add(time.Hour)))
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = c.Cancel(ctx, run.ID, "not needed any more", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	w, err := c.Get(ctx, run.ID)
	fmt.Println(w.Status, err)
	// Output: CANCELLED <nil>
}
