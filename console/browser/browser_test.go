package browser_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/dear"
	"github.com/niyanta/niyanta/contracttests/servers"
	niyanta "github.com/niyanta/niyanta/sdk"
)

var (
	only  = flag.String("journeys", "", "which files of journeys to run; empty: all, or some without -whole")
	shots = flag.String("shots", filepath.Join("..", "..", "bin", "browser"), "folder for screenshots")
)

// someJourneys are the files of journeys that run without -whole: what people do most, what must be
// refused, and every page once.
const someJourneys = "[1-3]-*.journey.mjs"

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(servers.Run(m, nil))
}

// TestConsole_InABrowser_LeadsThroughTheJourneys runs the journeys against processes.
func TestConsole_InABrowser_LeadsThroughTheJourneys(t *testing.T) {
	needBrowser(t)
	binary := filepath.Join(t.TempDir(), "niyanta")
	build(t, binary, "../../cmd/niyanta")
	t.Run("memory", func(t *testing.T) {
		journeys(t, newFleet(t, binary))
	})
	if !dear.Whole() {
		dear.Left(t, "not on PostgreSQL, and not every page in each size and colour scheme")
		return
	}
	t.Run("postgres", func(t *testing.T) {
		cluster, err := servers.StartPostgres(false)
		require.NoError(t, err)
		t.Cleanup(cluster.Remove)
		database := cluster.URL(cluster.EmptyDatabase(t))
		journeys(t, newFleet(t, binary, "NIYANTA_STORE=postgres", "NIYANTA_POSTGRES_URL="+database))
	})
}

// build builds a program.
func build(t *testing.T, binary, source string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, source).CombinedOutput()
	require.NoError(t, err, string(out))
}

// needBrowser fails the test if what the journeys need is not installed.
func needBrowser(t *testing.T) {
	t.Helper()
	const advice = "run scripts/ensure-deps browser"
	for _, program := range []string{"node", chromium()} {
		_, err := exec.LookPath(program)
		require.NoError(t, err, advice)
	}
	_, err := os.Stat(filepath.Join("..", "node_modules", "playwright-core"))
	require.NoError(t, err, advice)
}

// chromium returns the browser's path: CHROMIUM, or what Debian installs.
func chromium() string {
	if path := os.Getenv("CHROMIUM"); path != "" {
		return path
	}
	return "/usr/bin/chromium"
}

// journeys runs the files of journeys with Node, and shows what they print if one fails.
func journeys(t *testing.T, f *fleet) {
	t.Helper()
	folder := shotsOf(t, filepath.Base(t.Name()))
	pattern := *only
	switch {
	case pattern != "":
	case dear.Whole():
		pattern = "*.journey.mjs"
	default:
		pattern = someJourneys
		dear.Left(t, "only "+pattern)
	}
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, files)
	begin := time.Now()
	require.NoError(t, node(t, folder, map[string]any{
		"url": f.url, "admin_key": f.adminKey, "worker_pids": f.pids(),
	}, files...))
	t.Logf("%s in %.0f s; screenshots in %s", filepath.Base(t.Name()), time.Since(begin).Seconds(), folder)
}

// shotsOf returns an empty folder for screenshots.
func shotsOf(t *testing.T, name string) string {
	t.Helper()
	folder, err := filepath.Abs(filepath.Join(*shots, name))
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(folder))
	require.NoError(t, os.MkdirAll(folder, 0o755))
	return folder
}

// node runs files of journeys, one after the other, as they share the workers. setup is what they get to
// know.
func node(t *testing.T, folder string, setup map[string]any, files ...string) error {
	setup["chromium"], setup["folder"], setup["whole"] = chromium(), folder, dear.Whole()
	encoded, err := json.Marshal(setup)
	if err != nil {
		return err
	}
	args := append([]string{"--test", "--test-concurrency=1", "--test-reporter=spec"}, files...)
	cmd := exec.CommandContext(t.Context(), "node", args...)
	cmd.Env = append(os.Environ(), "NIYANTA_BROWSER_SETUP="+string(encoded))
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	if testing.Verbose() {
		t.Logf("%s", out)
	}
	return nil
}

// fleet is a coordinator and two workers, as processes.
type fleet struct {
	t                        *testing.T
	binary                   string
	url, adminKey, workerKey string
	workers                  map[string]*exec.Cmd
}

func newFleet(t *testing.T, binary string, env ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, binary: binary, adminKey: "admin-key-of-tests-0123456789-abcdef",
		workerKey: "worker-key-of-tests-0123456789-abcde", workers: map[string]*exec.Cmd{}}
	_, out := f.start(append(env, "NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_ADMIN_KEY="+f.adminKey,
		"NIYANTA_WORKER_KEY="+f.workerKey, "NIYANTA_HEARTBEAT_INTERVAL=500ms", "NIYANTA_WORKER_LEASE=20s"), "coordinator")
	line, err := out.ReadString('\n')
	require.NoError(t, err)
	f.url = strings.TrimSpace(strings.TrimPrefix(line, "url: "))
	for _, id := range []string{"worker-a", "worker-b"} {
		f.workers[id], _ = f.start([]string{
			"NIYANTA_COORDINATOR_URL=" + f.url, "NIYANTA_WORKER_KEY=" + f.workerKey, "NIYANTA_WORKER_ID=" + id,
			"NIYANTA_EXEC_ALLOW=sh", "NIYANTA_WORKER_TAGS=zone=" + id[len(id)-1:], "NIYANTA_WORKER_DEVICES=L4:1",
		}, "worker")
	}
	admin, err := niyanta.NewClient(f.url, f.adminKey)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		known, err := niyanta.Collect(admin.Workers(t.Context()))
		return err == nil && len(known) == len(f.workers)
	}, 60*time.Second, 50*time.Millisecond, "the workers register")
	return f
}

func (f *fleet) start(env []string, args ...string) (*exec.Cmd, *bufio.Reader) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), f.binary, args...)
	cmd.Env = append(os.Environ(), env...)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	require.NoError(f.t, err)
	// Its end is awaited below, when the test is over.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	require.NoError(f.t, cmd.Start())
	f.t.Cleanup(func() {
		err := cmd.Wait()
		if exit := (*exec.ExitError)(nil); f.t.Failed() || err != nil && !errors.As(err, &exit) {
			f.t.Logf("%s: %v\n%s", strings.Join(args, " "), err, &log)
		}
	})
	return cmd, bufio.NewReader(out)
}

// pids returns the process of each worker that a journey may kill: the one that works, not its
// supervisor.
func (f *fleet) pids() map[string]int {
	out := map[string]int{}
	for id, cmd := range f.workers {
		out[id] = cmd.Process.Pid
		for _, pid := range servers.ChildrenOf(cmd.Process.Pid) {
			out[id] = pid
		}
	}
	return out
}
