package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags of a run.
type options struct {
	bin                          string
	rounds                       int
	drain, steady, singles, idle int
	systems, phases              string
	write, profile               string
	capacity                     bool
	waiting                      int
	soak                         time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.bin, "bin", "../bin", "folder of the niyanta and nats-server binaries")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each phase; the systems alternate within a round")
	flag.IntVar(&o.drain, "drain", 30_000, "workloads that wait before a drain begins")
	flag.IntVar(&o.steady, "steady", 30_000, "workloads submitted in batches while they are worked")
	flag.IntVar(&o.singles, "singles", 10_000, "workloads submitted one at a time by 32 clients while they are worked")
	flag.IntVar(&o.idle, "idle", 100, "workloads submitted one after the other to an idle system")
	flag.StringVar(&o.systems, "systems", "", "systems to measure, comma separated; empty: all")
	flag.StringVar(&o.phases, "phases", "", "phases to measure, comma separated; empty: all")
	flag.StringVar(&o.write, "write", "", "folder that gets PERFORMANCE.md and the plots' data; empty: print only")
	flag.StringVar(&o.profile, "profile", "", "folder that gets profiles of one drain, instead of measuring")
	flag.BoolVar(&o.capacity, "capacity", false, "measure what one Niyanta carries, in parts that -phases chooses from")
	flag.IntVar(&o.waiting, "waiting", 1_000_000, "workloads that wait beside a fleet that is full")
	flag.DurationVar(&o.soak, "soak", 20*time.Minute, "how long a soak lasts, in whole minutes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	if o.rounds < 1 {
		return errors.New("-rounds must be at least 1")
	}
	var preload []string
	if o.profile != "" {
		preload = []string{"shared_preload_libraries=pg_stat_statements", "pg_stat_statements.track_planning=off"}
	}
	servers, err := startServers(o.bin, preload...)
	if err != nil {
		return err
	}
	defer servers.stop()
	chosen, err := choose(o.systems, []system{
		newNiyanta(servers, o.bin), newNiyantaServer(servers, o.bin), newRiver(servers), newAsynq(servers),
	})
	if err != nil {
		return err
	}
	if o.profile != "" {
		return profileDrain(ctx, chosen, o)
	}
	if o.capacity {
		return measureCapacity(ctx, servers, o)
	}
	results := newResults()
	for _, p := range phases(o) {
		if o.phases != "" && !slices.Contains(strings.Split(o.phases, ","), p.name) {
			continue
		}
		for round := range o.rounds {
			for i := range chosen {
				// Each system begins a round in turn, so that none always follows the same one.
				s := chosen[(i+round)%len(chosen)]
				f, err := p.measure(ctx, s)
				if err != nil {
					return fmt.Errorf("%s of %s, round %d: %w", p.name, s.name(), round+1, err)
				}
				results.add(p.name, s.name(), f)
				fmt.Fprintf(os.Stderr, "%-8s round %d  %-32s %s\n", p.name, round+1, s.name(), f)
			}
		}
	}
	text := report(ctx, o, servers, chosen, results)
	fmt.Print(text)
	if o.write == "" {
		return nil
	}
	return write(o.write, text, results)
}

// profileDrain profiles a drain of each chosen Niyanta, each into a folder of its own.
func profileDrain(ctx context.Context, chosen []system, o options) error {
	for _, s := range chosen {
		n, ok := s.(*niyanta)
		if !ok {
			continue // a peer's authors have their own
		}
		dir := filepath.Join(o.profile, strings.ReplaceAll(strings.ToLower(n.name()), " ", "-"))
		if err := n.profile(ctx, o.drain, dir); err != nil {
			return fmt.Errorf("profile of %s: %w", n.name(), err)
		}
		fmt.Printf("\nProfiles are in %s: go tool pprof -top %s\n\n", dir, filepath.Join(dir, "cpu.pprof"))
	}
	return nil
}

func choose(names string, all []system) ([]system, error) {
	if names == "" {
		return all, nil
	}
	var chosen []system
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(s system) bool { return s.name() == name })
		if i < 0 {
			return nil, fmt.Errorf("-systems: %q is not known", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}
