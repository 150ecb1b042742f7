package contracttests

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// fleetCases are about what operators do to workers. Drain and Remove have their own cases.
func fleetCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"a drain can be undone",
			"Undrain sets a DRAINING worker to HEALTHY, with the audit event worker.undrained",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				_, err := f.Fleet.Drain(t.Context(), w.ID, admin)
				require.NoError(t, err)
				for range 2 {
					u, err := f.Fleet.Undrain(t.Context(), w.ID, admin)
					require.NoError(t, err)
					require.Equal(t, domain.WorkerHealthy, u.Status)
				}
				require.Equal(t, ports.BeatResult{Status: domain.SessionCurrent, WorkerStatus: domain.WorkerHealthy},
					f.beat(w)[0])
				require.Equal(t, []domain.AuditType{domain.AuditWorkerJoined, domain.AuditWorkerDraining,
					domain.AuditWorkerUndrained}, f.workerTrail("w"))
				f.must(assign(f.submit(), w))
				_, err = f.Fleet.Undrain(t.Context(), "nobody", admin)
				requireCode(t, err, domain.CodeNotFound)
				h.Advance(lease + time.Second)
				_, err = f.Workers.Expire(t.Context(), f.epoch, 10)
				require.NoError(t, err)
				_, err = f.Fleet.Undrain(t.Context(), w.ID, admin)
				requireCode(t, err, domain.CodeInvalidState)
			}},
	}
}
