package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/apispec"
	"github.com/niyanta/niyanta/contracttests/servers"
	niyanta "github.com/niyanta/niyanta/sdk"
)

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "niyanta-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "niyanta")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	state, err := os.MkdirTemp("", "niyanta-test-state-")
	for _, name := range []string{"XDG_STATE_HOME", "XDG_CONFIG_HOME"} { // leaves the developer's files alone
		if err == nil {
			err = os.Setenv(name, state)
		}
	}
	if err == nil {
		err = os.Setenv("NIYANTA_WORKER_HTTP_ADDR", "127.0.0.1:0") // of every worker
	}
	if err != nil {
		panic(err)
	}
	code := apispec.Main(func() int { return servers.Run(m, nil) })
	_ = os.RemoveAll(state)
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// syncBuffer collects a process's log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// process is a running niyanta process.
type process struct {
	*exec.Cmd
	log  *syncBuffer
	once sync.Once
	err  error
}

// signal sends a signal to the process. A signal that cannot be caught would end only the
// supervisor, so it is sent to the supervised child.
func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if child := p.supervised(); child != 0 && (s == syscall.SIGKILL || s == syscall.SIGSTOP || s == syscall.SIGCONT) {
		require.NoError(t, syscall.Kill(child, s))
		return
	}
	require.NoError(t, p.Process.Signal(s))
}

// vanish sends a signal to the server and its supervisor at once, as if their machine was lost or
// frozen.
func (p *process) vanish(t *testing.T, s syscall.Signal) {
	t.Helper()
	child := p.supervised()
	require.NoError(t, p.Process.Signal(s))
	if child != 0 {
		require.NoError(t, syscall.Kill(child, s))
	}
}

// supervised returns the id of the process that this one supervises, or 0.
func (p *process) supervised() int {
	for _, pid := range servers.ChildrenOf(p.Process.Pid) {
		return pid
	}
	return 0
}

func (p *process) wait() error {
	p.once.Do(func() { p.err = p.Cmd.Wait() })
	return p.err
}

// fleet is a coordinator and workers, as processes.
type fleet struct {
	t                   *testing.T
	url                 string
	adminKey, workerKey string
	coordinator         *process
	admin, client       *niyanta.Client
	// prepare, if not nil, changes each command before it is started.
	prepare func(*exec.Cmd)
}

func (c *fleet) start(env []string, args ...string) (*process, *bufio.Reader) {
	c.t.Helper()
	path, err := binary()
	require.NoError(c.t, err)
	p := &process{Cmd: exec.Command(path, args...), log: &syncBuffer{}}
	p.Env = append(os.Environ(), env...)
	p.Stderr = p.log
	if c.prepare != nil {
		c.prepare(p.Cmd)
	}
	out, err := p.StdoutPipe()
	require.NoError(c.t, err)
	require.NoError(c.t, p.Start())
	c.t.Cleanup(func() {
		child := p.supervised()
		_ = p.Process.Signal(syscall.SIGCONT)
		_ = p.Process.Kill()
		if child != 0 {
			_ = syscall.Kill(child, syscall.SIGKILL)
		}
		_ = p.wait()
		if c.t.Failed() {
			c.t.Logf("%s:\n%s", strings.Join(args, " "), p.log)
		}
	})
	return p, bufio.NewReader(out)
}

// shortLease is for tests that wait for the end of a lease. No process loses the lease of others
// because the machine is busy for a while.
const shortLease = "NIYANTA_WORKER_LEASE=3s"

func newFleet(t *testing.T, settings ...string) *fleet {
	t.Helper()
	c := &fleet{t: t, adminKey: "admin-key-of-tests-0123456789-abcdef", workerKey: "worker-key-of-tests-0123456789-abcde"}
	p, out := c.start(append([]string{
		"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_ADMIN_KEY=" + c.adminKey, "NIYANTA_WORKER_KEY=" + c.workerKey,
		"NIYANTA_HEARTBEAT_INTERVAL=300ms", "NIYANTA_WORKER_LEASE=20s",
	}, settings...), "coordinator")
	c.coordinator = p
	line, err := out.ReadString('\n')
	require.NoError(t, err, p.log)
	c.url = strings.TrimSpace(strings.TrimPrefix(line, "url: "))
	c.admin = c.clientWith(c.adminKey)
	cust, err := c.admin.CreateCustomer(t.Context(), niyanta.CustomerInput{Name: "Test", Tier: "enterprise"})
	require.NoError(t, err)
	key, err := c.admin.CreateKey(t.Context(), cust.CustomerID, niyanta.KeyInput{Role: "customer"})
	require.NoError(t, err)
	c.client = c.clientWith(key.Key)
	return c
}

func (c *fleet) clientWith(key string) *niyanta.Client {
	c.t.Helper()
	cl, err := niyanta.NewClient(c.url, key, niyanta.RetryFor(0)) // each fault shows
	require.NoError(c.t, err)
	return cl
}

func (c *fleet) worker(id string) *process {
	c.t.Helper()
	p, _ := c.start([]string{
		"NIYANTA_COORDINATOR_URL=" + c.url, "NIYANTA_WORKER_KEY=" + c.workerKey, "NIYANTA_WORKER_ID=" + id,
		"NIYANTA_EXEC_ALLOW=sh",
	}, "worker")
	c.eventually(func() bool {
		ws, err := niyanta.Collect(c.admin.Workers(c.t.Context()))
		if err != nil {
			return false
		}
		for _, w := range ws {
			if w.WorkerID == id && w.Status == "HEALTHY" {
				return true
			}
		}
		return false
	}, "worker "+id+" registers")
	return p
}

func (c *fleet) eventually(f func() bool, what string) {
	c.t.Helper()
	c.eventuallyWithin(time.Minute, f, what)
}

func (c *fleet) eventuallyWithin(d time.Duration, f func() bool, what string) {
	c.t.Helper()
	require.Eventually(c.t, f, d, 10*time.Millisecond, what)
}

func (c *fleet) submit(workloadType, input string) string {
	c.t.Helper()
	a, err := c.client.Submit(c.t.Context(), niyanta.Submission{WorkloadType: workloadType,
		InputParams: json.RawMessage(input)}, "")
	require.NoError(c.t, err)
	return a.WorkloadID
}

func (c *fleet) get(id string) niyanta.Workload {
	c.t.Helper()
	w, err := c.client.Get(c.t.Context(), id)
	require.NoError(c.t, err)
	return w
}

// getAs reads a workload with another key than the fleet's own.
func (c *fleet) getAs(key, id string) niyanta.Workload {
	c.t.Helper()
	w, err := c.clientWith(key).Get(c.t.Context(), id)
	require.NoError(c.t, err)
	return w
}

// submitAs submits with another key than the fleet's own.
func (c *fleet) submitAs(key, workloadType, input string) string {
	c.t.Helper()
	s := niyanta.Submission{WorkloadType: workloadType, InputParams: json.RawMessage(input)}
	a, err := c.clientWith(key).Submit(c.t.Context(), s, "")
	require.NoError(c.t, err)
	return a.WorkloadID
}

// raw returns an answer of the API as text.
func (c *fleet) raw(key, path string) string {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.url+path, nil)
	require.NoError(c.t, err)
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(c.t, err)
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return string(b)
}

func (c *fleet) completed(id string) niyanta.Workload {
	c.t.Helper()
	w, err := c.client.Wait(c.t.Context(), id, 30*time.Second)
	require.NoError(c.t, err)
	require.Equal(c.t, niyanta.Status("COMPLETED"), w.Status, id)
	return w
}

// pidOf reads the pid that a shell printed as its first line.
func (c *fleet) pidOf(id string, generation int64) int {
	c.t.Helper()
	pid := 0
	c.eventually(func() bool {
		log, err := c.client.Logs(c.t.Context(), id, niyanta.LogParams{})
		if err != nil {
			return false
		}
		for _, l := range log.Logs {
			if n, err := strconv.Atoi(l.Message); err == nil && l.Generation == generation {
				pid = outerPID(n, id, generation)
			}
		}
		return pid != 0
	}, "the pid in the log")
	return pid
}

// outerPID returns the id of a process of a run that calls itself inner, perhaps in a PID namespace of
// its own, or 0 if there is none.
func outerPID(inner int, workload string, generation int64) int {
	statuses, _ := filepath.Glob("/proc/[0-9]*/status")
	for _, status := range statuses {
		b, err := os.ReadFile(status)
		_, names, found := strings.Cut(string(b), "\nNSpid:")
		line, _, _ := strings.Cut(names, "\n")
		ids := strings.Fields(line)
		if err != nil || !found || ids[len(ids)-1] != strconv.Itoa(inner) {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join(filepath.Dir(status), "environ")) // not allowed, or gone
		if strings.Contains(string(environ), "NIYANTA_WORKLOAD_ID="+workload+"\x00") &&
			strings.Contains(string(environ), "NIYANTA_GENERATION="+strconv.FormatInt(generation, 10)+"\x00") {
			pid, _ := strconv.Atoi(ids[0]) // the kernel writes numbers
			return pid
		}
	}
	return 0
}

func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func TestWorker_WhenFrozen_IsFencedAndItsWorkContinuesElsewhere(t *testing.T) {
	c := newFleet(t, shortLease)
	frozen := c.worker("frozen")
	long := c.submit("exec", halfDone)
	shell := c.submit("exec", `{"command":["sh","-c","echo $$; exec sleep 300"]}`)
	first := c.pidOf(shell, 1)
	c.saved(long)
	other := c.worker("other")
	frozen.signal(t, syscall.SIGSTOP)
	begin := time.Now()
	w := c.completed(long)
	require.Equal(t, int64(2), w.Generation)
	require.Contains(t, string(w.ResultData), continued)
	c.eventually(func() bool { w := c.get(shell); return w.Generation == 2 && w.Status == "RUNNING" }, "it runs elsewhere")
	t.Logf("running elsewhere %s after the freeze, %s", time.Since(begin).Round(time.Millisecond), shortLease)
	second := c.pidOf(shell, 2)
	require.True(t, alive(first), "frozen workers cannot stop what they run")
	frozen.signal(t, syscall.SIGCONT)
	c.eventually(func() bool { return !alive(first) }, "the frozen worker's program is killed when it wakes")
	c.eventually(func() bool { return strings.Contains(frozen.log.String(), "session over") }, "it fences itself")
	require.True(t, alive(second))
	require.Equal(t, "other", *c.get(shell).WorkerID)
	_, err := c.client.Cancel(t.Context(), shell, "enough", "")
	require.NoError(t, err)
	c.eventually(func() bool { return !alive(second) }, "a cancelled program is killed")
	other.signal(t, syscall.SIGTERM)
	require.NoError(t, other.wait(), "a graceful end is a success")
}

func TestWorker_WhenKilled_ItsWorkContinuesElsewhereAndItsProgramsDie(t *testing.T) {
	c := newFleet(t)
	victim := c.worker("victim")
	shell := c.submit("exec", `{"command":["sh","-c","echo $$; exec sleep 300"]}`)
	pid := c.pidOf(shell, 1)
	daemon := c.pidOf(c.submit("exec", `{"command":["sh","-c","setsid sleep 300 & echo $!; wait"]}`), 1)
	long := c.submit("exec", halfDone)
	c.saved(long)
	c.worker("heir")
	victim.signal(t, syscall.SIGKILL)
	c.eventually(func() bool { return !alive(pid) && !alive(daemon) }, "programs die with their worker, daemons too")
	c.eventually(func() bool { return strings.Contains(c.coordinator.log.String(), "worker died") },
		"its death is certified")
	w := c.completed(long)
	require.Equal(t, int64(2), w.Generation)
	require.Contains(t, string(w.ResultData), continued)
	require.Equal(t, 1, c.get(shell).RedistributionCount)
}

func TestWorker_OnSIGTERM_DrainsAndLosesNothing(t *testing.T) {
	c := newFleet(t)
	leaving := c.worker("leaving")
	id := c.submit("sleep", `{"duration_ms":20000,"steps":200}`)
	shell := c.submit("exec", halfDone)
	c.saved(shell)
	c.eventually(func() bool { return c.get(id).ProgressPercent > 0 }, "progress")
	leaving.signal(t, syscall.SIGTERM)
	require.NoError(t, leaving.wait())
	for _, id := range []string{id, shell} {
		w := c.get(id)
		require.Equal(t, niyanta.Status("REDISTRIBUTING"), w.Status, "given back before the process ended")
		require.Zero(t, w.RedistributionCount)
		require.Positive(t, w.CheckpointSequence)
	}
	ws, err := niyanta.Collect(c.admin.Workers(t.Context()))
	require.NoError(t, err)
	require.Empty(t, ws, "gone, not dead")
	c.eventually(func() bool { return strings.Contains(c.coordinator.log.String(), "worker left") }, "it is logged")
	require.NotContains(t, c.coordinator.log.String(), "worker died")
	c.worker("heir")
	require.Contains(t, string(c.completed(shell).ResultData), continued)
	c.eventually(func() bool { w := c.get(id); return w.Generation == 2 && w.Status == "RUNNING" }, "it goes on")
}

func (c *fleet) sameWorker(args ...string) *process {
	second, _ := c.start([]string{
		"NIYANTA_COORDINATOR_URL=" + c.url, "NIYANTA_WORKER_KEY=" + c.workerKey, "NIYANTA_WORKER_ID=same",
	}, append([]string{"worker"}, args...)...)
	return second
}

func TestWorker_WhenItsIDIsInUse_TriesForOneLeaseAndEnds(t *testing.T) {
	c := newFleet(t, shortLease)
	first := c.worker("same")
	second := c.sameWorker()
	var exit *exec.ExitError
	require.ErrorAs(t, second.wait(), &exit)
	require.Equal(t, exitError, exit.ExitCode())
	require.Contains(t, second.log.String(), "each worker needs an id of its own")
	require.GreaterOrEqual(t, strings.Count(second.log.String(), "trying again until its lease is over"), 2)
	require.NotContains(t, first.log.String(), "session over", "the first one goes on")
	c.completed(c.submit("sleep", `{"duration_ms":0}`))
}

func TestWorker_WhenItTakesOver_TheFirstEnds(t *testing.T) {
	c := newFleet(t)
	first := c.worker("same")
	second := c.sameWorker("--take-over")
	var exit *exec.ExitError
	require.ErrorAs(t, first.wait(), &exit)
	require.Equal(t, exitError, exit.ExitCode())
	require.Contains(t, first.log.String(), "another process is registered as worker same")
	c.completed(c.submit("sleep", `{"duration_ms":0}`))
	second.signal(t, syscall.SIGTERM)
	require.NoError(t, second.wait())
}

func TestWorker_WhenItsSupervisorDies_DrainsAndLeaves(t *testing.T) {
	c := newFleet(t)
	orphan := c.worker("orphan")
	require.NotZero(t, orphan.supervised())
	require.NoError(t, orphan.Process.Kill())
	c.eventually(func() bool {
		ws, err := niyanta.Collect(c.admin.Workers(t.Context()))
		return err == nil && len(ws) == 0
	}, "it deregisters")
	require.NotContains(t, c.coordinator.log.String(), "worker declared dead")
	_ = orphan.wait()
}

func TestWorker_WhenTheCoordinatorStandsStill_WaitsForIt(t *testing.T) {
	c := newFleet(t, shortLease)
	w := c.worker("patient")
	c.coordinator.signal(t, syscall.SIGSTOP)
	c.eventually(func() bool { return strings.Contains(w.log.String(), "session over") }, "the worker fences itself")
	c.coordinator.signal(t, syscall.SIGCONT)
	c.completed(c.submit("sleep", `{"duration_ms":0}`))
}
