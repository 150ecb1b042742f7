package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// system is a product under measurement. Each method starts it on an empty store, measures, checks
// that all work was done exactly once, and stops it.
type system interface {
	name() string
	// settings say how it was set up, as sentences of the report.
	settings() []string
	// drain measures how fast n waiting no-op jobs are worked.
	drain(ctx context.Context, n int) (figures, error)
	// steady measures how fast n no-op jobs are submitted in batches and worked meanwhile.
	steady(ctx context.Context, n int) (figures, error)
	// singles measures how fast n no-op jobs are submitted one at a time by 32 clients, and worked meanwhile.
	singles(ctx context.Context, n int) (figures, error)
	// idle measures the latency of n no-op jobs, one after the other.
	idle(ctx context.Context, n int) (figures, error)
}

// The figures of a phase.
const (
	rate         = "per second"
	processor    = "processor us per job"
	startP50     = "start p50 ms"
	startP99     = "start p99 ms"
	completedP50 = "completed p50 ms"
	completedP99 = "completed p99 ms"
)

// figures are what one measurement found, by name.
type figures map[string]float64

func (f figures) String() string {
	var parts []string
	for _, name := range []string{rate, processor, startP50, startP99, completedP50, completedP99} {
		if v, ok := f[name]; ok {
			parts = append(parts, fmt.Sprintf("%s %.4g", name, v))
		}
	}
	return strings.Join(parts, ", ")
}

// phase is one thing that is measured of every system.
type phase struct {
	name    string
	measure func(context.Context, system) (figures, error)
}

func phases(o options) []phase {
	return []phase{
		{"drain", func(ctx context.Context, s system) (figures, error) { return s.drain(ctx, o.drain) }},
		{"steady", func(ctx context.Context, s system) (figures, error) { return s.steady(ctx, o.steady) }},
		{"singles", func(ctx context.Context, s system) (figures, error) { return s.singles(ctx, o.singles) }},
		{"idle", func(ctx context.Context, s system) (figures, error) { return s.idle(ctx, o.idle) }},
	}
}

// batchSize is how many jobs one request of the steady phase and of the fill before a drain holds.
const batchSize = 1000

// submitters of batches, and of single jobs.
const (
	batchClients  = 2
	singleClients = 32
)

// between is how long the idle phase pauses between two jobs, so that the system is idle again.
const between = 20 * time.Millisecond

// spread calls f for 0 to n-1 on k goroutines and returns the first error.
func spread(ctx context.Context, k, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range k {
		wg.Go(func() {
			for i := range next {
				if err := f(ctx, i); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
feed:
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}

// batches calls f for each batch of n jobs, from batchClients goroutines.
func batches(ctx context.Context, n int, f func(ctx context.Context, size int) error) error {
	return spread(ctx, batchClients, (n+batchSize-1)/batchSize, func(ctx context.Context, i int) error {
		return f(ctx, min(batchSize, n-i*batchSize))
	})
}

// latency collects the times of the idle phase.
type latency struct{ started, completed []time.Duration }

func (l *latency) figures() figures {
	return figures{
		startP50: percentile(l.started, .5), startP99: percentile(l.started, .99),
		completedP50: percentile(l.completed, .5), completedP99: percentile(l.completed, .99),
	}
}

// percentile returns the p-th part of ds, in milliseconds.
func percentile(ds []time.Duration, p float64) float64 {
	ds = slices.Sorted(slices.Values(ds))
	d := ds[min(int(p*float64(len(ds))), len(ds)-1)]
	return float64(d.Microseconds()) / 1000
}

// until polls done until it reports true.
func until(ctx context.Context, interval time.Duration, done func(context.Context) (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for {
		ok, err := done(ctx)
		if err != nil || ok {
			return err
		}
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return fmt.Errorf("the work was not done in time: %w", ctx.Err())
		}
	}
}
