package bootstrap

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/netfault"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// silences is the number of times that each test of silent connections silences them.
var silences = flag.Int("silences", 3, "number of times that each test of silent connections silences them")

// testAdminKey is the coordinators' admin key.
const testAdminKey = "admin-key-of-tests-0123456789abcdef"

// startsWithin is the time within which a workload must complete that is submitted just after a
// connection has become silent.
const startsWithin = 4 * time.Second

// remote is a coordinator and a worker that reaches it through proxies only.
type remote struct {
	t         *testing.T
	app       *App
	client    *niyanta.Client
	http, bus *netfault.Proxy // bus is nil without one
	log       *testfiles.Log  // the worker's
}

// noHTTP as the worker's CoordinatorURL makes the worker use only the bus.
const noHTTP = "none"

// startRemote starts both. configure sets a bus in their configurations, and returns the proxy of
// the worker's connection to it.
func startRemote(
	t *testing.T, configure func(t *testing.T, coordinator, worker *Config) *netfault.Proxy,
	more ...map[string]ports.WorkloadFactory,
) *remote {
	t.Helper()
	cfg, err := Load([]string{
		"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_HEARTBEAT_INTERVAL=1200ms", "NIYANTA_WORKER_LEASE=10s",
		"NIYANTA_WORKER_ID=w", "NIYANTA_DRAIN_TIMEOUT=5s", "NIYANTA_WORKER_HTTP_ADDR=",
	})
	require.NoError(t, err)
	cfg.AdminKey, cfg.WorkerKeys = testAdminKey, []string{testWorkerKey}
	workerCfg := cfg
	r := &remote{t: t, log: &testfiles.Log{}}
	r.bus = configure(t, &cfg, &workerCfg)
	r.app, err = NewCoordinator(t.Context(), cfg, silent)
	require.NoError(t, err)
	require.NoError(t, r.app.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, r.app.Close(context.Background())) })
	r.http = netfault.NewProxy(t, portOf(t, r.app.URL()))
	if workerCfg.CoordinatorURL == noHTTP {
		workerCfg.CoordinatorURL = ""
	} else {
		workerCfg.CoordinatorURL = fmt.Sprintf("http://127.0.0.1:%d", r.http.Port)
	}
	worker, err := NewWorker(context.Background(), workerCfg, "test", slog.New(slog.NewTextHandler(r.log, nil)),
		more...)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		assert.NoError(t, <-ended)
	})
	r.connectClient()
	r.awaits(func() bool { return r.log.Count("msg=registered") == 1 }, "the worker registers")
	return r
}

func (r *remote) connectClient() {
	r.t.Helper()
	admin, err := niyanta.NewClient(r.app.URL(), testAdminKey)
	require.NoError(r.t, err)
	cust, err := admin.CreateCustomer(r.t.Context(), niyanta.CustomerInput{Name: "Test", Tier: "enterprise"})
	require.NoError(r.t, err)
	key, err := admin.CreateKey(r.t.Context(), cust.CustomerID, niyanta.KeyInput{Role: "customer"})
	require.NoError(r.t, err)
	r.client, err = niyanta.NewClient(r.app.URL(), key.Key)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { r.client.Close(); admin.Close() })
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	port, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	return port
}

func (r *remote) awaits(f func() bool, what string) {
	r.t.Helper()
	require.Eventually(r.t, f, time.Minute, 5*time.Millisecond, "%s: %s", what, r.log)
}

// run submits a workload and returns how long it took to complete, without the time during which the
// machine ran something else.
func (r *remote) run(workloadType, input string) time.Duration {
	r.t.Helper()
	begun := testfiles.StartStopwatch(r.t)
	a, err := r.client.Submit(r.t.Context(), niyanta.Submission{WorkloadType: workloadType,
		InputParams: json.RawMessage(input)}, "")
	require.NoError(r.t, err)
	w, err := r.client.Wait(r.t.Context(), a.WorkloadID, 50*time.Second)
	require.NoError(r.t, err)
	require.EqualValues(r.t, "COMPLETED", w.Status, "%+v: %s", w, r.log)
	return begun.Took()
}

// usesItsBus reports whether the bus is connected again and a coordinator has answered over it.
func (r *remote) usesItsBus() bool {
	return r.log.Count(`msg="bus reconnected"`) == r.log.Count(`msg="bus disconnected"`) &&
		r.log.Count(`msg="coordinators reconnected" route=bus`) == r.log.Count(`msg="coordinators disconnected" route=bus`)
}

// neverFenced checks that the worker kept its first session.
func (r *remote) neverFenced() {
	r.t.Helper()
	assert.Equal(r.t, 1, r.log.Count("msg=registered"), "%s", r.log)
	assert.Zero(r.t, r.log.Count("session over"), "%s", r.log)
}

const brief = `{"duration_ms": 1}`

func overHTTP(*testing.T, *Config, *Config) *netfault.Proxy { return nil }

func overNATS(t *testing.T, coordinator, worker *Config) *netfault.Proxy {
	t.Helper()
	s := servers.StartNATS(t, 0)
	proxy := netfault.NewProxy(t, s.Port)
	coordinator.Bus, coordinator.NATSURL = BusNATS, s.URL()
	worker.Bus, worker.NATSURL = BusNATS, fmt.Sprintf("nats://127.0.0.1:%d", proxy.Port)
	return proxy
}

func overRedis(t *testing.T, coordinator, worker *Config) *netfault.Proxy {
	t.Helper()
	s := servers.StartRedis(t)
	proxy := netfault.NewProxy(t, s.Port)
	coordinator.Bus, coordinator.RedisURL = BusRedis, s.URL()
	worker.Bus, worker.RedisURL = BusRedis, fmt.Sprintf("redis://127.0.0.1:%d/0", proxy.Port)
	return proxy
}

func TestWorker_WhenItsConnectionsFallSilent_KeepsItsSessionAndStartsWorkSoon(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		configure func(t *testing.T, coordinator, worker *Config) *netfault.Proxy
		silence   func(r *remote)
	}{
		"http":             {overHTTP, func(r *remote) { r.http.Silence() }},
		"nats":             {overNATS, func(r *remote) { r.bus.Silence() }},
		"redis":            {overRedis, func(r *remote) { r.bus.Silence() }},
		"nats, http too":   {overNATS, func(r *remote) { r.bus.Silence(); r.http.Silence() }},
		"nats, all of it":  {overNATS, func(r *remote) { r.bus.Hold(); r.t.Cleanup(r.bus.Release) }},
		"redis, all of it": {overRedis, func(r *remote) { r.bus.Hold(); r.t.Cleanup(r.bus.Release) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startRemote(t, c.configure)
			r.run("sleep", brief)
			var took []time.Duration
			for n := range *silences {
				c.silence(r)
				took = append(took, r.run("sleep", brief))
				if r.bus == nil {
					continue
				}
				r.awaits(func() bool { return r.log.Count(`msg="bus disconnected"`) > n }, "the silence is noticed")
				r.bus.Release()
				r.awaits(r.usesItsBus, "the bus is used again")
			}
			// The bus is a process of its own: how long it stood still is not known.
			assert.Less(t, median(took), startsWithin, "%s: %s", took, r.log)
			r.neverFenced()
			t.Logf("slowest of %d: %s", *silences, slices.Max(took))
		})
	}
}

func TestWorker_WhenItsBusIsDown_StartsWorkWithinTwoSecondsAndReturnsToTheBus(t *testing.T) {
	t.Parallel()
	for name, configure := range map[string]func(t *testing.T, coordinator,
		worker *Config) *netfault.Proxy{"nats": overNATS, "redis": overRedis} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startRemote(t, configure)
			r.run("sleep", brief)
			var first, second, busAlone []time.Duration
			for n := range 3 {
				r.bus.Down()
				first, second = append(first, r.run("sleep", brief)), append(second, r.run("sleep", brief))
				r.awaits(func() bool { return r.log.Count(`msg="bus disconnected"`) > n }, "it is noticed")
				r.bus.Up()
				r.awaits(func() bool {
					return r.log.Count(`msg="bus reconnected"`) == r.log.Count(`msg="bus disconnected"`)
				}, "the bus is used again")
				r.http.Down()
				busAlone = append(busAlone, r.run("sleep", brief))
				r.http.Up()
			}
			// The bus is a process of its own: how long it stood still is not known.
			for what, took := range map[string][]time.Duration{"first": first, "second": second, "over the bus": busAlone} {
				assert.Less(t, median(took), 2*time.Second, "%s: %s: %s", what, took, r.log)
			}
			r.neverFenced()
			assert.LessOrEqual(t, r.log.Count("\n"), 40, "lines are about changes of state: %s", r.log)
		})
	}
}

// saver saves a checkpoint now and then.
type saver struct{ size int }

func (saver) Init(context.Context, ports.Task) error { return nil }

func (s saver) Execute(ctx context.Context, p ports.Progress) (domain.JSON, error) {
	for range 3 {
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(2 * idleLimit): // the connections are idle meanwhile
		}
		if err := p.Checkpoint(ctx, make([]byte, s.size), nil, ""); err != nil {
			return "", err
		}
	}
	return "{}", nil
}

func (saver) Checkpoint(context.Context) ([]byte, error) { return nil, ports.ErrNoCheckpoint }

func (saver) Close() error { return nil }

// idleLimit is the idle time after which the proxy silences a connection.
const idleLimit = time.Second

func TestCheckpoint_WhenIdleConnectionsAreDroppedSilently_IsSaved(t *testing.T) {
	for name, c := range map[string]struct {
		configure func(t *testing.T, coordinator, worker *Config) *netfault.Proxy
		size      int
	}{"http, small": {overHTTP, 10}, "http, large": {overHTTP, 6 << 20}, "nats, large": {overNATS, 6 << 20},
		"redis, small": {overRedis, 10}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startRemote(t, c.configure, map[string]ports.WorkloadFactory{"saver": func() ports.Workload {
				return saver{c.size}
			}})
			r.http.SilenceIdle(idleLimit)
			if r.bus != nil {
				r.bus.SilenceIdle(idleLimit)
			}
			r.run("saver", "{}")
			r.neverFenced()
		})
	}
}
