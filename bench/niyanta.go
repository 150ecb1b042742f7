package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/contracttests/servers"
)

// niyanta is Niyanta on PostgreSQL: a coordinator and a worker, as processes, over NATS, or one
// server without a bus.
type niyanta struct {
	shared *shared
	bin    string
	// server says that one process is the coordinator and the worker.
	server bool
	// adminPort is where the coordinator serves profiles; 0: nowhere.
	adminPort int
}

func newNiyanta(s *shared, bin string) *niyanta { return &niyanta{shared: s, bin: bin} }

func newNiyantaServer(s *shared, bin string) *niyanta {
	return &niyanta{shared: s, bin: bin, server: true}
}

func (n *niyanta) name() string {
	if n.server {
		return "Niyanta server"
	}
	return "Niyanta"
}

func (n *niyanta) settings() []string {
	set := "one coordinator and one worker with %d slots, each a process, over NATS"
	if n.server {
		set = "one process, niyanta server, with %d slots and no bus"
	}
	return []string{
		fmt.Sprintf(set, slots) + "; type sleep of 0 ms",
		"submitted over HTTP by the harness; every transition is audited",
	}
}

// slots is how many jobs a system may run at once.
const slots = 1000

// The keys of the set; any others would do.
const (
	adminKey  = "bench-admin-key-0123456789abcdefghij"
	workerKey = "bench-worker-key-0123456789abcdefghi"
)

// set is one running Niyanta on a database of its own.
type set struct {
	n                   *niyanta
	url, admin, key     string // admin is where the routes of administrators are
	port                int
	env                 []string
	coordinator, worker *process // the worker is nil where the coordinator is a server
	db                  *pgx.Conn
	drop                func()
	postgres            int
	client              *http.Client
}

// open starts a coordinator on an empty database, with one customer whose limits don't matter.
func (n *niyanta) open(ctx context.Context) (_ *set, err error) {
	s := &set{n: n, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	url, drop, err := n.shared.database(ctx)
	if err != nil {
		return nil, err
	}
	s.drop = drop
	if s.db, err = pgx.Connect(ctx, url); err != nil {
		return nil, err
	}
	if s.postgres, err = n.shared.postgresPID(ctx); err != nil {
		return nil, err
	}
	if s.port, err = servers.FreePort(); err != nil {
		return nil, err
	}
	s.url = fmt.Sprintf("http://127.0.0.1:%d", s.port)
	s.admin = s.url
	s.env = append(os.Environ(), "NIYANTA_LOG_LEVEL=warn", "NIYANTA_WORKER_KEY="+workerKey)
	if !n.server {
		s.env = append(s.env, "NIYANTA_BUS=nats", "NIYANTA_NATS_URL="+n.shared.natsURL)
	}
	if err := s.coordinate(url, 0); err != nil {
		return nil, err
	}
	return s, s.onboard(ctx)
}

// coordinate starts the coordinator, or the server with that many workers.
func (s *set) coordinate(database string, workers int) (err error) {
	command := "coordinator"
	if s.n.server {
		command = "server"
	}
	cmd := exec.Command(filepath.Join(s.n.bin, "niyanta"), command)
	cmd.Env = append(s.env, "NIYANTA_STORE=postgres", "NIYANTA_POSTGRES_URL="+database, "NIYANTA_ADMIN_KEY="+adminKey,
		fmt.Sprintf("NIYANTA_HTTP_ADDR=127.0.0.1:%d", s.port), fmt.Sprintf("NIYANTA_WORKERS=%d", workers),
		fmt.Sprintf("NIYANTA_WORKER_SLOTS=%d", slots))
	if s.n.adminPort != 0 {
		// The routes of administrators are there, too.
		cmd.Env = append(cmd.Env, "NIYANTA_PPROF=true", fmt.Sprintf("NIYANTA_ADMIN_ADDR=127.0.0.1:%d", s.n.adminPort))
		s.admin = fmt.Sprintf("http://127.0.0.1:%d", s.n.adminPort)
	}
	s.coordinator, err = start(s.n.shared.dir, command, cmd, s.port)
	return err
}

// follow starts a further coordinator. stop stops it.
func (s *set) follow() (stop func(), err error) {
	port, err := servers.FreePort()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(s.n.bin, "niyanta"), "coordinator")
	cmd.Env = append(s.coordinator.cmd.Env, fmt.Sprintf("NIYANTA_HTTP_ADDR=127.0.0.1:%d", port))
	p, err := start(s.n.shared.dir, fmt.Sprintf("follower-%d", port), cmd, port)
	return p.stop, err
}

func (s *set) onboard(ctx context.Context) error {
	const many = 10_000_000
	var customer struct {
		CustomerID string `json:"customer_id"`
	}
	err := s.call(ctx, adminKey, http.MethodPost, "/v1/admin/customers", map[string]any{
		"name": "Benchmark", "tier": "enterprise", "limits": map[string]any{
			"max_concurrent_workloads": 1_000_000, "max_queue_depth": many, "rate_limit_per_sec": 1_000_000, "burst": 1_000_000,
		},
	}, &customer)
	if err != nil {
		return err
	}
	var key struct {
		Key string `json:"key"`
	}
	err = s.call(ctx, adminKey, http.MethodPost, "/v1/admin/customers/"+customer.CustomerID+"/keys",
		map[string]any{"role": "customer"}, &key)
	s.key = key.Key
	return err
}

// work starts the worker. A server starts anew, with one.
func (s *set) work() (err error) {
	if s.n.server {
		s.coordinator.stop()
		return s.coordinate(s.db.Config().ConnString(), 1)
	}
	worker := exec.Command(filepath.Join(s.n.bin, "niyanta"), "worker")
	worker.Env = append(s.env, "NIYANTA_COORDINATOR_URL="+s.url, "NIYANTA_WORKER_ID=bench",
		"NIYANTA_WORKER_HTTP_ADDR=127.0.0.1:0",
		fmt.Sprintf("NIYANTA_WORKER_SLOTS=%d", slots))
	s.worker, err = start(s.n.shared.dir, "worker", worker, 0)
	return err
}

func (s *set) close() {
	s.worker.stop()
	s.coordinator.stop()
	if s.db != nil {
		_ = s.db.Close(context.Background()) // nothing is lost with it
	}
	if s.drop != nil {
		s.drop()
	}
}

// used is the processor time of all processes that take part, the harness excepted.
func (s *set) used() time.Duration {
	roots := []int{s.postgres}
	if s.coordinator != nil {
		roots = append(roots, s.coordinator.cmd.Process.Pid)
	}
	if !s.n.server {
		roots = append(roots, s.n.shared.nats.cmd.Process.Pid)
	}
	if s.worker != nil {
		roots = append(roots, s.worker.cmd.Process.Pid)
	}
	return used(roots...)
}

func (s *set) call(ctx context.Context, key, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	base := s.url
	if key == adminKey {
		base = s.admin
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	res, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, res.Status, b)
	}
	return json.Unmarshal(b, out)
}

// noop is a submission that does nothing.
var noop = map[string]any{"workload_type": "sleep", "input_params": map[string]any{"duration_ms": 0}}

func (s *set) submit(ctx context.Context) (id string, err error) {
	var out struct {
		WorkloadID string `json:"workload_id"`
	}
	err = s.call(ctx, s.key, http.MethodPost, "/v1/workloads", noop, &out)
	return out.WorkloadID, err
}

func (s *set) submitBatch(ctx context.Context, size int) error { return s.submitItems(ctx, size, noop) }

// submitItems submits workloads that are alike in one request.
func (s *set) submitItems(ctx context.Context, size int, item map[string]any) error {
	items := make([]any, size)
	for i := range items {
		items[i] = item
	}
	var out struct {
		Results []struct {
			WorkloadID string          `json:"workload_id"`
			Error      json.RawMessage `json:"error"`
		} `json:"results"`
	}
	if err := s.call(ctx, s.key, http.MethodPost, "/v1/workloads/batch", map[string]any{"workloads": items},
		&out); err != nil {
		return err
	}
	for i, r := range out.Results {
		if r.WorkloadID == "" {
			return fmt.Errorf("submission %d was refused: %s", i, r.Error)
		}
	}
	return nil
}

// settle waits until n workloads are done.
func (s *set) settle(ctx context.Context) error {
	return until(ctx, 100*time.Millisecond, func(ctx context.Context) (done bool, err error) {
		err = s.db.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM waiting) AND NOT EXISTS (SELECT FROM held)
			AND NOT EXISTS (SELECT FROM delayed)`).Scan(&done)
		return done, err
	})
}

// check counts what completed and what was audited, and returns when the first was submitted and
// scheduled and the last completed.
func (s *set) check(ctx context.Context, n int) (created, scheduled, completed time.Time, err error) {
	var all, done, audited, complete int
	err = s.db.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE status = 'COMPLETED'), min(created_at),
    min(scheduled_at),
		max(finished_at) FROM workloads`).Scan(&all, &done, &created, &scheduled, &completed)
	if err != nil {
		return created, scheduled, completed, err
	}
	err = s.db.QueryRow(ctx, `SELECT coalesce(sum(n), 0), count(*) FILTER (WHERE trail = ARRAY['workload.completed',
    'workload.created',
		'workload.scheduled', 'workload.started']) FROM (SELECT count(*) n, array_agg(type ORDER BY type) trail
		FROM audit WHERE workload_id <> '' GROUP BY workload_id) t`).Scan(&audited, &complete)
	if err == nil && (all != n || done != n || complete != n || audited != 4*n) {
		err = fmt.Errorf("of %d workloads %d exist, %d completed, %d have a whole audit trail, %d audit events exist",
			n, all, done, complete, audited)
	}
	return created, scheduled, completed, err
}

func (n *niyanta) drain(ctx context.Context, count int) (figures, error) {
	s, err := n.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := batches(ctx, count, s.submitBatch); err != nil {
		return nil, err
	}
	if s.n.server {
		// Before it starts anew, with a worker, it stops, and takes its processor time with it.
		s.coordinator.stop()
		s.coordinator = nil
	}
	before := s.used()
	if err := s.work(); err != nil {
		return nil, err
	}
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	spent := s.used() - before
	_, scheduled, completed, err := s.check(ctx, count)
	return figures{
		rate: float64(count) / completed.Sub(scheduled).Seconds(), processor: float64(spent.Microseconds()) / float64(count),
	}, err
}

func (n *niyanta) steady(ctx context.Context, count int) (figures, error) {
	s, err := n.openWorking(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	before := s.used()
	if err := batches(ctx, count, s.submitBatch); err != nil {
		return nil, err
	}
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	spent := s.used() - before
	created, _, completed, err := s.check(ctx, count+1)
	return figures{
		rate: float64(count) / completed.Sub(created).Seconds(), processor: float64(spent.Microseconds()) / float64(count),
	}, err
}

// openWorking is open with a worker that has proved that it works.
func (n *niyanta) openWorking(ctx context.Context) (*set, error) {
	s, err := n.open(ctx)
	if err != nil {
		return nil, err
	}
	if err = s.work(); err == nil {
		var id string
		if id, err = s.submit(ctx); err == nil {
			err = s.wait(ctx, id)
		}
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *set) wait(ctx context.Context, id string) error {
	for {
		var w struct {
			Status string `json:"status"`
		}
		if err := s.call(ctx, s.key, http.MethodGet, "/v1/workloads/"+id+"?wait=30s", nil, &w); err != nil {
			return err
		}
		switch w.Status {
		case "COMPLETED":
			return nil
		case "FAILED", "CANCELLED":
			return fmt.Errorf("workload %s is %s", id, w.Status)
		}
	}
}

func (n *niyanta) singles(ctx context.Context, count int) (figures, error) {
	s, err := n.openWorking(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	before, began := s.used(), time.Now()
	err = spread(ctx, singleClients, count, func(ctx context.Context, _ int) error {
		_, err := s.submit(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	took := time.Since(began)
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	spent := s.used() - before
	_, _, _, err = s.check(ctx, count+1)
	return figures{rate: float64(count) / took.Seconds(), processor: float64(spent.Microseconds()) / float64(count)}, err
}

func (n *niyanta) idle(ctx context.Context, count int) (figures, error) {
	s, err := n.openWorking(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	var l latency
	for range count {
		time.Sleep(between)
		id, err := s.submit(ctx)
		if err != nil {
			return nil, err
		}
		answered := time.Now()
		if err := s.wait(ctx, id); err != nil {
			return nil, err
		}
		// The answer leaves after the commit: this is what a client sees.
		l.completed = append(l.completed, time.Since(answered))
		var started time.Time
		if err := s.db.QueryRow(ctx, "SELECT started_at FROM workloads WHERE workload_id = $1",
			id).Scan(&started); err != nil {
			return nil, err
		}
		// One clock: the database runs on this machine. A start before the answer counts as none.
		l.started = append(l.started, max(0, started.Sub(answered)))
	}
	_, _, _, err = s.check(ctx, count+1)
	return l.figures(), err
}
