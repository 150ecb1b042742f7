package contracttests

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func workerCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"a registration is kept with every field",
			"Register starts a session with a lease, status HEALTHY", func(t T, h StoreHarness) {
				f := given(t, h)
				r := registration("w", "s", 7)
				r.Tags, r.Version = map[string]string{"gpu": "yes"}, "1.2"
				r.ProcessID, r.CertificateDigest = "proc_1", domain.CertificateDigest(secret)
				r.Resources = domain.Offer{
					Amounts: domain.Amounts{CPUCores: 2500, MemoryMB: 100, DiskMB: 5},
					Devices: []domain.Device{{ID: "0", Model: "A10", MemoryMB: 24_000}, {ID: "1"}},
					Custom:  map[string]int64{"licence": 3},
				}
				w, err := f.Workers.Register(t.Context(), r, lease)
				require.NoError(t, err)
				r.Tags["gpu"] = "changed"
				r.Capabilities[0], r.Resources.Devices[0].ID, r.Resources.Custom["licence"] = "changed", "changed", 9
				list := f.workers()
				require.Equal(t, []domain.Worker{w}, list)
				require.Equal(t, "yes", w.Tags["gpu"])
				require.Equal(t, []string{"t"}, w.Capabilities)
				require.Equal(t, domain.WorkerHealthy, w.Status)
				require.Equal(t, "0", w.Resources.Devices[0].ID)
				require.EqualValues(t, 3, w.Resources.Custom["licence"])
				require.Equal(t, r.ProcessID, w.ProcessID)
				require.Equal(t, r.CertificateDigest, w.CertificateDigest)
				require.Equal(t, lease, w.LeaseUntil.Sub(w.HeartbeatAt))
				require.Equal(t, []domain.AuditType{domain.AuditWorkerJoined}, f.workerTrail("w"))
				list[0].Tags["gpu"] = "changed"
				require.Equal(t, "yes", f.workers()[0].Tags["gpu"])
			}},
		{"a process takes an id over",
			"A session of the same worker id that is live ends at once when TakeOver is set",
			func(t T, h StoreHarness) {
				f := given(t, h)
				old := f.worker("w", 1)
				_, err := f.Workers.Register(t.Context(), takeOver("w", "second", 2), lease)
				require.NoError(t, err)
				require.Equal(t, domain.SessionReplaced, f.beat(old)[0].Status)
				require.Equal(t, domain.SessionID("second"), f.workers()[0].SessionID)
				delayed := registration("w", string(old.SessionID), 1)
				_, err = f.Workers.Register(t.Context(), delayed, lease)
				requireCode(t, err, domain.CodeFenced)
			}},
		{"a returning process yields to its successor",
			"CodeConflict when another process owns the id", func(t T, h StoreHarness) {
				f := given(t, h)
				f.worker("w", 1)
				r := registration("w", "third", 1)
				r.PreviousSessionID = "somebody-else"
				_, err := f.Workers.Register(t.Context(), r, lease)
				requireCode(t, err, domain.CodeConflict)
				r.PreviousSessionID = "w-session"
				_, err = f.Workers.Register(t.Context(), r, lease)
				require.NoError(t, err)
			}},
		{"a repeated registration is answered alike",
			"Repeating a registration with the same session id changes nothing but the lease",
			func(t T, h StoreHarness) {
				f := given(t, h)
				f.worker("w", 1)
				h.Advance(time.Second)
				f.worker("w", 1)
				require.Len(t, f.workerTrail("w"), 1)
			}},
		{"a bad registration is refused",
			"CodeInvalidInput when the registration is not valid", func(t T, h StoreHarness) {
				f := given(t, h)
				_, err := f.Workers.Register(t.Context(), registration("w", "s", 0), lease)
				requireCode(t, err, domain.CodeInvalidInput)
				require.Empty(t, f.workers())
			}},
		{"a lease ends when it is not renewed",
			"Expire declares DEAD workers whose lease has ended", func(t T, h StoreHarness) {
				f := given(t, h)
				a, b := f.worker("a", 1), f.worker("b", 1)
				h.Advance(lease - time.Second)
				f.beat(b)
				h.Advance(2 * time.Second)
				dead, err := f.Workers.Expire(t.Context(), f.epoch, 10)
				require.NoError(t, err)
				require.Len(t, dead, 1)
				require.Equal(t, a.ID, dead[0].ID)
				require.Equal(t, domain.WorkerDead, f.workers()[0].Status)
				require.Equal(t, []domain.AuditType{domain.AuditWorkerJoined, domain.AuditHeartbeatMissed,
					domain.AuditWorkerDead}, f.workerTrail("a"))
				require.Equal(t, domain.SessionOver, f.beat(a)[0].Status, "a dead session is not renewed")
				dead, err = f.Workers.Expire(t.Context(), f.epoch, 10)
				require.NoError(t, err)
				require.Empty(t, dead)
				again := registration("a", "next", 1)
				again.PreviousSessionID = a.SessionID
				_, err = f.Workers.Register(t.Context(), again, lease)
				require.NoError(t, err)
			}},
		{"a late heartbeat still renews the lease",
			"A session past its lease that nobody has declared dead yet is renewed; a lease renewed before is " +
				"never expired",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				h.Advance(lease + time.Minute)
				require.Equal(t, domain.SessionCurrent, f.beat(w)[0].Status)
				dead, err := f.Workers.Expire(t.Context(), f.epoch, 10)
				require.NoError(t, err)
				require.Empty(t, dead)
			}},
		{"only the leader expires", "CodeFenced unless epoch is the current leader epoch", func(t T, h StoreHarness) {
			f := given(t, h)
			f.worker("w", 1)
			h.Advance(lease + time.Second)
			for _, epoch := range []int64{0, f.epoch - 1, f.epoch + 1} {
				_, err := f.Workers.Expire(t.Context(), epoch, 10)
				requireCode(t, err, domain.CodeFenced)
			}
			require.Equal(t, domain.WorkerHealthy, f.workers()[0].Status)
		}},
		{"leases expire up to the limit, longest ended first",
			"up to limit workers, longest ended first", func(t T, h StoreHarness) {
				f := given(t, h)
				f.worker("b", 1)
				h.Advance(time.Second)
				f.worker("a", 1)
				h.Advance(lease + time.Minute)
				for _, want := range []domain.WorkerID{"b", "a"} {
					dead, err := f.Workers.Expire(t.Context(), f.epoch, 1)
					require.NoError(t, err)
					require.Len(t, dead, 1)
					require.Equal(t, want, dead[0].ID)
				}
			}},
		{"a heartbeat tells a worker of its drain",
			"Drain sets a HEALTHY worker to DRAINING; its next heartbeat tells it", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				for range 2 {
					d, err := f.Fleet.Drain(t.Context(), w.ID, admin)
					require.NoError(t, err)
					require.Equal(t, domain.WorkerDraining, d.Status)
				}
				require.Equal(t, ports.BeatResult{Status: domain.SessionCurrent, WorkerStatus: domain.WorkerDraining},
					f.beat(w)[0])
				require.Equal(t, []domain.AuditType{domain.AuditWorkerJoined, domain.AuditWorkerDraining},
					f.workerTrail("w"))
				_, err := f.Fleet.Drain(t.Context(), "nobody", admin)
				requireCode(t, err, domain.CodeNotFound)
				h.Advance(lease + time.Second)
				_, err = f.Workers.Expire(t.Context(), f.epoch, 10)
				require.NoError(t, err)
				_, err = f.Fleet.Drain(t.Context(), w.ID, admin)
				requireCode(t, err, domain.CodeInvalidState)
			}},
		{"a worker may drain by itself",
			"Draining is the worker's own word; it sets DRAINING with the audit event", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				rs, err := f.Workers.Heartbeat(t.Context(), []ports.Beat{{WorkerID: w.ID, SessionID: w.SessionID,
					Draining: true}}, lease)
				require.NoError(t, err)
				require.Equal(t, domain.WorkerDraining, rs[0].WorkerStatus)
				require.Equal(t, domain.WorkerDraining, f.workers()[0].Status)
			}},
		{"a removed worker is gone",
			"Remove deletes the worker; the removed session is never renewed again", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				require.NoError(t, f.Fleet.Remove(t.Context(), w.ID, admin))
				require.Empty(t, f.workers())
				require.Equal(t, domain.SessionOver, f.beat(w)[0].Status)
				_, err := f.Workers.Register(t.Context(), registration("w", string(w.SessionID), 1), lease)
				requireCode(t, err, domain.CodeFenced)
				requireCode(t, f.Fleet.Remove(t.Context(), w.ID, admin), domain.CodeNotFound)
			}},
		{"a worker offers types and programs", "Register starts a session", func(t T, h StoreHarness) {
			f := given(t, h)
			r := registration("w", "s1", 1)
			r.Capabilities = []string{"exec", "exec:/usr/bin/ffmpeg", "exec:sh"}
			w, err := f.Workers.Register(t.Context(), r, lease)
			require.NoError(t, err)
			require.Equal(t, r.Capabilities, w.Capabilities)
			require.Equal(t, r.Capabilities, f.workers()[0].Capabilities)
		}},
		{"of racing registrations one owns the id", "another process owns the id", func(t T, h StoreHarness) {
			f := given(t, h)
			errs := race(16, func(i int) error {
				_, err := f.Workers.Register(t.Context(), registration("w", string(rune('a'+i)), 1), lease)
				return err
			})
			require.Equal(t, 1, count(errs, func(err error) bool { return err == nil }))
			require.Equal(t, 15, count(errs, func(err error) bool { return domain.IsCode(err, domain.CodeConflict) }))
		}},
		{"of racing processes that take over the last one owns the id",
			"Register with TakeOver ends a live session at once", func(t T, h StoreHarness) {
				f := given(t, h)
				race(16, func(i int) error {
					_, err := f.Workers.Register(t.Context(), takeOver("w", string(rune('a'+i)), 1), lease)
					return err
				})
				require.Len(t, f.workers(), 1)
				renewed := 0
				for i := range 16 {
					if f.beat(domain.Worker{ID: "w", SessionID: domain.SessionID(rune('a' +
						i))})[0].Status == domain.SessionCurrent {
						renewed++
					}
				}
				require.Equal(t, 1, renewed)
			}},
	}
}

func (f *fixture) workers() []domain.Worker {
	f.Helper()
	ws, err := f.Workers.List(f.Context())
	require.NoError(f, err)
	return ws
}

func (f *fixture) workerTrail(id domain.WorkerID) []domain.AuditType {
	f.Helper()
	es, err := f.Audit.Worker(f.Context(), id, 0, 100)
	require.NoError(f, err)
	types := make([]domain.AuditType, len(es))
	for i, e := range es {
		types[i] = e.Type
	}
	return types
}
