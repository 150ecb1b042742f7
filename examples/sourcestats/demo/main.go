// Command demo shows the main job: a coordinator and two workers, as processes; a workload that
// counts the Go toolchain's source; the busy worker is killed half way; the other continues from
// the last checkpoint; the result must equal one that was computed without Niyanta. With -ui the
// workload waits for its workers until somebody watches, and everything stays up until Ctrl-C.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"time"

	"github.com/niyanta/niyanta/examples/sourcestats"
	niyanta "github.com/niyanta/niyanta/sdk"
)

func main() {
	log.SetFlags(0)
	bin := flag.String("bin", "bin", "folder with niyanta and sourcestats-worker")
	join := flag.Bool("join", false,
		"run on the coordinator at NIYANTA_URL, with NIYANTA_ADMIN_KEY and NIYANTA_WORKER_KEY, instead of one of its own")
	ui := flag.Bool("ui", false, "print links to the console, and keep everything up until Ctrl-C")
	verbose := flag.Bool("v", false, "keep the logs of all processes and say where")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := demo(ctx, *bin, *join, *ui, *verbose); err != nil {
		log.Fatal("demo failed: ", err) //nolint:gocritic // nothing is left to undo
	}
}

// timeout is how long the show may take, from the start of the workers.
const timeout = 2 * time.Minute

func demo(ctx context.Context, bin string, join, ui, verbose bool) error {
	root, err := source(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "niyanta-demo-")
	if err != nil {
		return err
	}
	if verbose {
		say("logs in %s", dir)
	} else {
		defer func() { _ = os.RemoveAll(dir) }() // only logs
	}
	lives, end := context.WithCancel(ctx)
	f := &fleet{bin: bin, logs: dir, workers: map[string]*exec.Cmd{}}
	defer f.wait()
	defer end()
	if err := f.start(lives, join); err != nil {
		return err
	}
	client, err := niyanta.NewClient(f.url, f.customerKey)
	if err != nil {
		return err
	}
	run, err := sourcestats.Definition.Submit(ctx, client, sourcestats.Input{Root: root, CheckpointEvery: 250})
	if err != nil {
		return err
	}
	say("submitted %s: count lines, functions and imports below %s", run.ID, root)
	if ui {
		if err := f.sayLink(ctx, client, run.ID); err != nil {
			return err
		}
		say("It waits, as no worker is there. Open the link, then press Enter here: the workers start.")
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n') // without a terminal they start at once
	}
	if err := f.startWorkers(lives); err != nil {
		return err
	}
	if err := show(ctx, f, client, run, root); err != nil || !ui {
		return err
	}
	if err := f.sayLink(ctx, client, run.ID); err != nil {
		return err
	}
	say("Everything stays up. Ctrl-C ends it.")
	<-ctx.Done()
	return nil
}

// show interrupts the run half way, and checks its result.
func show(
	ctx context.Context, f *fleet, client *niyanta.Client, run *niyanta.Run[sourcestats.Output], root string,
) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := f.awaitWorkers(ctx); err != nil {
		return err
	}
	if err := killHalfWay(ctx, f, client, run.ID); err != nil {
		return err
	}
	watched, stop := context.WithCancel(ctx)
	go progress(watched, client, run.ID)
	out, err := run.Result(ctx)
	stop()
	if err != nil {
		return err
	}
	return compare(ctx, client, run.ID, root, out)
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// source is the Go toolchain's own source tree.
func source(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "src"), nil
}

// killHalfWay follows the workload until it is half done, and kills its worker.
func killHalfWay(ctx context.Context, f *fleet, c *niyanta.Client, id string) error {
	last := -1.0
	for {
		w, err := c.Wait(ctx, id, 50*time.Millisecond)
		if err != nil {
			return err
		}
		if w.Status == "COMPLETED" || w.Status == "FAILED" {
			return fmt.Errorf("it was %s before it could be interrupted", w.Status)
		}
		if w.ProgressPercent >= last+10 {
			last = w.ProgressPercent
			showProgress(&w)
		}
		if w.ProgressPercent >= 45 && w.WorkerID != nil {
			say("SIGKILL to %s at %.0f%%, checkpoint %d", *w.WorkerID, w.ProgressPercent, w.CheckpointSequence)
			return f.kill(*w.WorkerID)
		}
	}
}

func showProgress(w *niyanta.Workload) {
	worker, message := "-", ""
	if w.WorkerID != nil {
		worker = *w.WorkerID
	}
	if w.ProgressMessage != nil {
		message = *w.ProgressMessage
	}
	done := int(w.ProgressPercent / 5)
	say("  [%s%s] %3.0f%%  %-14s generation %d  %-9s %s", strings.Repeat("#", done), strings.Repeat(".", 20-done),
		w.ProgressPercent, w.Status, w.Generation, worker, message)
}

// progress prints what changes until ctx ends.
func progress(ctx context.Context, c *niyanta.Client, id string) {
	var status niyanta.Status
	last := -100.0
	killed := time.Now()
	for ctx.Err() == nil {
		w, err := c.Wait(ctx, id, 100*time.Millisecond)
		if err != nil {
			continue
		}
		if w.Status != status {
			if w.Status == "RUNNING" && w.Generation > 1 {
				say("running again after %.1f s, elsewhere, at generation %d", time.Since(killed).Seconds(),
					w.Generation)
			}
		}
		if w.Status != status || w.ProgressPercent >= last+10 {
			status, last = w.Status, w.ProgressPercent
			showProgress(&w)
		}
		if status == "COMPLETED" || status == "FAILED" {
			return
		}
	}
}

// compare checks that the workload resumed, and that nothing was lost or counted twice.
func compare(ctx context.Context, c *niyanta.Client, id, root string, out sourcestats.Output) error {
	events, err := niyanta.Collect(c.Audit(ctx, id))
	if err != nil {
		return err
	}
	say("audit:")
	for _, e := range events {
		if e.EventType != "workload.progress_updated" && e.EventType != "workload.checkpoint_created" {
			reason := ""
			if e.Details.Reason != nil {
				reason = *e.Details.Reason
			}
			say("  %s  %-24s generation %d  %s", e.Timestamp.Local().Format("15:04:05.000"), e.EventType,
				e.Details.Generation, reason)
		}
	}
	if out.ResumedAt == 0 {
		return errors.New("the second run began at the first file, not at a checkpoint")
	}
	say("resumed at file %d", out.ResumedAt)
	want, err := sourcestats.Count(root)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(want, out.Packages) {
		return fmt.Errorf("the results differ: with Niyanta %+v, without %+v", sourcestats.Total(out.Packages),
			sourcestats.Total(want))
	}
	t := sourcestats.Total(out.Packages)
	say("%d packages, %d files, %d lines, %d functions, %d imports: equal to the count made without Niyanta",
		len(out.Packages), t.Files, t.Lines, t.Functions, t.Imports)
	return nil
}
