package bootstrap

import (
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/certificates"
	"github.com/niyanta/niyanta/adapters/failover"
	httpapi "github.com/niyanta/niyanta/adapters/http"
	"github.com/niyanta/niyanta/adapters/http/workerclient"
	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/messaging"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/contracttests/dear"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/coordinator"
)

// steppedClock shows real time plus the time that the test has added.
type steppedClock struct {
	mu    sync.Mutex
	added time.Duration
}

func (c *steppedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.added)
}

func (c *steppedClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.added += d
}

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

const testWorkerKey = "worker-key-of-tests-0123456789abcdef"

// backing opens a storage. It also returns a function that advances the storage's clock.
type backing func(t *testing.T, clock *steppedClock) (ports.Stores, func(time.Duration))

func memoryBacking(_ *testing.T, clock *steppedClock) (ports.Stores, func(time.Duration)) {
	return memory.NewStore(clock).Stores(), clock.advance
}

func postgresBacking(t *testing.T, clock *steppedClock) (ports.Stores, func(time.Duration)) {
	t.Helper()
	h := postgresStores(t)(t)
	t.Cleanup(h.Close)
	return h.Open(), func(d time.Duration) {
		clock.advance(d)
		h.Advance(d)
	}
}

// planeOn builds the services of a coordinator on a storage and hints, and opens clients of workers
// by transport.
func planeOn(t *testing.T, on backing, hints func(telemetry *telemetry.Metrics) (ports.Notifier, ports.Listener),
	connect func(t *testing.T, core *coordinator.Coordinator,
		m *telemetry.Metrics) func(domain.WorkerID) ports.ControlPlane,
) contracttests.PlaneHarness {
	t.Helper()
	clock := &steppedClock{}
	metrics := telemetry.NewMetrics()
	stores, advance := on(t, clock)
	z, err := zstd.New()
	require.NoError(t, err)
	n, l := hints(metrics)
	cfg, err := Load(nil)
	require.NoError(t, err)
	cfg.WorkerKeys = []string{testWorkerKey}
	core := newCoordinator(cfg, Backends{
		Storage: Storage{Stores: stores}, Hints: Hints{Notifier: n, Listener: l},
		Limiter: Limiter{RateLimiter: memory.NewRateLimiter(clock)},
	}, coordinator.Host{
		Name: "coord_test", Clock: clock, IDs: system.IDs{}, Observer: metrics, Compressor: z, Log: silent,
	})
	t.Cleanup(core.Close)
	return contracttests.PlaneHarness{
		StoreHarness: contracttests.StoreHarness{Advance: advance, Open: func() ports.Stores { return stores }},
		Plane:        connect(t, core, metrics), Notifier: n,
	}
}

func inProcess(*telemetry.Metrics) (ports.Notifier, ports.Listener) {
	n := memory.NewNotifier()
	return n, n
}

func TestControlPlane_InProcess_KeepsItsContract(t *testing.T) {
	contracttests.Run(t, "ControlPlane", "direct", append(contracttests.PlaneCases(), contracttests.PollCases()...),
		func(t *testing.T) contracttests.PlaneHarness {
			return planeOn(t, memoryBacking, inProcess, func(_ *testing.T, core *coordinator.Coordinator,
				_ *telemetry.Metrics) func(domain.WorkerID) ports.ControlPlane {
				return func(domain.WorkerID) ports.ControlPlane { return core.Plane }
			})
		})
}

// httpPlane serves the API and connects workers to it.
func httpPlane(
	t *testing.T, core *coordinator.Coordinator, m *telemetry.Metrics,
) func(domain.WorkerID) ports.ControlPlane {
	t.Helper()
	route := httpRoutes(t, core, m)
	return func(id domain.WorkerID) ports.ControlPlane {
		plane := failover.New(nil, []failover.Route{route(id)}, silent)
		t.Cleanup(plane.Close)
		return plane
	}
}

// httpRoutes serves the API, and returns clients of workers.
func httpRoutes(
	t *testing.T, core *coordinator.Coordinator, m *telemetry.Metrics,
) func(domain.WorkerID) *workerclient.Client {
	t.Helper()
	h, err := httpapi.New(httpapi.Deps{
		Lifecycle: core.Lifecycle, Tenancy: core.Tenancy, Plane: core.Plane, IDs: system.IDs{},
		Observer: m, Log: silent, Ready: func(context.Context) httpapi.Readiness { return httpapi.Readiness{} },
		Metrics: m.Handler(), Stopping: context.Background(),
		InFlight: httpapi.InFlight{WorkerRequests: 100, WorkerPolls: 100},
	})
	require.NoError(t, err)
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return func(domain.WorkerID) *workerclient.Client {
		c, err := workerclient.New(server.URL, testWorkerKey, (*certificates.Source)(nil).Equip)
		require.NoError(t, err)
		t.Cleanup(c.Close)
		return c
	}
}

func TestControlPlane_OverHTTP_KeepsItsContract(t *testing.T) {
	contracttests.Run(t, "ControlPlane", "http", append(contracttests.PlaneCases(), contracttests.PollCases()...),
		func(t *testing.T) contracttests.PlaneHarness {
			return planeOn(t, memoryBacking, inProcess, httpPlane)
		})
}

// buses returns a function for each kind of bus. Each call opens another connection to the same
// bus, until the end of the test.
var buses = map[string]func(t *testing.T) func() ports.Bus{
	"bus": func(t *testing.T) func() ports.Bus {
		t.Helper()
		bus := memory.NewBus()
		t.Cleanup(func() { _ = bus.Close() })
		return func() ports.Bus { return bus }
	},
	"nats": func(t *testing.T) func() ports.Bus {
		t.Helper()
		return connectTo(t, Config{Bus: BusNATS, NATSURL: servers.StartNATS(t, 0).URL()})
	},
	"redis": func(t *testing.T) func() ports.Bus {
		t.Helper()
		return connectTo(t, Config{Bus: BusRedis, RedisURL: servers.StartRedis(t).URL()})
	},
}

func connectTo(t *testing.T, cfg Config) func() ports.Bus {
	t.Helper()
	return func() ports.Bus {
		bus, err := openBus(cfg, "test", system.IDs{}, silent)
		require.NoError(t, err)
		t.Cleanup(bus.close)
		return bus.Bus
	}
}

func party(id, kind string) messaging.Party {
	return messaging.Party{ID: id, Kind: kind, Prefix: "niyanta.", Clock: system.Clock{}, IDs: system.IDs{}}
}

// overBus returns a coordinator that workers reach over a bus, each with a connection of its own.
func overBus(t *testing.T, on backing, connect func() ports.Bus) contracttests.PlaneHarness {
	t.Helper()
	bus := connect()
	var metrics *telemetry.Metrics
	harness := planeOn(t, on, func(m *telemetry.Metrics) (ports.Notifier, ports.Listener) {
		metrics = m
		h := messaging.NewHints(bus, memory.NewNotifier(), party("c", "coordinator"), m, silent)
		return h, h
	}, func(t *testing.T, core *coordinator.Coordinator,
		m *telemetry.Metrics) func(domain.WorkerID) ports.ControlPlane {
		server := messaging.NewServer(bus, party("c", "coordinator"), core.Plane, m, silent)
		require.NoError(t, server.Start(t.Context()))
		t.Cleanup(func() { _ = server.Close() })
		data := httpRoutes(t, core, m)
		return func(id domain.WorkerID) ports.ControlPlane {
			c := messaging.NewClient(connect(), party(string(id), "worker"))
			t.Cleanup(func() { _ = c.Close() })
			plane := failover.New(c, []failover.Route{data(id)}, silent)
			t.Cleanup(plane.Close)
			return plane
		}
	})
	harness.Junk = func(data []byte) {
		require.NoError(t, bus.Publish(t.Context(), party("", "").Prefix+"coordinator.events", data))
	}
	harness.Dropped = func() float64 {
		return eventsCounted(t, metrics, "bus_message_bad") + eventsCounted(t, metrics, "bus_message_unknown")
	}
	return harness
}

// eventsCounted returns the value of the counter of an event.
func eventsCounted(t *testing.T, m *telemetry.Metrics, name string) float64 {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if strings.Contains(line, `events_total{event="`+name+`"}`) {
			n, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndex(line, " "):]), 64)
			require.NoError(t, err)
			return n
		}
	}
	return 0
}

func TestControlPlane_OverEachBus_KeepsItsContract(t *testing.T) {
	for name, open := range buses {
		contracttests.Run(t, "ControlPlane", name, contracttests.PlaneCases(),
			func(t *testing.T) contracttests.PlaneHarness {
				return overBus(t, memoryBacking, open(t))
			})
	}
}

func TestControlPlane_OnTheProductionSet_KeepsItsContract(t *testing.T) {
	contracttests.Run(t, "ControlPlane", "postgres+nats", dear.Some(t, 3, contracttests.PlaneCases()),
		func(t *testing.T) contracttests.PlaneHarness {
			return overBus(t, postgresBacking, buses["nats"](t))
		})
}

func TestHints_OverEachBus_KeepTheirContract(t *testing.T) {
	for name, open := range buses {
		contracttests.Run(t, "Notifier", name, contracttests.NotifierCases(),
			func(t *testing.T) contracttests.NotifierHarness {
				connect := open(t)
				return contracttests.NotifierHarness{Open: func() (ports.Notifier, ports.Listener) {
					h := messaging.NewHints(connect(), memory.NewNotifier(), party("x", "test"), telemetry.NewMetrics(),
						silent)
					return h, h
				}}
			})
	}
}
