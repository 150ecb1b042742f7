package chaos_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/apispec"
	"github.com/niyanta/niyanta/contracttests/servers"
)

func TestMain(m *testing.M) {
	os.Exit(apispec.Main(func() int { return servers.Run(m, nil) }))
}

var (
	duration = flag.Duration("duration", time.Minute, "how long to inject faults")
	rate     = flag.Float64("rate", 17, "workloads submitted per second")
	pause    = flag.Duration("pause", 0, "time from one fault to the next; 0: one and a half worker leases")
	seed     = flag.Uint64("seed", 0, "seed of the choice and order of faults; 0: a random one")
	defaults = flag.Bool("defaults", false, "use the default leases instead of short ones")
	only     = flag.String("only", "", "inject only faults whose names contain this")
	report   = flag.String("report", "", "file to write the report to")
)

const clients = 8

func TestChaos_WhateverBreaks_NothingIsLost(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1_000_000 //nolint:gosec // any number will do
	}
	lease, ttl := 20*time.Second, 8*time.Second
	var env []string
	if !*defaults {
		lease, ttl = 2*time.Second, 2*time.Second
		env = []string{"NIYANTA_HEARTBEAT_INTERVAL=400ms", "NIYANTA_WORKER_LEASE=2s", "NIYANTA_LEADER_TTL=2s"}
	}
	if *pause == 0 {
		*pause = lease * 3 / 2
	}
	f := newFleet(t, build(t, ".."), env)
	h, v := newHistory(), &verdict{}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	m := &monkey{fleet: f, rng: rand.New(rand.NewPCG(*seed, 2)), ctx: ctx, lease: lease, ttl: ttl,
		took: map[string][]time.Duration{}}
	supervised := make(chan struct{})
	go func() { f.supervise(ctx); close(supervised) }()
	defer func() { stop(); <-supervised }()
	require.True(t, m.probe(ctx), "a workload must complete before the first fault")

	watching, stopWatching := context.WithCancel(ctx)
	looks := make(chan int, 1)
	go func() { looks <- f.watchLimits(watching, v) }()
	var load sync.WaitGroup
	begin := time.Now()
	for c := range clients {
		interval := time.Duration(clients / *rate * float64(time.Second))
		load.Go(func() {
			submissions := int(duration.Seconds() * *rate / clients)
			f.load(ctx, h, fmt.Sprint("c", c), *seed+uint64(c), submissions, interval) //nolint:gosec // small
		})
	}
	m.run(begin.Add(*duration))
	load.Wait()
	m.watch.Wait()
	left := f.finish(ctx, 5*time.Minute)
	if left > 0 {
		v.fail("I3: %d workloads are not final five minutes after the last fault", left)
	}
	stopWatching()
	n := <-looks
	checked := f.check(ctx, h, v)
	text := m.describe(time.Since(begin), checked, n, h, v)
	fmt.Print(text)
	if *report != "" {
		require.NoError(t, os.WriteFile(*report, []byte(text), 0o600))
	}
	if path := os.Getenv("NIYANTA_TEST_CHAOS_SUMMARY"); path != "" {
		summary := fmt.Sprintf("chaos: %d faults on processes, %d workloads checked, %d violations\n", len(m.sequence),
			checked, len(v.violations))
		require.NoError(t, os.WriteFile(path, []byte(summary), 0o600))
	}
	assert.Empty(t, v.violations)
	assert.Empty(t, m.never, "faults without recovery")
}

// run injects one fault after the other. Each kind is used once before any is used again.
func (m *monkey) run(until time.Time) {
	var deck []fault
	for time.Now().Before(until) {
		if len(deck) == 0 {
			deck = slices.DeleteFunc(slices.Clone(faults), func(f fault) bool { return !strings.Contains(f.name, *only) })
			m.rng.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		next := time.Now().Add(*pause)
		m.apply(deck[0])
		deck = deck[1:]
		sleep(m.ctx, time.Until(next))
	}
}

// describe returns the report.
func (m *monkey) describe(took time.Duration, checked, looks int, h *history, v *verdict) string {
	b := &strings.Builder{}
	leases := "short leases (worker 2 s, leader 2 s)"
	if *defaults {
		leases = "default leases (worker 20 s, leader 8 s)"
	}
	fmt.Fprintf(b, "# Chaos\n\nSeed %d, %s, %s: %d faults, %d workloads (%d acknowledged to clients), all checked; "+
		"%d effects, %d of older generations refused, %d steps done again;\n"+
		"limits checked %d times. Violations: %d.\n\n", *seed, took.Round(time.Second), leases, len(m.sequence),
		checked, len(h.accepted), m.sink.effects, m.sink.refused, m.sink.twice, looks, len(v.violations))
	fmt.Fprintf(b, "| fault | times | recovered after p50 | p99 | max |\n|---|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(m.took)) {
		if times := m.took[name]; len(times) > 0 {
			slices.Sort(times)
			at := func(q float64) string {
				return fmt.Sprintf("%.2f s", times[min(len(times)-1, int(q*float64(len(times))))].Seconds())
			}
			fmt.Fprintf(b, "| %s | %d | %s | %s | %s |\n", name, len(times), at(0.5), at(0.99), at(1))
		}
	}
	fmt.Fprintf(b, "\nA fault of a worker has recovered when all workloads that the victim held run at a newer "+
		"generation or have ended.\nAny other fault has recovered when a workload that was submitted after it is done.\n")
	for _, x := range v.violations {
		fmt.Fprintf(b, "- violation: %s\n", x)
	}
	for _, x := range m.never {
		fmt.Fprintf(b, "- never recovered: %s\n", x)
	}
	return b.String()
}
