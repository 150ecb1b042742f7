package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// results are the measurements by phase, system and figure.
type results map[string]map[string]map[string][]float64

func newResults() results { return results{} }

func (r results) add(phase, system string, f figures) {
	if r[phase] == nil {
		r[phase] = map[string]map[string][]float64{}
	}
	if r[phase][system] == nil {
		r[phase][system] = map[string][]float64{}
	}
	for name, v := range f {
		r[phase][system][name] = append(r[phase][system][name], v)
	}
}

func median(vs []float64) float64 {
	vs = slices.Sorted(slices.Values(vs))
	if len(vs) == 0 {
		return math.NaN()
	}
	return (vs[(len(vs)-1)/2] + vs[len(vs)/2]) / 2
}

// version returns the version of a module that this binary was built with.
func version(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "of unknown version"
	}
	for _, d := range info.Deps {
		if d.Path == module {
			return d.Version
		}
	}
	return "of unknown version"
}

// The base of the ratios.
const base = "River"

// table is one table of the report.
type table struct{ phase, title, figure string }

func tables(o options) []table {
	return []table{
		{"drain", fmt.Sprintf("Drain: %d no-op jobs wait, then are worked; jobs per second", o.drain), rate},
		{"drain", "Drain: processor time, microseconds per job, of all processes", processor},
		{"steady", fmt.Sprintf("Steady: %d no-op jobs submitted in batches of %d by %d clients and worked "+
			"meanwhile; jobs per second",
			o.steady, batchSize, batchClients), rate},
		{"steady", "Steady: processor time, microseconds per job", processor},
		{"singles", fmt.Sprintf("Single submissions: %d by %d clients, worked meanwhile; submissions per second",
			o.singles, singleClients), rate},
		{"singles", "Single submissions: processor time, microseconds per job", processor},
		{"idle", "Idle: submission answered to start, p50, ms", startP50},
		{"idle", "Idle: submission answered to start, p99, ms", startP99},
		{"idle", "Idle: submission answered to completion committed and seen, p50, ms", completedP50},
		{"idle", "Idle: submission answered to completion committed and seen, p99, ms", completedP99},
	}
}

func report(ctx context.Context, o options, s *shared, systems []system, r results) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Performance beside peers\n\nWritten by `make bench-peers`; not edited by hand. Absolute "+
		"figures move with the machine; what counts is\nthe ratio in one run.\n\n")
	fmt.Fprintf(&b, "- %s, %d processors, %s\n", machine(), runtime.NumCPU(), runtime.Version())
	fmt.Fprintf(&b, "- %s, %d rounds of each phase; the systems alternate, each on an empty store\n",
		time.Now().UTC().Format(time.DateOnly), o.rounds)
	for _, v := range s.versions(ctx, o.bin) {
		fmt.Fprintf(&b, "- %s\n", v)
	}
	for _, sys := range systems {
		fmt.Fprintf(&b, "- %s: %s\n", sys.name(), strings.Join(sys.settings(), "; "))
	}
	fmt.Fprintf(&b, "\nAfter every measurement the harness counts in the store that each job completed once, and "+
		"for Niyanta\nthat each has its four audit events; a difference fails the run.\n")
	for _, t := range tables(o) {
		if r[t.phase] == nil {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n\n| system | median | least | most | beside %s |\n|---|---|---|---|---|\n", t.title, base)
		for _, sys := range systems {
			vs := r[t.phase][sys.name()][t.figure]
			if len(vs) == 0 {
				continue
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", sys.name(), number(median(vs)), number(slices.Min(vs)),
				number(slices.Max(vs)),
				ratio(median(vs), median(r[t.phase][base][t.figure])))
		}
	}
	return b.String()
}

func number(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func ratio(v, of float64) string {
	if math.IsNaN(of) || of == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f x", v/of)
}

func machine() string {
	b, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(b)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}

// write puts the report and the data of its plots into the folder dir.
func write(dir, text string, r results) error {
	if err := os.WriteFile(filepath.Join(dir, "PERFORMANCE.md"), []byte(text+plots), 0o644); err != nil {
		return err
	}
	for _, p := range []struct{ file, figure string }{
		{"peers-throughput", rate}, {"peers-completed", completedP50},
	} {
		if err := writeData(filepath.Join(dir, "plots", "data", p.file+".csv"), r, p.figure); err != nil {
			return err
		}
	}
	return nil
}

// plots are the links to what `make bench-peers` draws.
const plots = `
![Throughput beside peers](plots/peers-throughput.svg)
![Latency beside peers](plots/peers-completed.svg)
`

// writeData writes the medians of one figure as the plotting tool reads them: x, series, y.
func writeData(file string, r results, figure string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := csv.NewWriter(f)
	rows := [][]string{{"x", "series", "y"}}
	for _, phase := range []string{"drain", "steady", "singles", "idle"} {
		for _, system := range []string{"Niyanta", "Niyanta server", "River", "Asynq"} {
			if vs := r[phase][system][figure]; len(vs) > 0 {
				rows = append(rows, []string{phase, system, fmt.Sprintf("%.3f", median(vs))})
			}
		}
	}
	if err := w.WriteAll(rows); err != nil {
		_ = f.Close() // the first error is the one to tell
		return err
	}
	return f.Close()
}
