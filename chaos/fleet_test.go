package chaos_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/netfault"
	"github.com/niyanta/niyanta/contracttests/servers"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// process is a process that is started again when it has ended, as in a deployment.
type process struct {
	name string
	id   string // of a worker
	path string
	args []string
	env  []string
	log  output

	mu         sync.Mutex
	cmd        *exec.Cmd
	done       chan struct{} // closed when it has ended
	startAfter time.Time     // it is not started again before
}

// start starts the process. The kernel ends it with the thread that started it, so the thread is
// kept.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = exec.Command(p.path, p.args...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stderr = &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	servers.EndWithParent(p.cmd.SysProcAttr, syscall.SIGKILL)
	started, done := make(chan error), make(chan struct{})
	p.done = done
	go func(cmd *exec.Cmd) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // its exit status does not matter
		}
		close(done)
	}(p.cmd)
	return <-started
}

// output collects the logs of a process, over all its starts.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(b)
}

// String returns the logs.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// signal sends a signal to a part of the process. It ignores processes that have ended.
func (p *process) signal(s syscall.Signal, to part) {
	for _, pid := range to.pids(p) {
		_ = syscall.Kill(pid, s)
	}
}

// end sends a signal to a part of the process and waits until all of it has ended. It is started
// again after back.
func (p *process) end(s syscall.Signal, to part, back time.Duration) {
	p.keepDown()
	p.signal(s, to)
	p.awaitEnd(back)
}

// keepDown keeps the process from being started again, until awaitEnd.
func (p *process) keepDown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.startAfter = time.Now().Add(time.Hour)
}

// awaitEnd waits until all of the process has ended. It is started again after back.
func (p *process) awaitEnd(back time.Duration) {
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	<-done
	p.mu.Lock()
	defer p.mu.Unlock()
	p.startAfter = time.Now().Add(back)
}

// replace ends the process gracefully, and has it started again as another program.
func (p *process) replace(path string) {
	p.keepDown()
	p.signal(syscall.SIGTERM, supervisorOnly)
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	<-done
	p.mu.Lock()
	defer p.mu.Unlock()
	p.path, p.startAfter = path, time.Time{}
}

// program returns the program that the process runs.
func (p *process) program() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.path
}

// due reports whether the process has ended and should be started.
func (p *process) due() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.done:
		return time.Now().After(p.startAfter)
	default:
		return false
	}
}

// supervise starts processes that have ended, until ctx ends.
func (f *fleet) supervise(ctx context.Context) {
	for ctx.Err() == nil {
		for _, p := range append(f.workers[:len(f.workers):len(f.workers)], f.coordinators...) {
			if p.due() {
				if err := p.start(); err != nil {
					f.t.Errorf("%s does not start: %v", p.name, err)
				}
			}
		}
		sleep(ctx, 20*time.Millisecond)
	}
}

// fleet is the production set: two coordinators and four workers on PostgreSQL, NATS and Redis. The
// coordinators reach the database through a proxy. Workers and clients reach the coordinators
// through another proxy, which connects to any coordinator that answers.
type fleet struct {
	t            *testing.T
	pg           *servers.Postgres
	nats         *servers.NATS
	redis        *servers.Redis
	pgProxy      *netfault.Proxy
	coordinators []*process
	urls         []string
	workers      []*process
	sink         *sink
	admin        *niyanta.Client
	client       *niyanta.Client
	direct       *pgxpool.Pool // past the proxy
}

const slots = 40

// programs are the paths of the programs of a version.
type programs struct{ coordinator, worker string }

// build builds the programs from the source in a folder.
func build(t *testing.T, source string) programs {
	t.Helper()
	bin := t.TempDir()
	built := programs{filepath.Join(bin, "niyanta"), filepath.Join(bin, "worker")}
	for path, pkg := range map[string]string{built.coordinator: "./cmd/niyanta", built.worker: "./chaos/worker"} {
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", path, pkg)
		cmd.Dir = source
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	return built
}

// newFleet starts the servers, and processes of a version.
func newFleet(t *testing.T, version programs, env []string) *fleet {
	t.Helper()
	pg, err := servers.StartPostgres(true)
	require.NoError(t, err)
	t.Cleanup(pg.Remove)
	f := &fleet{t: t, pg: pg, nats: servers.StartNATS(t, 0), redis: servers.StartRedis(t),
		pgProxy: netfault.NewProxy(t, pg.Port), sink: newSink(t)}
	f.direct, err = pgxpool.New(t.Context(), pg.SocketURL("postgres"))
	require.NoError(t, err)
	t.Cleanup(f.direct.Close)
	adminKey := "admin-key-of-tests-0123456789-abcdef"
	env = append([]string{
		"NIYANTA_STORE=postgres", "NIYANTA_BUS=nats", "NIYANTA_RATE_LIMITER=redis", "NIYANTA_LOG_LEVEL=warn",
		fmt.Sprintf("NIYANTA_POSTGRES_URL=postgres://niyanta@127.0.0.1:%d/postgres?sslmode=disable", f.pgProxy.Port),
		"NIYANTA_NATS_URL=" + f.nats.URL(), "NIYANTA_REDIS_URL=" + f.redis.URL(),
		"NIYANTA_ADMIN_KEY=" + adminKey, "NIYANTA_WORKER_KEY=" + "worker-key-of-tests-0123456789-abcde",
	}, env...)
	var ports []int
	for n := range 2 {
		port, err := servers.FreePort()
		require.NoError(t, err)
		ports = append(ports, port)
		f.urls = append(f.urls, fmt.Sprintf("http://127.0.0.1:%d", port))
		f.coordinators = append(f.coordinators, f.run(fmt.Sprint("coordinator ", n), version.coordinator,
			[]string{"coordinator"},
			slices.Concat(env, []string{fmt.Sprintf("NIYANTA_HTTP_ADDR=127.0.0.1:%d", port)})))
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", netfault.NewProxy(t, ports...).Port)
	f.admin, err = niyanta.NewClient(url, adminKey)
	require.NoError(t, err)
	f.onboard(url)
	for n := range 4 {
		p := f.run(fmt.Sprint("worker ", n), version.worker, nil, slices.Concat(env, []string{
			fmt.Sprint("NIYANTA_WORKER_ID=w", n), fmt.Sprint("NIYANTA_WORKER_SLOTS=", slots), "NIYANTA_COORDINATOR_URL=" + url,
			"NIYANTA_DRAIN_TIMEOUT=30s", "NIYANTA_EXEC_ALLOW=sleep", "NIYANTA_HTTP_TYPE_ALLOW_PRIVATE=true",
			"NIYANTA_WORKER_HTTP_ADDR=127.0.0.1:0",
		}))
		p.id = fmt.Sprint("w", n)
		f.workers = append(f.workers, p)
	}
	return f
}

// run starts a process. It ends with the test.
func (f *fleet) run(name, path string, args, env []string) *process {
	f.t.Helper()
	p := &process{name: name, path: path, args: args, env: env}
	require.NoError(f.t, p.start())
	f.t.Cleanup(func() {
		p.end(syscall.SIGKILL, machine, time.Hour)
		if f.t.Failed() {
			log := p.log.String()
			f.t.Logf("%s:\n%s", name, log[max(0, len(log)-4000):])
		}
	})
	return p
}

// runningLimit is the number of workloads of the customer that may run at once.
const runningLimit = 120

// onboard creates the customer, its key and its configs.
func (f *fleet) onboard(url string) {
	f.t.Helper()
	var customer niyanta.Customer
	require.Eventually(f.t, func() bool {
		c, err := f.admin.CreateCustomer(f.t.Context(), niyanta.CustomerInput{Name: "Chaos", Tier: "enterprise",
			Limits: &niyanta.LimitsInput{
				RateLimitPerSec: new(100_000.0), Burst: new(100_000), MaxConcurrentWorkloads: new(runningLimit),
			}})
		customer = c
		return err == nil
	}, 30*time.Second, 100*time.Millisecond)
	key, err := f.admin.CreateKey(f.t.Context(), customer.CustomerID, niyanta.KeyInput{Role: "customer"})
	require.NoError(f.t, err)
	f.client, err = niyanta.NewClient(url, key.Key)
	require.NoError(f.t, err)
	for _, kind := range []string{"steps", "http", "exec", "sleep"} { // a short backoff: retries happen during the run
		_, err := f.client.CreateConfig(f.t.Context(), niyanta.ConfigInput{WorkloadType: kind,
			RetryBackoff: &niyanta.RetryBackoff{
				InitialSeconds: new(0.5), Factor: new(2.0), MaxSeconds: new(10.0),
			}})
		require.NoError(f.t, err)
	}
}

// leader returns the index of the coordinator that says that it leads, or -1.
func (f *fleet) leader() int {
	for i, url := range f.urls {
		resp, err := (&http.Client{Timeout: time.Second}).Get(url + "/ready")
		if err != nil {
			continue
		}
		var body struct {
			IsLeader bool `json:"is_leader"`
		}
		err = json.NewDecoder(resp.Body).Decode(&body)
		_ = resp.Body.Close()
		if err == nil && body.IsLeader {
			return i
		}
	}
	return -1
}

// sink is an external system on which workloads have effects. It refuses an effect of a generation
// that is older than the newest one it knows.
type sink struct {
	url     string
	mu      sync.Mutex
	newest  map[string]int64
	last    map[string]time.Time // when a workload had its last effect
	effects int
	refused int
	twice   int // steps that were done again
	done    map[string]map[int]int64
}

func newSink(t *testing.T) *sink {
	t.Helper()
	s := &sink{newest: map[string]int64{}, last: map[string]time.Time{}, done: map[string]map[int]int64{}}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// ServeHTTP records an effect of a workload of type "steps" or "http".
func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var e struct {
		Workload   string `json:"workload"`
		Generation int64  `json:"generation"`
		Step       int    `json:"step"`
	}
	if id := r.Header.Get("Niyanta-Workload-Id"); id != "" {
		e.Workload = id
		_, _ = fmt.Sscan(r.Header.Get("Niyanta-Generation"), &e.Generation)
	} else if err := json.NewDecoder(r.Body).Decode(&e); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Generation < s.newest[e.Workload] {
		s.refused++
		http.Error(w, "an older generation", http.StatusConflict)
		return
	}
	s.newest[e.Workload] = e.Generation
	s.last[e.Workload] = time.Now()
	s.effects++
	if s.done[e.Workload] == nil {
		s.done[e.Workload] = map[int]int64{}
	}
	if _, before := s.done[e.Workload][e.Step]; before {
		s.twice++
	}
	s.done[e.Workload][e.Step] = e.Generation
}
