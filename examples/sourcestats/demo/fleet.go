package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// fleet is a coordinator and its workers, as processes.
type fleet struct {
	bin, logs   string
	url         string
	workerKey   string
	customerKey string
	admin       *niyanta.Client
	coordinator *exec.Cmd
	workers     map[string]*exec.Cmd
}

// start starts a coordinator on a free port, unless the fleet joins one that runs, and onboards a
// customer. What it starts ends with ctx.
func (f *fleet) start(ctx context.Context, join bool) error {
	adminKey, workerKey := os.Getenv("NIYANTA_ADMIN_KEY"), os.Getenv("NIYANTA_WORKER_KEY")
	f.url = os.Getenv("NIYANTA_URL")
	if !join {
		adminKey, workerKey = rand.Text()+rand.Text(), rand.Text()+rand.Text()
		if err := f.startCoordinator(ctx, adminKey, workerKey); err != nil {
			return err
		}
	}
	say("coordinator and console at %s", f.url)
	f.workerKey = workerKey
	var err error
	if f.admin, err = niyanta.NewClient(f.url, adminKey); err != nil {
		return err
	}
	customer, err := f.admin.CreateCustomer(ctx, niyanta.CustomerInput{Name: "Demo", Tier: "premium"})
	if err != nil {
		return err
	}
	key, err := f.admin.CreateKey(ctx, customer.CustomerID, niyanta.KeyInput{Role: "customer"})
	if err != nil {
		return err
	}
	f.customerKey = key.Key
	return nil
}

// startWorkers starts two workers, which end with ctx.
func (f *fleet) startWorkers(ctx context.Context) error {
	for _, id := range []string{"worker-a", "worker-b"} {
		w := f.command(ctx, id, "sourcestats-worker")
		w.Env = append(os.Environ(), "NIYANTA_COORDINATOR_URL="+f.url, "NIYANTA_WORKER_KEY="+f.workerKey,
			"NIYANTA_WORKER_ID="+id, "NIYANTA_WORKER_HTTP_ADDR=127.0.0.1:0")
		if err := w.Start(); err != nil {
			return fmt.Errorf("start %s: %w", id, err)
		}
		f.workers[id] = w
	}
	return nil
}

// sayLink prints a link that signs a browser in at the page of a workload.
func (f *fleet) sayLink(ctx context.Context, c *niyanta.Client, id string) error {
	link, err := c.CreateSignInLink(ctx)
	if err != nil {
		return err
	}
	say("\nWatch it; the link counts once, within a minute:\n%s/workloads/%s#code=%s", f.url, id, link.Code)
	say("Later: NIYANTA_URL=%s NIYANTA_API_KEY=%s %s ui\n", f.url, f.customerKey, filepath.Join(f.bin, "niyanta"))
	return nil
}

func (f *fleet) startCoordinator(ctx context.Context, adminKey, workerKey string) error {
	f.coordinator = f.command(ctx, "coordinator", "niyanta", "coordinator")
	f.coordinator.Env = append(os.Environ(),
		"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_ADMIN_KEY="+adminKey, "NIYANTA_WORKER_KEY="+workerKey,
		// A shorter lease than the default, so that nobody waits for the show; the rules are the
		// same.
		"NIYANTA_HEARTBEAT_INTERVAL=1s", "NIYANTA_WORKER_LEASE=4s")
	out, err := f.coordinator.StdoutPipe()
	if err != nil {
		return err
	}
	if err := f.coordinator.Start(); err != nil {
		return fmt.Errorf("start coordinator: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "url: ")
	if err != nil || !ok {
		return fmt.Errorf("the coordinator did not start: see %s", f.logs)
	}
	f.url = url
	return nil
}

func (f *fleet) awaitWorkers(ctx context.Context) error {
	for {
		ws, err := niyanta.Collect(f.admin.Workers(ctx))
		if err != nil {
			return err
		}
		ours := slices.DeleteFunc(ws, func(w niyanta.WorkerInfo) bool {
			return f.workers[w.WorkerID] == nil ||
				w.Status != "HEALTHY"
		})
		if len(ours) == len(f.workers) {
			for _, w := range ours {
				say("%s registered, pid %d", w.WorkerID, f.workers[w.WorkerID].Process.Pid)
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the workers did not register: see %s", f.logs)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// command prepares a process whose log goes to a file. It ends with ctx: gracefully, or for good after a
// while. It dies with the demo.
func (f *fleet) command(ctx context.Context, name, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(f.bin, program), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	endWithDemo(cmd)
	if w, err := os.Create(filepath.Join(f.logs, name+".log")); err == nil {
		cmd.Stderr = w
	}
	return cmd
}

func (f *fleet) kill(worker string) error {
	cmd := f.workers[worker]
	if cmd == nil {
		return fmt.Errorf("no process is worker %s", worker)
	}
	delete(f.workers, worker)
	if err := cmd.Process.Kill(); err != nil {
		return err
	}
	_ = cmd.Wait() // says that it was killed
	return nil
}

// wait returns when all processes have ended.
func (f *fleet) wait() {
	for _, w := range f.workers {
		_ = w.Wait() // how it ended does not matter any more
	}
	if f.coordinator != nil {
		_ = f.coordinator.Wait()
	}
}
