package chaos_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// process is one that is started again whenever it has ended.
type process struct {
	name string
	path string
	args []string
	env  []string
	mu   sync.Mutex
	cmd  *exec.Cmd
	log  bytes.Buffer
}

func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = exec.Command(p.path, p.args...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stderr = &lockedWriter{p: p}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return p.cmd.Start()
}

// lockedWriter appends to a process's log.
type lockedWriter struct {
	mu sync.Mutex
	p  *process
}

// Write implements io.Writer.
func (w *lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.p.log.Write(b)
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // one that has ended needs none

// end sends a signal, and waits until the process is gone.
func (p *process) end(s syscall.Signal) {
	p.signal(s)
	_ = p.cmd.Wait() // how it ended is known
}

// fleet is the production set: two coordinators and four workers on PostgreSQL, NATS and Redis. Everything reaches the database through
// a proxy, and the coordinators through another that goes on with whichever answers.
type fleet struct {
	t            *testing.T
	pg           *servers.Postgres
	nats         *servers.NATS
	redis        *servers.Redis
	pgProxy      *servers.Proxy
	coordinators []*process
	urls         []string
	workers      []*process
	sink         *sink
	admin        *niyanta.Client
	client       *niyanta.Client
	direct       *pgxpool.Pool // past the proxy
}

const slots = 40

func newFleet(t *testing.T, env []string) *fleet {
	t.Helper()
	bin := t.TempDir()
	for name, pkg := range map[string]string{"niyanta": "../cmd/niyanta", "worker": "./worker"} {
		out, err := exec.Command("go", "build", "-o", filepath.Join(bin, name), pkg).CombinedOutput()
		require.NoError(t, err, string(out))
	}
	pg, err := servers.StartPostgres(true)
	require.NoError(t, err)
	t.Cleanup(pg.Remove)
	f := &fleet{t: t, pg: pg, nats: servers.StartNATS(t, 0), redis: servers.StartRedis(t), pgProxy: servers.NewProxy(t, pg.Port), sink: newSink(t)}
	f.direct, err = pgxpool.New(t.Context(), pg.SocketURL("postgres"))
	require.NoError(t, err)
	t.Cleanup(f.direct.Close)
	adminKey := strings.Repeat("a", 32)
	env = append([]string{
		"NIYANTA_STORE=postgres", "NIYANTA_BUS=nats", "NIYANTA_RATE_LIMITER=redis", "NIYANTA_LOG_LEVEL=warn",
		fmt.Sprintf("NIYANTA_POSTGRES_URL=postgres://niyanta@127.0.0.1:%d/postgres?sslmode=disable", f.pgProxy.Port),
		"NIYANTA_NATS_URL=" + f.nats.URL(), "NIYANTA_REDIS_URL=" + f.redis.URL(),
		"NIYANTA_ADMIN_KEY=" + adminKey, "NIYANTA_WORKER_KEY=" + strings.Repeat("w", 32),
	}, env...)
	var ports []int
	for n := range 2 {
		port, err := servers.FreePort()
		require.NoError(t, err)
		ports = append(ports, port)
		f.urls = append(f.urls, fmt.Sprintf("http://127.0.0.1:%d", port))
		f.coordinators = append(f.coordinators, f.run(fmt.Sprint("coordinator ", n), filepath.Join(bin, "niyanta"), []string{"coordinator"},
			append(env, fmt.Sprintf("NIYANTA_HTTP_ADDR=127.0.0.1:%d", port))))
	}
	url := fmt.Sprintf("http://127.0.0.1:%d", servers.NewProxy(t, ports...).Port)
	f.admin, err = niyanta.NewClient(url, adminKey)
	require.NoError(t, err)
	f.onboard(url)
	for n := range 4 {
		f.workers = append(f.workers, f.run(fmt.Sprint("worker ", n), filepath.Join(bin, "worker"), nil, append(env,
			fmt.Sprint("NIYANTA_WORKER_ID=w", n), fmt.Sprint("NIYANTA_WORKER_SLOTS=", slots), "NIYANTA_COORDINATOR_URL="+url,
			"NIYANTA_EXEC_ALLOW=sleep", "NIYANTA_HTTP_TYPE_ALLOW_PRIVATE=true")))
	}
	return f
}

// run starts a process that ends with the test.
func (f *fleet) run(name, path string, args, env []string) *process {
	f.t.Helper()
	p := &process{name: name, path: path, args: args, env: env}
	require.NoError(f.t, p.start())
	f.t.Cleanup(func() {
		p.signal(syscall.SIGCONT)
		p.end(syscall.SIGKILL)
		if f.t.Failed() {
			log := p.log.String()
			f.t.Logf("%s:\n%s", name, log[max(0, len(log)-4000):])
		}
	})
	return p
}

// runningLimit is what the customer may run at once.
const runningLimit = 120

func (f *fleet) onboard(url string) {
	f.t.Helper()
	var customer niyanta.Customer
	require.Eventually(f.t, func() bool {
		c, err := f.admin.CreateCustomer(f.t.Context(), niyanta.CustomerInput{Name: "Chaos", Tier: "enterprise", Limits: &niyanta.LimitsInput{
			RateLimitPerSec: new(100_000.0), Burst: new(100_000), MaxConcurrentWorkloads: new(runningLimit),
		}})
		customer = c
		return err == nil
	}, 30*time.Second, 100*time.Millisecond)
	key, err := f.admin.CreateKey(f.t.Context(), customer.CustomerID, niyanta.KeyInput{Role: "customer"})
	require.NoError(f.t, err)
	f.client, err = niyanta.NewClient(url, key.Key)
	require.NoError(f.t, err)
}

// leader tells which coordinator leads by its own word; -1: none.
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

// sink is a system that workloads have effects on: it refuses what an older generation sends than it has heard of.
type sink struct {
	url     string
	mu      sync.Mutex
	newest  map[string]int64
	last    map[string]time.Time // when a workload was last heard of
	effects int
	refused int
	twice   int // a step that an earlier run had done already: at-least-once shows
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

// ServeHTTP takes effects of "steps" workloads, and of the built-in "http" ones.
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
