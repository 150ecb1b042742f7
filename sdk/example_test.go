package niyanta_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// Count counts to N, one checkpoint per number.
type (
	CountIn    struct{ N int }
	CountState struct{ Reached int }
	CountOut   struct{ Counted, ResumedFrom int }
)

// Count is shared by the worker that runs it and the client that submits it.
var Count = niyanta.Define[CountIn, CountState, CountOut]("count")

func count(ctx context.Context, t *niyanta.Task[CountIn, CountState]) (CountOut, error) {
	if t.Input().N < 0 {
		return CountOut{}, niyanta.Permanent(errors.New("cannot count to a negative number"))
	}
	s := t.State() // what the last durable checkpoint held
	from := s.Reached
	for s.Reached < t.Input().N {
		s.Reached++
		p := niyanta.Progress{Percent: 100 * float64(s.Reached) / float64(t.Input().N)}
		if err := t.Checkpoint(ctx, s, p); err != nil {
			return CountOut{}, err // not durable, or no longer ours: stop
		}
	}
	return CountOut{Counted: s.Reached, ResumedFrom: from}, nil
}

// A worker and a client share one definition. Both need nothing but HTTP to a coordinator.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	server := exampleServer()

	worker := niyanta.NewWorker(niyanta.WorkerOptions{URL: server.URL, Key: server.WorkerKey, Log: quiet})
	Count.Handle(worker, count)
	ended := make(chan error)
	go func() { ended <- worker.Run(ctx) }()

	client, err := niyanta.NewClient(server.URL, server.CustomerKey)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	run, err := submit(ctx, client, CountIn{N: 3})
	if err != nil {
		fmt.Println(err)
		return
	}
	out, err := run.Result(ctx)
	fmt.Println(out.Counted, err)

	run, err = submit(ctx, client, CountIn{N: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = run.Result(ctx)
	var failed *niyanta.FailedError
	fmt.Println(errors.As(err, &failed), failed.Status == niyanta.StatusFailed)

	stop() // the worker drains: what still ran would be given back with its checkpoint
	fmt.Println(<-ended, server.Close())
	// Output:
	// 3 <nil>
	// true true
	// <nil> <nil>
}

// submit waits until the type is known, which it is as soon as one worker has offered it.
func submit(ctx context.Context, c *niyanta.Client, in CountIn) (*niyanta.Run[CountOut], error) {
	for {
		run, err := Count.Submit(ctx, c, in, niyanta.WithPriority(100), niyanta.WithTimeout(time.Minute))
		var e *niyanta.Error
		if errors.As(err, &e) && e.Code == niyanta.CodeInvalidInput && e.Field == "workload_type" {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		return run, err
	}
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func ExamplePermanent() {
	err := niyanta.Permanent(errors.New("no such account"))
	fmt.Println(err)
	// Output: no such account
}

func ExampleRetryAfter() {
	limited := errors.New("the upstream asks for patience")
	err := niyanta.WithType(niyanta.RetryAfter(limited, 30*time.Second), "rate_limited")
	fmt.Println(errors.Is(err, limited))
	// Output: true
}
