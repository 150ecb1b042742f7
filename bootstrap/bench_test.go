package bootstrap

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// benchDev starts a server with the limits of its customer lifted: in memory, or on a PostgreSQL of
// its own with fsync on and the bus in this process.
func benchDev(b *testing.B, store string, workers int) (*Dev, Config) {
	b.Helper()
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_WORKER_SLOTS=1000", "NIYANTA_STORE=" + store})
	require.NoError(b, err)
	var d *Dev
	if store == StoreMemory {
		d, err = NewDev(context.Background(), cfg, workers, "bench", silent)
	} else {
		cluster, cerr := servers.StartPostgres(true)
		require.NoError(b, cerr)
		b.Cleanup(cluster.Remove)
		cfg.PostgresURL = cluster.SocketURL("postgres")
		d, err = newDevOn(context.Background(), cfg, workers, "bench", silent,
			func(cfg Config, log *slog.Logger) (*App, error) {
				return NewCoordinator(context.Background(), cfg, log)
			})
	}
	require.NoError(b, err)
	const many = 1_000_000
	limit := domain.LimitsPatch{MaxConcurrent: domain.To(many), MaxQueueDepth: domain.To(many)}
	_, err = d.App.coordinator.Tenancy.UpdateCustomer(b.Context(), DevCustomer, domain.CustomerPatch{Limits: limit},
		domain.Admin{KeyID: "key_admin"})
	require.NoError(b, err)
	return d, cfg
}

// BenchmarkDrain20000 submits 20,000 no-op workloads through the lifecycle service, without a
// worker. Then it starts two workers, and measures the time until all workloads are COMPLETED. That
// includes scheduling, commands, the workers' engines, reports and audit. It checks the final
// states and the number of audit events. The figures are workloads/s for submitting and for
// draining.
func BenchmarkDrain20000(b *testing.B) {
	for _, store := range []string{StoreMemory, StorePostgres} {
		b.Run(store, func(b *testing.B) { benchDrain(b, store, 20_000) })
	}
}

func benchDrain(b *testing.B, store string, n int) {
	b.Helper()
	var submitting time.Duration
	for b.Loop() {
		b.StopTimer()
		d, cfg := benchDev(b, store, 0)
		begin := time.Now()
		ids := submitNoOps(b, d, n)
		submitting += time.Since(begin)
		b.StartTimer()
		d.addWorkers(b, cfg, 2)
		awaitDone(b, d)
		b.StopTimer()
		requireAudited(b, d, ids)
		require.NoError(b, d.Close(context.Background()))
		b.StartTimer()
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "workloads/s")
	b.ReportMetric(float64(n)*float64(b.N)/submitting.Seconds(), "submitted/s")
}

// BenchmarkSubmitToComplete measures an idle server: submission to COMPLETED seen by a waiting
// client, in process.
func BenchmarkSubmitToComplete(b *testing.B) {
	for _, store := range []string{StoreMemory, StorePostgres} {
		b.Run(store, func(b *testing.B) {
			d, _ := benchDev(b, store, 1)
			b.Cleanup(func() { require.NoError(b, d.Close(context.Background())) })
			p := domain.Principal{CustomerID: DevCustomer}
			for b.Loop() {
				w, err := d.App.coordinator.Lifecycle.Submit(b.Context(), p,
					lifecycle.SubmitRequest{Type: "sleep", Input: `{"duration_ms":0}`})
				require.NoError(b, err)
				w, err = d.App.coordinator.Lifecycle.Wait(b.Context(), DevCustomer, w.ID, 10*time.Second)
				require.NoError(b, err)
				require.Equal(b, domain.StatusCompleted, w.Status)
			}
		})
	}
}

func submitNoOps(b *testing.B, d *Dev, n int) []domain.WorkloadID {
	b.Helper()
	_, err := d.App.coordinator.Plane.Register(b.Context(), domain.Registration{
		WorkerID: "teller", SessionID: "teller", Capabilities: []string{"sleep"}, Slots: 1,
	})
	require.NoError(b, err) // the submission makes the type known
	require.NoError(b, d.App.coordinator.Plane.RemoveWorker(b.Context(), "teller", domain.Admin{KeyID: "key_admin"}))
	p := domain.Principal{CustomerID: DevCustomer}
	var ids []domain.WorkloadID
	for len(ids) < n {
		reqs := make([]lifecycle.SubmitRequest, 1000)
		for i := range reqs {
			reqs[i] = lifecycle.SubmitRequest{Type: "sleep", Input: `{"duration_ms":0}`}
		}
		outs, err := d.App.coordinator.Lifecycle.SubmitBatch(b.Context(), p, reqs)
		require.NoError(b, err)
		for _, o := range outs {
			require.NoError(b, o.Err)
			ids = append(ids, o.Workload.ID)
		}
	}
	return ids
}

func (d *Dev) addWorkers(b *testing.B, cfg Config, n int) {
	b.Helper()
	ctx, drain := context.WithCancel(b.Context())
	d.drain = drain
	for i := range n {
		w, err := newWorker(b.Context(), cfg, domain.WorkerID(fmt.Sprint("bench-", i)), domain.Offer{}, "bench",
			d.App.coordinator.Plane, func() {}, silent)
		require.NoError(b, err)
		d.worked.Go(func() { _ = w.Run(ctx) })
	}
}

func awaitDone(b *testing.B, d *Dev) {
	b.Helper()
	for {
		u, err := d.App.coordinator.Statistics.Usage(b.Context(), DevCustomer)
		require.NoError(b, err)
		if u.Unfinished == (domain.Unfinished{}) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func requireAudited(b *testing.B, d *Dev, ids []domain.WorkloadID) {
	b.Helper()
	for _, id := range ids {
		w, err := d.App.coordinator.Lifecycle.Get(b.Context(), DevCustomer, id)
		require.NoError(b, err)
		require.Equal(b, domain.StatusCompleted, w.Status)
		es, err := d.App.coordinator.Lifecycle.ReadAudit(b.Context(), DevCustomer, id, 0, 10)
		require.NoError(b, err)
		require.Len(b, es, 4)
	}
}
