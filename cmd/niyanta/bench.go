package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// benchFlags are the flags of bench.
type benchFlags struct {
	n, batch, clients, singles, idle, audited int
	drain                                     bool
	timeout                                   time.Duration
}

func benchCommand(c *cli) *cobra.Command {
	f := benchFlags{}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure a running system with no-op workloads",
		Long: `Measure a running system with no-op workloads (sleep of 0 ms), over the API. It onboards a customer
of its own, so the key must be an admin's. Times are the store's. At the end it checks that every
workload completed exactly once, and reads audit trails.
  steady  -n workloads submitted in batches while they run; with --drain all of them wait first
  single  --single workloads submitted one at a time by 32 clients
  idle    --idle workloads one after the other: the latency of an idle system`,
		Example: `  niyanta bench -n 20000
  niyanta bench -n 100000 --drain -o json`,
		Args: cobra.NoArgs,
		RunE: c.call(func(cmd *cobra.Command, admin *niyanta.Client, _ []string) error {
			if f.n < 1 || f.batch < 1 || f.batch > 1000 || f.clients < 1 {
				return usage(errors.New("-n and --clients must be at least 1, --batch 1 to 1000"))
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
			defer cancel()
			b, err := newBench(ctx, c, admin, f)
			if err != nil {
				return err
			}
			report, err := b.run(ctx)
			if err != nil {
				return err
			}
			if c.output != formatTable {
				return printJSON(cmd.OutOrStdout(), report, c.output == formatJSON)
			}
			return printTable(cmd.OutOrStdout(), figures, report.Lines)
		}),
	}
	fs := cmd.Flags()
	fs.IntVarP(&f.n, "workloads", "n", 20_000, "workloads of the steady phase")
	fs.IntVar(&f.batch, "batch", 1000, "submissions in one request, 1 to 1000")
	fs.IntVar(&f.clients, "clients", 2, "concurrent submitters of batches")
	fs.IntVar(&f.singles, "single", 2000, "workloads submitted one at a time by 32 clients; 0: none")
	fs.IntVar(&f.idle, "idle", 100, "workloads one after the other; 0: none")
	fs.IntVar(&f.audited, "audited", 200, "audit trails to read at the end")
	fs.BoolVar(&f.drain, "drain", false, "let all workloads of the steady phase wait before any of them runs")
	fs.DurationVar(&f.timeout, "timeout", 10*time.Minute, "give up after this time")
	return c.flags(cmd)
}

// benchLine is one figure.
type benchLine struct {
	Phase string `json:"phase"`
	What  string `json:"what"`
	Value string `json:"value"`
}

var figures = view[benchLine]{
	columns: []column{{name: "PHASE"}, {name: "WHAT"}, {name: "VALUE"}},
	row:     func(l *benchLine) []any { return []any{l.Phase, l.What, l.Value} },
}

type benchReport struct {
	Machine string      `json:"machine"`
	Lines   []benchLine `json:"figures"`
}

// bench is one measurement under a customer of its own.
type bench struct {
	benchFlags
	client *niyanta.Client
	report benchReport
	total  int
}

func newBench(ctx context.Context, c *cli, admin *niyanta.Client, f benchFlags) (*bench, error) {
	depth, rate, burst := 10_000_000, 1_000_000.0, 1_000_000
	running := 1_000_000
	limits := &niyanta.LimitsInput{
		MaxQueueDepth: &depth, MaxConcurrentWorkloads: &running, RateLimitPerSec: &rate, Burst: &burst,
	}
	cust, err := admin.CreateCustomer(ctx, niyanta.CustomerInput{Name: "Benchmark", Tier: "enterprise", Limits: limits})
	if err != nil {
		return nil, err
	}
	key, err := admin.CreateKey(ctx, cust.CustomerID, niyanta.KeyInput{Role: "customer"})
	if err != nil {
		return nil, err
	}
	client, err := c.clientWith(key.Key)
	if err != nil {
		return nil, err
	}
	machine := fmt.Sprintf("%s %s/%s, %d processors", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	return &bench{benchFlags: f, client: client, report: benchReport{Machine: machine}}, nil
}

func (b *bench) add(phase, what, format string, args ...any) {
	b.report.Lines = append(b.report.Lines, benchLine{phase, what, fmt.Sprintf(format, args...)})
}

func (b *bench) run(ctx context.Context) (benchReport, error) {
	b.add("", "machine", "%s", b.report.Machine)
	for _, phase := range []func(context.Context) error{b.runIdle, b.runSingle, b.runSteady, b.check} {
		if err := phase(ctx); err != nil {
			return b.report, err
		}
	}
	return b.report, nil
}

func noop(phase string, runAt *time.Time) niyanta.Submission {
	return niyanta.Submission{
		WorkloadType: "sleep", InputParams: json.RawMessage(`{"duration_ms":0}`),
		Labels: &map[string]string{"phase": phase}, RunAt: runAt,
	}
}

// runIdle measures one workload at a time.
func (b *bench) runIdle(ctx context.Context) error {
	if b.idle == 0 {
		return nil
	}
	for range b.idle {
		a, err := b.client.Submit(ctx, noop("idle", nil), "")
		if err != nil {
			return err
		}
		if _, err := b.client.Wait(ctx, a.WorkloadID, 30*time.Second); err != nil {
			return err
		}
	}
	b.total += b.idle
	return b.latencies(ctx, "idle")
}

// runSingle measures single submissions from 32 clients.
func (b *bench) runSingle(ctx context.Context) error {
	if b.singles == 0 {
		return nil
	}
	begin := time.Now()
	took, err := spread(32, b.singles, func(int) error {
		_, err := b.client.Submit(ctx, noop("single", nil), "")
		return err
	})
	if err != nil {
		return err
	}
	b.add("single", "submitted", "%.0f/s", float64(b.singles)/time.Since(begin).Seconds())
	b.add("single", "answered p50 / p95 / p99", "%s", percentiles(took))
	b.total += b.singles
	return b.settle(ctx)
}

// runSteady measures batches.
func (b *bench) runSteady(ctx context.Context) error {
	var runAt *time.Time
	if b.drain {
		at := time.Now().Add(time.Duration(b.n)*time.Second/4000 + 2*time.Second).Truncate(time.Millisecond)
		runAt = &at
	}
	begin := time.Now()
	batches := (b.n + b.batch - 1) / b.batch
	took, err := spread(b.clients, batches, func(i int) error {
		subs := make([]niyanta.BatchSubmission, min(b.batch, b.n-i*b.batch))
		for k := range subs {
			subs[k].Submission = noop("steady", runAt)
		}
		rs, err := b.client.SubmitBatch(ctx, subs, "")
		for _, r := range rs {
			if r.Error != nil {
				return fmt.Errorf("a submission was refused: %s", r.Error.Message)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	b.add("steady", "submitted", "%.0f/s", float64(b.n)/time.Since(begin).Seconds())
	b.add("steady", "batch answered p50 / p95 / p99", "%s", percentiles(took))
	if runAt != nil && time.Now().After(*runAt) {
		return fmt.Errorf("submitting took %s longer than the workloads could wait; use a smaller -n",
			time.Since(*runAt))
	}
	b.total += b.n
	if err := b.settle(ctx); err != nil {
		return err
	}
	return b.rate(ctx, "steady", runAt)
}

// settle waits until all workloads are final.
func (b *bench) settle(ctx context.Context) error {
	for {
		u, err := b.client.Customer(ctx)
		if err != nil {
			return err
		}
		if u.Usage.CurrentQueueDepth+u.Usage.CurrentRunningWorkloads == 0 {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d workloads wait and %d run at the end: %w",
				u.Usage.CurrentQueueDepth, u.Usage.CurrentRunningWorkloads, ctx.Err())
		}
	}
}

// each calls f for every workload of a phase.
func (b *bench) each(ctx context.Context, phase string, f func(w *niyanta.Workload)) error {
	label, order := []string{"phase=" + phase}, niyanta.OrderAscending
	p := niyanta.ListParams{Label: &label, Order: &order}
	if phase == "" {
		p.Label = nil
	}
	for w, err := range b.client.Workloads(ctx, p) {
		if err != nil {
			return err
		}
		f(&w)
	}
	return nil
}

// rate adds the throughput of a phase, from the store's times.
func (b *bench) rate(ctx context.Context, phase string, runAt *time.Time) error {
	var first, last time.Time
	n := 0
	err := b.each(ctx, phase, func(w *niyanta.Workload) {
		n++
		if first.IsZero() || w.CreatedAt.Before(first) {
			first = w.CreatedAt
		}
		if w.CompletedAt != nil && w.CompletedAt.After(last) {
			last = *w.CompletedAt
		}
	})
	if err != nil {
		return err
	}
	what := "submitted and completed"
	if runAt != nil {
		first, what = *runAt, "drained"
	}
	took := last.Sub(first)
	b.add(phase, what, "%.0f/s (%d in %s)", float64(n)/took.Seconds(), n, took.Round(time.Millisecond))
	return nil
}

// latencies adds how long a phase's workloads took, from the store's times.
func (b *bench) latencies(ctx context.Context, phase string) error {
	var started, completed []time.Duration
	err := b.each(ctx, phase, func(w *niyanta.Workload) {
		if w.StartedAt != nil && w.CompletedAt != nil {
			started = append(started, w.StartedAt.Sub(w.CreatedAt))
			completed = append(completed, w.CompletedAt.Sub(w.CreatedAt))
		}
	})
	if err != nil {
		return err
	}
	b.add(phase, "submitted to RUNNING p50 / p95 / p99", "%s", percentiles(started))
	b.add(phase, "submitted to COMPLETED p50 / p95 / p99", "%s", percentiles(completed))
	return nil
}

// wantTrail is the audit trail of a workload that ran once.
var wantTrail = []string{"workload.created", "workload.scheduled", "workload.started", "workload.completed"}

// check counts the completed workloads, and checks some audit trails.
func (b *bench) check(ctx context.Context) error {
	n, completed, audited := 0, 0, 0
	var ids []string
	err := b.each(ctx, "", func(w *niyanta.Workload) {
		n++
		if w.Status == "COMPLETED" {
			completed++
		}
		if n%max(b.total/max(b.audited, 1), 1) == 0 {
			ids = append(ids, w.WorkloadID)
		}
	})
	if err != nil {
		return err
	}
	for _, id := range ids {
		events, err := niyanta.Collect(b.client.Audit(ctx, id))
		if err != nil {
			return err
		}
		trail := make([]string, len(events))
		for i, e := range events {
			trail[i] = e.EventType
		}
		if slices.Equal(trail, wantTrail) {
			audited++
		}
	}
	b.add("check", "completed", "%d of %d", completed, b.total)
	b.add("check", "audit trails created, scheduled, started, completed", "%d of %d", audited, len(ids))
	if completed != b.total || n != b.total {
		return fmt.Errorf("%d of %d workloads completed, %d exist", completed, b.total, n)
	}
	return nil
}

// spread runs f for 0..n-1 on k goroutines and returns how long each took.
func spread(k, n int, f func(i int) error) ([]time.Duration, error) {
	took, errs := make([]time.Duration, n), make([]error, k)
	next := make(chan int)
	var wg sync.WaitGroup
	for g := range k {
		wg.Go(func() {
			for i := range next {
				begin := time.Now()
				if errs[g] == nil {
					errs[g] = f(i)
				}
				took[i] = time.Since(begin)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return took, errors.Join(errs...)
}

func percentiles(ds []time.Duration) string {
	if len(ds) == 0 {
		return "-"
	}
	slices.Sort(ds)
	at := func(p float64) string {
		d := ds[min(int(p*float64(len(ds))), len(ds)-1)]
		return fmt.Sprintf("%.1f", float64(d.Microseconds())/1000)
	}
	return at(.5) + " / " + at(.95) + " / " + at(.99) + " ms"
}
