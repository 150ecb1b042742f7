package bootstrap

import (
	"context"
	"io"
	"log/slog"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	httpapi "github.com/niyanta/niyanta/adapters/http"
	"github.com/niyanta/niyanta/adapters/http/workerclient"
	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/messaging"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// steppedClock is real time plus what the test added.
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

// planeOn builds the services of a coordinator on memory stores and hints, and opens workers' views by transport.
func planeOn(t *testing.T, hints func(telemetry *telemetry.Metrics) (ports.Notifier, ports.Listener),
	connect func(t *testing.T, core *Core, m *telemetry.Metrics) func(domain.WorkerID) ports.ControlPlane,
) contracttests.PlaneHarness {
	t.Helper()
	clock := &steppedClock{}
	store, metrics := memory.NewStore(clock), telemetry.NewMetrics()
	z, err := zstd.New()
	require.NoError(t, err)
	n, l := hints(metrics)
	cfg, err := Load(nil)
	require.NoError(t, err)
	cfg.WorkerKeys = []string{testWorkerKey}
	b := Backends{
		Stores: memoryStoresOf(store), Signals: Signals{Notifier: n, Listener: l}, Limiter: Limiter{memory.NewRateLimiter(clock)}, Compressor: z,
	}
	core := NewCore(cfg, b, Host{Clock: clock, IDs: system.IDs{}, Observer: metrics, Log: silent})
	t.Cleanup(core.Plane.Close)
	return contracttests.PlaneHarness{
		StoreHarness: contracttests.StoreHarness{Advance: clock.advance, Open: func() contracttests.Stores {
			return contracttests.Stores{
				Workloads: b.Workloads, Queue: b.Queue, Workers: b.Workers, Checkpoints: b.Checkpoints, Customers: b.Customers,
				Configs: b.Configs, Keys: b.Keys, Audit: b.Audit, Logs: b.Logs, Leader: b.Lease,
			}
		}},
		Plane: connect(t, core, metrics), Notifier: n,
	}
}

func inProcess(*telemetry.Metrics) (ports.Notifier, ports.Listener) {
	n := memory.NewNotifier()
	return n, n
}

func TestControlPlaneInProcessKeepsItsContract(t *testing.T) {
	contracttests.Run(t, "ControlPlane", "direct", contracttests.PlaneCases(), func(t *testing.T) contracttests.PlaneHarness {
		return planeOn(t, inProcess, func(_ *testing.T, core *Core, _ *telemetry.Metrics) func(domain.WorkerID) ports.ControlPlane {
			return func(domain.WorkerID) ports.ControlPlane { return core.Plane }
		})
	})
}

// httpPlane serves the API and connects workers to it.
func httpPlane(t *testing.T, core *Core, m *telemetry.Metrics) func(domain.WorkerID) ports.ControlPlane {
	t.Helper()
	h, err := httpapi.New(httpapi.Deps{
		Lifecycle: core.Lifecycle, Tenancy: core.Tenancy, Plane: core.Plane, IDs: system.IDs{}, Observer: m, Log: silent,
		Ready: func(context.Context) httpapi.Readiness { return httpapi.Readiness{} }, Metrics: m.Handler(), Stopping: context.Background(),
	})
	require.NoError(t, err)
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return func(domain.WorkerID) ports.ControlPlane {
		c, err := workerclient.New(server.URL, testWorkerKey)
		require.NoError(t, err)
		t.Cleanup(c.Close)
		return c
	}
}

func TestControlPlaneOverHTTPKeepsItsContract(t *testing.T) {
	contracttests.Run(t, "ControlPlane", "http", contracttests.PlaneCases(), func(t *testing.T) contracttests.PlaneHarness {
		return planeOn(t, inProcess, httpPlane)
	})
}

func TestControlPlaneOverABusKeepsItsContract(t *testing.T) {
	contracttests.Run(t, "ControlPlane", "bus", contracttests.PlaneCases(), func(t *testing.T) contracttests.PlaneHarness {
		bus := memory.NewBus()
		t.Cleanup(func() { _ = bus.Close() })
		party := func(id, kind string) messaging.Party {
			return messaging.Party{ID: id, Kind: kind, Prefix: "niyanta.", Clock: system.Clock{}, IDs: system.IDs{}}
		}
		return planeOn(t, func(m *telemetry.Metrics) (ports.Notifier, ports.Listener) {
			h := messaging.NewHints(bus, party("c", "coordinator"), m, silent)
			return h, h
		}, func(t *testing.T, core *Core, m *telemetry.Metrics) func(domain.WorkerID) ports.ControlPlane {
			server := messaging.NewServer(bus, party("c", "coordinator"), core.Plane, m, silent)
			require.NoError(t, server.Start(t.Context()))
			t.Cleanup(func() { _ = server.Close() })
			data := httpPlane(t, core, m)
			return func(id domain.WorkerID) ports.ControlPlane {
				c := messaging.NewClient(bus, party(string(id), "worker"), data(id))
				t.Cleanup(func() { _ = c.Close() })
				return c
			}
		})
	})
}

func TestHintsOverABusKeepTheirContract(t *testing.T) {
	contracttests.Run(t, "Notifier", "bus", contracttests.NotifierCases(), func(t *testing.T) contracttests.NotifierHarness {
		bus := memory.NewBus()
		t.Cleanup(func() { _ = bus.Close() })
		return contracttests.NotifierHarness{Open: func() (ports.Notifier, ports.Listener) {
			h := messaging.NewHints(bus, messaging.Party{ID: "x", Kind: "test", Clock: system.Clock{}, IDs: system.IDs{}}, telemetry.NewMetrics(), silent)
			return h, h
		}}
	})
}
