package bootstrap

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// BenchmarkDrain20000 submits 20,000 no-op workloads through the lifecycle service while no worker is there, then starts two
// workers and measures until all are COMPLETED: scheduling, commands, the workers' engines, reports and audit included.
// It checks the final states and the number of audit events. The figure is workloads/s.
func BenchmarkDrain20000(b *testing.B) {
	const n = 20_000
	for b.Loop() {
		b.StopTimer()
		cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_WORKER_SLOTS=1000"})
		require.NoError(b, err)
		d, err := NewDev(context.Background(), cfg, 0, "bench", silent)
		require.NoError(b, err)
		limit := domain.Limits{MaxConcurrent: n, MaxQueueDepth: n}
		_, err = d.App.core.Tenancy.UpdateCustomer(b.Context(), DevCustomer, domain.CustomerPatch{Limits: &limit})
		require.NoError(b, err)
		ids := submitNoOps(b, d, n)
		b.StartTimer()
		d.addWorkers(b, cfg, 2)
		awaitDone(b, d)
		b.StopTimer()
		requireAudited(b, d, ids)
		require.NoError(b, d.Close(context.Background()))
		b.StartTimer()
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "workloads/s")
}

// BenchmarkSubmitToComplete measures an idle server: submission to COMPLETED seen by a waiting client, in process.
func BenchmarkSubmitToComplete(b *testing.B) {
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0"})
	require.NoError(b, err)
	d, err := NewDev(context.Background(), cfg, 1, "bench", silent)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, d.Close(context.Background())) })
	p := domain.Principal{CustomerID: DevCustomer}
	for b.Loop() {
		w, err := d.App.core.Lifecycle.Submit(b.Context(), p, lifecycle.SubmitRequest{Type: "sleep", Input: `{"duration_ms":0}`})
		require.NoError(b, err)
		w, err = d.App.core.Lifecycle.Wait(b.Context(), DevCustomer, w.ID, 10*time.Second)
		require.NoError(b, err)
		require.Equal(b, domain.StatusCompleted, w.Status)
	}
}

func submitNoOps(b *testing.B, d *Dev, n int) []domain.WorkloadID {
	b.Helper()
	_, err := d.App.core.Plane.Register(b.Context(), domain.Registration{
		WorkerID: "teller", SessionID: "teller", Capabilities: []string{"sleep"}, Slots: 1,
	})
	require.NoError(b, err) // makes the type known
	require.NoError(b, d.App.core.Plane.RemoveWorker(b.Context(), "teller", domain.Actor{}))
	p := domain.Principal{CustomerID: DevCustomer}
	var ids []domain.WorkloadID
	for len(ids) < n {
		reqs := make([]lifecycle.SubmitRequest, 1000)
		for i := range reqs {
			reqs[i] = lifecycle.SubmitRequest{Type: "sleep", Input: `{"duration_ms":0}`}
		}
		outs, err := d.App.core.Lifecycle.SubmitBatch(b.Context(), p, reqs)
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
		w, err := newWorker(b.Context(), cfg, domain.WorkerID(fmt.Sprint("bench-", i)), "bench", d.App.core.Plane, func() {}, silent)
		require.NoError(b, err)
		d.wg.Go(func() { _ = w.Run(ctx) })
	}
}

func awaitDone(b *testing.B, d *Dev) {
	b.Helper()
	for {
		u, err := d.App.core.Tenancy.CustomerUsage(b.Context(), DevCustomer)
		require.NoError(b, err)
		if u == (domain.Usage{}) {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

func requireAudited(b *testing.B, d *Dev, ids []domain.WorkloadID) {
	b.Helper()
	for _, id := range ids {
		w, err := d.App.core.Lifecycle.Get(b.Context(), DevCustomer, id)
		require.NoError(b, err)
		require.Equal(b, domain.StatusCompleted, w.Status)
		es, err := d.App.core.Lifecycle.ReadAudit(b.Context(), DevCustomer, id, 0, 10)
		require.NoError(b, err)
		require.Len(b, es, 4)
	}
}
