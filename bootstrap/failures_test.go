package bootstrap

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/dear"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// failureKind is a kind of failure that users of similar systems have reported in public. It is
// tested in every arena: on memory and on PostgreSQL, with workers in process, over HTTP and over
// each bus.
type failureKind struct {
	name string
	run  func(t *testing.T, a *arena)
}

// publicFailures returns the kinds of all files.
func publicFailures() []failureKind {
	return slices.Concat(reportFailures(), foreignWorkerFailures(), placementFailures())
}

// act is the function of a run of the type "act". The workload's input names it: {"act":"…"}.
type act func(ctx context.Context, t ports.Task, p ports.Progress) (domain.JSON, error)

// acts returns the acts of all files. They are made once, because some hold large results.
var acts = sync.OnceValue(reportActs)

// arena is a running system: a coordinator, and a worker that offers the type "act".
type arena struct {
	*Dev
	*niyanta.Client
	transport string
	cfg       Config
}

// arenas lists the combinations of store and transport.
var arenas = []struct {
	name      string
	store     string
	transport string
}{
	{"memory, in process", StoreMemory, "direct"},
	{"memory, HTTP", StoreMemory, "http"},
	{"PostgreSQL, in process", StorePostgres, "direct"},
	{"PostgreSQL, HTTP", StorePostgres, "http"},
	{"PostgreSQL, NATS", StorePostgres, BusNATS},
	{"PostgreSQL, NATS without HTTP", StorePostgres, "nats alone"},
	{"PostgreSQL, Redis", StorePostgres, BusRedis},
}

func TestFailures_PublicKinds_KeepTheInvariants(t *testing.T) {
	for _, where := range dear.Some(t, 3, arenas) {
		t.Run(where.name, func(t *testing.T) {
			a := openArena(t, where.store, where.transport)
			for _, kind := range publicFailures() {
				t.Run(kind.name, func(t *testing.T) { kind.run(t, a) })
			}
		})
	}
}

func openArena(t *testing.T, store, transport string) *arena {
	t.Helper()
	cfg, err := Load([]string{
		"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_WORKER_SLOTS=100", "NIYANTA_HEARTBEAT_INTERVAL=300ms",
	})
	require.NoError(t, err)
	open := newMemoryApp
	if store == StorePostgres {
		cluster := servers.SharedPostgres(t, preparePostgres)
		cfg.Store, cfg.PostgresURL = StorePostgres, cluster.SocketURL(cluster.Database(t))
		open = func(cfg Config, log *slog.Logger) (*App, error) {
			return NewCoordinator(context.Background(), cfg, log)
		}
	}
	switch transport {
	case BusNATS, "nats alone":
		cfg.Bus, cfg.NATSURL = BusNATS, servers.StartNATS(t, 0).URL()
	case BusRedis:
		cfg.Bus, cfg.RedisURL = BusRedis, servers.StartRedis(t).URL()
	}
	d, err := newDevOn(context.Background(), cfg, 0, "test", silent, open)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close(context.Background())) })
	d.join(t, cfg, transport)
	many := domain.To(1_000_000)
	limits := domain.LimitsPatch{MaxConcurrent: many, MaxQueueDepth: many, RatePerSec: domain.To(1e6), Burst: many}
	_, err = d.App.coordinator.Tenancy.UpdateCustomer(t.Context(), DevCustomer, domain.CustomerPatch{Limits: limits},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	c, err := niyanta.NewClient(d.App.URL(), d.CustomerKey)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return &arena{d, c, transport, cfg}
}

// join starts a worker that uses the transport.
func (d *Dev) join(t *testing.T, cfg Config, transport string) {
	t.Helper()
	types := map[string]ports.WorkloadFactory{"act": func() ports.Workload { return &actor{} }}
	d.joinAs(t, cfg, transport, "actor", types)
	require.NoError(t, d.awaitReady(t.Context(), 1))
}

// joinAs starts a worker with the given id and types that uses the transport.
func (d *Dev) joinAs(t *testing.T, cfg Config, transport, id string, types map[string]ports.WorkloadFactory) {
	t.Helper()
	cfg.WorkerID, cfg.WorkerKeys, cfg.WorkerHTTPAddr = id, []string{d.WorkerKey}, ""
	if transport != "nats alone" {
		cfg.CoordinatorURL = d.App.URL()
	}
	var w *Worker
	var err error
	if transport == "direct" {
		w, err = newWorker(context.Background(), cfg, domain.WorkerID(id), domain.Offer{}, "test", d.App.coordinator.Plane,
			func() {}, silent, types)
	} else {
		w, err = NewWorker(context.Background(), cfg, "test", silent, types)
	}
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
}

// actor is a workload that does an act.
type actor struct {
	task ports.Task
	act  act
}

func (a *actor) Init(_ context.Context, t ports.Task) error {
	var in struct {
		Act string `json:"act"`
	}
	if err := json.Unmarshal([]byte(t.Input), &in); err != nil {
		return err
	}
	if a.task, a.act = t, acts()[in.Act]; a.act == nil {
		return fmt.Errorf("no act %q", in.Act)
	}
	return nil
}

func (a *actor) Execute(ctx context.Context, p ports.Progress) (domain.JSON, error) {
	return a.act(ctx, a.task, p)
}

func (*actor) Checkpoint(context.Context) ([]byte, error) { return nil, ports.ErrNoCheckpoint }

func (*actor) Close() error { return nil }

// submit submits a workload that does an act.
func (a *arena) submit(t *testing.T, name string) string {
	t.Helper()
	input, err := json.Marshal(map[string]string{"act": name})
	require.NoError(t, err)
	ans, err := a.Submit(t.Context(), niyanta.Submission{WorkloadType: "act", InputParams: input}, "")
	require.NoError(t, err)
	return ans.WorkloadID
}

// stored reads a workload from the store.
func (a *arena) stored(t *testing.T, id string) domain.Workload {
	t.Helper()
	ws, err := a.App.backends.Workloads.GetAny(t.Context(), domain.WorkloadID(id))
	require.NoError(t, err)
	require.Len(t, ws, 1)
	return ws[0]
}
