package contracttests

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const keepDead = 7 * 24 * time.Hour

func (f *fixture) purge(limit int) ports.Purged {
	f.Helper()
	p, err := f.Fleet.Purge(f.Context(), f.epoch, keepDead, limit)
	require.NoError(f, err)
	return p
}

// fleetCases are about what operators and time do to workers. Drain and Remove have their own
// cases.
func fleetCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"a drain can be taken back",
			"Undrain sets a DRAINING worker to HEALTHY, with the audit event worker.undrained",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				_, err := f.Fleet.Drain(t.Context(), w.ID, coordinator)
				require.NoError(t, err)
				for range 2 {
					u, err := f.Fleet.Undrain(t.Context(), w.ID, coordinator)
					require.NoError(t, err)
					require.Equal(t, domain.WorkerHealthy, u.Status)
				}
				require.Equal(t, ports.BeatResult{Status: domain.SessionCurrent, WorkerStatus: domain.WorkerHealthy},
					f.beat(w)[0])
				require.Equal(t, []domain.AuditType{domain.AuditWorkerJoined, domain.AuditWorkerDraining,
					domain.AuditWorkerUndrained}, f.workerTrail("w"))
				f.must(assign(f.submit(), w))
				_, err = f.Fleet.Undrain(t.Context(), "nobody", coordinator)
				requireCode(t, err, domain.CodeNotFound)
				h.Advance(lease + time.Second)
				_, err = f.Workers.Expire(t.Context(), f.epoch, 10)
				require.NoError(t, err)
				_, err = f.Fleet.Undrain(t.Context(), w.ID, coordinator)
				requireCode(t, err, domain.CodeInvalidState)
			}},
		{"a dead worker is kept for its time",
			"Purge deletes DEAD workers that were last heard of longer ago than age, with the audit event " +
				"worker.removed",
			func(t T, h StoreHarness) {
				f := given(t, h)
				for _, name := range []string{"a", "b"} {
					r := process(name, name+"-session", "proc_"+name)
					f.register(r)
				}
				f.end(certificate("proc_a", secret))
				f.end(certificate("proc_b", secret))
				require.Zero(t, f.purge(10))
				require.Len(t, f.workers(), 2)
				h.Advance(keepDead + time.Minute)
				live := f.worker("live", 1)
				require.Equal(t, 1, f.purge(1).Workers, "by limit")
				p := f.purge(10)
				require.Equal(t, 1, p.Workers)
				require.Equal(t, []domain.WorkerID{live.ID}, []domain.WorkerID{f.workers()[0].ID})
				require.Len(t, f.workers(), 1)
				require.Zero(t, f.purge(10), "nothing is left of them")
				trail := f.workerTrail("a")
				require.Equal(t, domain.AuditWorkerRemoved, trail[len(trail)-1])
				for _, epoch := range []int64{0, f.epoch - 1, f.epoch + 1} {
					_, err := f.Fleet.Purge(t.Context(), epoch, keepDead, 1)
					requireCode(t, err, domain.CodeFenced)
				}
			}},
		{"a live worker is never purged", "Purge deletes up to limit DEAD workers", func(t T, h StoreHarness) {
			f := given(t, h)
			f.worker("w", 1)
			h.Advance(2 * keepDead) // nobody has declared it dead yet
			require.Zero(t, f.purge(10))
			require.Len(t, f.workers(), 1)
		}},
		{"how a session ended is remembered while it holds work",
			"What a session that still holds work ended by is kept", func(t T, h StoreHarness) {
				f := given(t, h)
				work := f.running(f.register(process("w", "s1", "proc_1")))
				f.end(certificate("proc_1", secret))
				h.Advance(keepDead + time.Minute)
				require.Equal(t, 1, f.purge(10).Workers)
				require.Equal(t, map[domain.WorkloadID]domain.Loss{work.ID: domain.LossDied}, f.orphans())
				f.must(lose(work, domain.LossDied))
				require.Equal(t, 1, f.purge(10).Sessions)
			}},
	}
}
