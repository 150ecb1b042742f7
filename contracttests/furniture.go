package contracttests

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// furniture is what a customer has.
type furniture struct {
	// waiting, and so on, are workloads in these states. ending was cancelled, but its worker has not
	// let go of it. lost was cancelled likewise, and the worker's session has ended since.
	waiting, delayed, running, paused, finished, ending, lost, archived domain.Workload
}

func (o furniture) ids() (ids []domain.WorkloadID) {
	for _, w := range o.all() {
		ids = append(ids, w.ID)
	}
	return ids
}

func (o furniture) all() []domain.Workload {
	return []domain.Workload{o.waiting, o.delayed, o.running, o.paused, o.finished, o.ending, o.lost, o.archived}
}

// furnish gives customers something of everything that a store can hold of a customer.
func (f *fixture) furnish(w domain.Worker, customers ...domain.CustomerID) map[domain.CustomerID]*furniture {
	f.Helper()
	out := map[domain.CustomerID]*furniture{}
	dead := f.register(process("dead", "dead-session", "proc_dead"))
	of := func(c domain.CustomerID) func(*domain.Submission) {
		return func(s *domain.Submission) {
			s.CustomerID, s.Labels = c, map[string]string{"of": string(c)}
			s.IdempotencyKey = fmt.Sprint("key ", f.n)
		}
	}
	for _, c := range customers {
		out[c] = &furniture{archived: f.running(w, of(c)), lost: f.running(dead, of(c))}
		f.must(report(out[c].archived, w, domain.EventComplete, 1))
	}
	f.h.Advance(domain.IdempotencyRetention + time.Minute)
	f.purge(domain.KeptLogs, time.Second)
	f.purge(domain.KeptWorkloads, time.Second)
	f.fold(100)
	for _, c := range customers {
		o := out[c]
		o.waiting = f.submit(of(c))
		o.delayed = f.submit(of(c), func(s *domain.Submission) { s.RunAt = f.now().Add(time.Hour) })
		o.running, o.paused = f.running(w, of(c)), f.running(w, of(c))
		o.finished, o.ending = f.running(w, of(c)), f.running(w, of(c))
		_, err := f.Checkpoints.Save(f.Context(), report(o.finished, w, domain.EventCheckpoint, 1), domain.Checkpoint{},
			[]byte("x"))
		require.NoError(f, err)
		f.committed(o.running, w, domain.BlobID("blob_"+string(c)))
		require.NoError(f, f.Uploads.Discard(f.Context(), f.began(o.running, domain.BlobID("blob_dropped_"+string(c)))))
		f.must(wrote(o.finished, w, domain.LogLine{At: time.Unix(1, 0), Message: "one"},
			domain.LogLine{At: time.Unix(1, 0), Message: "two"}))
		f.must(domain.Transition{WorkloadID: o.paused.ID, CustomerID: c, Event: domain.EventRequestPause})
		f.must(report(o.paused, w, domain.EventPaused, 1))
		f.must(report(o.finished, w, domain.EventComplete, 1))
		f.must(cancel(o.ending))
		f.must(cancel(o.lost))
		_, err = f.Configs.Create(f.Context(), domain.WorkloadConfig{
			ID: domain.ConfigID("wlcfg_" + string(c)), CustomerID: c, Type: "t", RunConfig: domain.DefaultRunConfig(),
		})
		require.NoError(f, err)
		_, err = f.Keys.Create(f.Context(), domain.APIKey{
			ID: domain.KeyID("key_" + string(c)), CustomerID: c, Role: domain.RoleViewer, Prefix: "p " + string(c),
		}, admin)
		require.NoError(f, err)
		f.keep(c, "r", 1)
		_, err = f.Tickets.Create(f.Context(), domain.Ticket{
			Digest: sha256.Sum256([]byte(c)), KeyID: domain.KeyID("key_" + string(c)), KeyPrefix: "p " + string(c),
		})
		require.NoError(f, err)
	}
	f.end(certificate("proc_dead", secret))
	return out
}

// noTraces requires that the storage holds nothing of acme, which had o.
func (f *fixture) noTraces(o furniture) {
	f.Helper()
	for what, n := range f.h.Traces(f, acme, o.ids()) {
		require.Zero(f, n, what)
	}
}

// letGo reports that the worker runs nothing of the workload any more.
func letGo(w domain.Workload, on domain.Worker) domain.Transition {
	return domain.Transition{
		WorkloadID: w.ID, Event: domain.EventLetGo, Generation: 1, SessionID: on.SessionID, WorkerID: on.ID,
	}
}
