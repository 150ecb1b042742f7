package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/niyanta/niyanta/bootstrap"
)

// capacity measures what one Niyanta carries, with no peer beside it: many workers, much that waits,
// several coordinators, a long time.
type capacity struct {
	*niyanta
	o options
	// text is the report so far.
	text strings.Builder
}

// The parts of the report.
var capacityParts = []struct {
	name    string
	measure func(*capacity, context.Context) error
}{
	{"fleet", (*capacity).fleet},
	{"coordinators", (*capacity).coordinators},
	{"soak", (*capacity).soak},
}

// measureCapacity measures the parts that o names, and writes the report.
func measureCapacity(ctx context.Context, s *shared, o options) error {
	c := &capacity{niyanta: newNiyanta(s, o.bin), o: o}
	c.header(ctx)
	for _, p := range capacityParts {
		if o.phases != "" && !slices.Contains(strings.Split(o.phases, ","), p.name) {
			continue
		}
		if err := p.measure(c, ctx); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	if o.write == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(o.write, "CAPACITY.md"), []byte(c.text.String()), 0o644)
}

// say adds a line to the report, and prints it.
func (c *capacity) say(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	fmt.Println(line)
	c.text.WriteString(line + "\n")
}

func (c *capacity) header(ctx context.Context) {
	c.say("# Capacity\n")
	c.say("Written by `make capacity`; not edited by hand. [PERFORMANCE.md](PERFORMANCE.md) has the comparison with")
	c.say("peers. Figures of processor time and memory are of the processes named, not of the simulated workers.\n")
	c.say("- %s, %d processors, %s", machine(), runtime.NumCPU(), runtime.Version())
	c.say("- %s", time.Now().UTC().Format(time.DateOnly))
	for _, v := range c.shared.versions(ctx, c.o.bin) {
		if !strings.HasPrefix(v, "Redis") {
			c.say("- %s", v)
		}
	}
	c.say("- coordinators and workers as processes, over NATS; every transition is audited")
	c.say("- `bench -capacity%s`", c.o.text())
}

// fleetWorkers is how many workers are simulated, slotsEach how many slots each has.
const (
	fleetWorkers = 500
	slotsEach    = 20
	// progressInterval is the time between two reports of progress of each run.
	progressInterval = 5 * time.Second
)

// fleet measures the processor time that running work costs, and the memory of a coordinator while
// much waits.
func (c *capacity) fleet(ctx context.Context) error {
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	stop, err := s.simulate(ctx, fleetWorkers)
	if err != nil {
		return err
	}
	defer stop()
	const running = fleetWorkers * slotsEach
	long := map[string]any{"workload_type": "sleep", "input_params": map[string]any{
		"duration_ms": time.Hour.Milliseconds(), "steps": time.Hour / progressInterval,
	}}
	if err := s.submitAll(ctx, running, long); err != nil {
		return err
	}
	if err := until(ctx, time.Second, func(ctx context.Context) (ok bool, err error) {
		err = s.db.QueryRow(ctx, "SELECT count(*) FILTER (WHERE running) >= $1 FROM held", running).Scan(&ok)
		return ok, err
	}); err != nil {
		return err
	}
	c.say("\n## Many workers\n")
	c.say("%d workers with %d slots each, simulated in one process on the protocol of the bus; %d running.",
		fleetWorkers, slotsEach, running)
	c.say("Each reports its progress every %v; heartbeats as by default.\n", progressInterval)
	c.say("| | cores | coordinator | PostgreSQL | NATS |\n|---|---|---|---|---|")
	if err := c.cores(ctx, s, "running work only"); err != nil {
		return err
	}
	waiting := c.o.waiting
	began := time.Now()
	if err := s.submitAll(ctx, waiting, noop); err != nil {
		return err
	}
	took := time.Since(began)
	if err := c.cores(ctx, s, fmt.Sprintf("and %d waiting, all slots taken", waiting)); err != nil {
		return err
	}
	now, peak, err := memory(s.coordinator.cmd.Process.Pid)
	if err != nil {
		return err
	}
	c.say("\nThe %d were submitted in batches of %d at %.0f per second. The coordinator's resident memory is %d MiB",
		waiting, batchSize, float64(waiting)/took.Seconds(), now>>20)
	c.say("afterwards; its peak was %d MiB.", peak>>20)
	return nil
}

// fleetSample is how long processor time is measured.
const fleetSample = 60 * time.Second

// cores adds a row with the processor time that each process takes.
func (c *capacity) cores(ctx context.Context, s *set, what string) error {
	if err := sleep(ctx, 3*progressInterval); err != nil { // until what was just done has settled
		return err
	}
	pids := []int{s.coordinator.cmd.Process.Pid, s.postgres, c.shared.nats.cmd.Process.Pid}
	before := make([]time.Duration, len(pids))
	for i, pid := range pids {
		before[i] = used(pid)
	}
	began := time.Now()
	if err := sleep(ctx, fleetSample); err != nil {
		return err
	}
	wall := time.Since(began)
	share, sum := make([]float64, len(pids)), 0.0
	for i, pid := range pids {
		share[i] = float64(used(pid)-before[i]) / float64(wall)
		sum += share[i]
	}
	c.say("| %s | %.2f | %.2f | %.2f | %.2f |", what, sum, share[0], share[1], share[2])
	return nil
}

// simulate starts workers in this process. stop ends them at once, and their work with them.
func (s *set) simulate(ctx context.Context, count int) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	log := slog.New(slog.DiscardHandler)
	var wg sync.WaitGroup
	stop = func() { cancel(); wg.Wait() }
	for n := range count {
		cfg, err := bootstrap.Load(append(slices.Clone(s.env), "NIYANTA_COORDINATOR_URL="+s.url,
			"NIYANTA_WORKER_HTTP_ADDR=", fmt.Sprint("NIYANTA_WORKER_ID=fleet-", n),
			fmt.Sprint("NIYANTA_WORKER_SLOTS=", slotsEach)))
		if err != nil {
			stop()
			return nil, err
		}
		w, err := bootstrap.NewWorker(ctx, cfg, "bench", log)
		if err != nil {
			stop()
			return nil, err
		}
		wg.Go(func() { _ = w.Run(ctx) }) // it ends with ctx, and nothing of it is kept
	}
	return stop, nil
}

// submitAll submits workloads that are alike, in batches.
func (s *set) submitAll(ctx context.Context, count int, item map[string]any) error {
	return batches(ctx, count, func(ctx context.Context, size int) error { return s.submitItems(ctx, size, item) })
}

// coordinators measures a drain with one, two and three coordinators.
func (c *capacity) coordinators(ctx context.Context) error {
	c.say("\n## Several coordinators\n")
	c.say("A drain of %d no-op workloads, medians of %d rounds. The further coordinators follow: they serve the API and",
		c.o.drain, c.o.rounds)
	c.say("take workers' reports.\n")
	c.say("| coordinators | per second |\n|---|---|")
	for n := 1; n <= 3; n++ {
		var rates []float64
		for range c.o.rounds {
			rate, err := c.drainWith(ctx, n)
			if err != nil {
				return err
			}
			rates = append(rates, rate)
		}
		c.say("| %d | %.0f |", n, median(rates))
	}
	return nil
}

func (c *capacity) drainWith(ctx context.Context, coordinators int) (perSecond float64, err error) {
	s, err := c.open(ctx)
	if err != nil {
		return 0, err
	}
	defer s.close()
	for range coordinators - 1 {
		stop, err := s.follow()
		if err != nil {
			return 0, err
		}
		defer stop()
	}
	if err := batches(ctx, c.o.drain, s.submitBatch); err != nil {
		return 0, err
	}
	if err := errors.Join(s.work(), s.settle(ctx)); err != nil {
		return 0, err
	}
	_, scheduled, completed, err := s.check(ctx, c.o.drain)
	return float64(c.o.drain) / completed.Sub(scheduled).Seconds(), err
}

// text returns the options that say what was measured, as they are given.
func (o options) text() string {
	text := fmt.Sprintf(" -rounds %d -drain %d -waiting %d -soak %v", o.rounds, o.drain, o.waiting, o.soak)
	if o.phases != "" {
		text += " -phases " + o.phases
	}
	return text
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
