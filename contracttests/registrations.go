package contracttests

import (
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// Secrets of death certificates.
var (
	secret      = strings.Repeat("s", 32)
	wrongSecret = strings.Repeat("x", 32)
)

// process returns the registration of a process with a supervisor.
func process(worker, session, process string) domain.Registration {
	r := registration(worker, session, 5)
	r.ProcessID, r.CertificateDigest = process, domain.CertificateDigest(secret)
	return r
}

func certificate(process, secret string) domain.SessionEnd {
	return domain.SessionEnd{ProcessID: process, Secret: secret}
}

func (f *fixture) register(r domain.Registration) domain.Worker {
	f.Helper()
	w, err := f.Workers.Register(f.Context(), r, lease)
	require.NoError(f, err)
	return w
}

// end ends sessions, and returns the ids of their workers.
func (f *fixture) end(e domain.SessionEnd) []domain.WorkerID {
	f.Helper()
	ended, err := f.Workers.End(f.Context(), e)
	require.NoError(f, err)
	var ids []domain.WorkerID
	for _, w := range ended {
		ids = append(ids, w.ID)
	}
	return ids
}

// orphans returns how the orphaned workloads were lost.
func (f *fixture) orphans() map[domain.WorkloadID]domain.Loss {
	f.Helper()
	found, err := f.Queue.Orphans(f.Context(), "", 100)
	require.NoError(f, err)
	losses := map[domain.WorkloadID]domain.Loss{}
	for _, o := range found {
		losses[o.WorkloadID] = o.Loss
	}
	return losses
}

// registrationCases are about who may start a session, and who may end one before its lease ends.
func registrationCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"another process waits for the lease",
			"CodeConflict with the detail lease_left_ms: another process owns the id", func(t T, h StoreHarness) {
				f := given(t, h)
				old := f.register(process("w", "s1", "proc_1"))
				work := f.running(old)
				h.Advance(time.Second)
				for _, r := range []domain.Registration{registration("w", "s2", 1), process("w", "s2", "proc_2")} {
					_, err := f.Workers.Register(t.Context(), r, lease)
					requireCode(t, err, domain.CodeConflict)
					var refused *domain.Error
					require.ErrorAs(t, err, &refused)
					left, ok := refused.Details["lease_left_ms"].(int64)
					require.True(t, ok)
					require.InDelta(t, (lease - time.Second).Milliseconds(), left, 5000)
				}
				require.Equal(t, domain.SessionID("s1"), f.workers()[0].SessionID, "a failed write changes nothing")
				require.Equal(t, domain.SessionCurrent, f.beat(old)[0].Status)
				require.Empty(t, f.orphans())
				h.Advance(lease + time.Second)
				f.register(process("w", "s2", "proc_2"))
				require.Equal(t, map[domain.WorkloadID]domain.Loss{work.ID: domain.LossExpired}, f.orphans(),
					"its lease had ended")
				require.Equal(t, []domain.AuditType{
					domain.AuditWorkerJoined, domain.AuditHeartbeatMissed, domain.AuditWorkerDead,
					domain.AuditWorkerJoined,
				}, f.workerTrail("w"))
				require.Equal(t, domain.SessionReplaced, f.beat(old)[0].Status)
			}},
		{"the same process comes back at once",
			"ends at once when the same process held it (same PreviousSessionID or ProcessID)",
			func(t T, h StoreHarness) {
				f := given(t, h)
				first := f.register(process("w", "s1", "proc_1"))
				work := f.running(first)
				f.register(process("w", "s2", "proc_1"))
				require.Equal(t, map[domain.WorkloadID]domain.Loss{work.ID: domain.LossReplaced}, f.orphans())
				named := registration("w", "s3", 1)
				named.PreviousSessionID = "s2"
				f.register(named)
				require.Equal(t, domain.SessionID("s3"), f.workers()[0].SessionID)
				require.Empty(t, f.workers()[0].ProcessID)
				_, err := f.Workers.Register(t.Context(), process("w", "s4", "proc_1"), lease)
				requireCode(t, err, domain.CodeConflict)
			}},
		{"a drain outlasts the loss of a session",
			"with Draining, status DRAINING and also worker.draining", func(t T, h StoreHarness) {
				f := given(t, h)
				r := registration("w", "s1", 1)
				r.Draining = true
				require.Equal(t, domain.WorkerDraining, f.register(r).Status)
				require.Equal(t, domain.WorkerDraining, f.workers()[0].Status)
				require.Equal(t, []domain.AuditType{domain.AuditWorkerJoined, domain.AuditWorkerDraining},
					f.workerTrail("w"))
			}},
		{"a worker that deregisters is gone, not dead",
			"the worker is gone, with the audit event worker.removed by the worker; its work shows as orphaned " +
				"(domain.LossLeft)",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w, other := f.register(process("w", "s1", "proc_1")), f.worker("other", 5)
				work, kept := f.running(w), f.running(other)
				for _, foreign := range []domain.SessionEnd{
					{WorkerID: "w", SessionID: other.SessionID}, {WorkerID: "w", SessionID: "s0"},
					{WorkerID: "nobody", SessionID: "s1"},
				} {
					require.Empty(t, f.end(foreign))
				}
				require.Len(t, f.workers(), 2)
				require.Equal(t, []domain.WorkerID{"w"}, f.end(domain.SessionEnd{WorkerID: "w", SessionID: "s1"}))
				require.Empty(t, f.end(domain.SessionEnd{WorkerID: "w", SessionID: "s1"}), "repeated")
				require.Equal(t, []domain.WorkerID{"other"}, []domain.WorkerID{f.workers()[0].ID})
				require.Len(t, f.workers(), 1)
				require.Equal(t, map[domain.WorkloadID]domain.Loss{work.ID: domain.LossLeft}, f.orphans())
				require.Equal(t, domain.StatusRunning, f.get(kept.ID).Status)
				require.Equal(t, domain.SessionOver, f.beat(w)[0].Status)
				_, err := f.Workers.Register(t.Context(), process("w", "s1", "proc_1"), lease)
				requireCode(t, err, domain.CodeFenced)
				f.register(process("w", "s2", "proc_2")) // the id is free at once
				events, err := f.Audit.Worker(t.Context(), "w", 0, 10)
				require.NoError(t, err)
				require.Equal(t, domain.AuditWorkerRemoved, events[1].Type)
				require.Equal(t, domain.ActorWorker, events[1].Actor.Kind)
				require.Zero(t, f.must(lose(work, domain.LossLeft)).LossStreak,
					"it does not speak against the workload")
			}},
		{"a certificate ends what the process held",
			"every live session that the process registered with the digest of the secret ends, its worker is DEAD",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.register(process("w", "s1", "proc_1"))
				beside := f.register(process("beside", "s2", "proc_1")) // one process may be several workers
				other := f.register(process("other", "s3", "proc_2"))   // another process with the same secret
				work, second, kept := f.running(w), f.running(beside), f.running(other)
				require.Equal(t, []domain.WorkerID{"beside", "w"}, f.end(certificate("proc_1", secret)))
				for range 2 {
					require.Empty(t, f.end(certificate("proc_1", secret)), "repeated")
				}
				require.Equal(t, map[domain.WorkloadID]domain.Loss{work.ID: domain.LossDied,
					second.ID: domain.LossDied}, f.orphans())
				status := map[domain.WorkerID]domain.WorkerStatus{}
				for _, w := range f.workers() {
					status[w.ID] = w.Status
				}
				require.Equal(t, map[domain.WorkerID]domain.WorkerStatus{"w": domain.WorkerDead,
					"beside": domain.WorkerDead, "other": domain.WorkerHealthy}, status)
				require.Equal(t, []domain.AuditType{domain.AuditWorkerJoined, domain.AuditWorkerDead},
					f.workerTrail("w"))
				require.Equal(t, domain.SessionOver, f.beat(w)[0].Status)
				require.Equal(t, domain.SessionCurrent, f.beat(other)[0].Status)
				require.Equal(t, domain.StatusRunning, f.get(kept.ID).Status)
				f.register(process("w", "s9", "proc_9")) // the id is free at once
			}},
		{"a wrong secret ends nothing",
			"CodeForbidden when sessions of the process are known and none has the digest of the secret: nothing " +
				"changes",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.register(process("w", "s1", "proc_1"))
				work := f.running(w)
				bare := registration("bare", "s2", 1)
				bare.ProcessID = "proc_bare" // without a supervisor
				f.register(bare)
				for _, e := range []domain.SessionEnd{
					certificate("proc_1", wrongSecret), certificate("proc_bare", secret),
				} {
					_, err := f.Workers.End(t.Context(), e)
					requireCode(t, err, domain.CodeForbidden)
				}
				require.Len(t, f.workers(), 2)
				require.Equal(t, domain.SessionCurrent, f.beat(w)[0].Status)
				require.Empty(t, f.orphans())
				require.Equal(t, domain.StatusRunning, f.get(work.ID).Status)
				f.end(certificate("proc_1", secret))
				_, err := f.Workers.End(t.Context(), certificate("proc_1", wrongSecret))
				requireCode(t, err, domain.CodeForbidden)
			}},
		{"a process that died registers no more",
			"it ends whatever session the process has, also one that registers behind the certificate",
			func(t T, h StoreHarness) {
				f := given(t, h)
				require.Empty(t, f.end(certificate("proc_1", secret)), "a process that the store does not know")
				_, err := f.Workers.Register(t.Context(), process("w", "s1", "proc_1"), lease)
				requireCode(t, err, domain.CodeFenced)
				require.Empty(t, f.workers())
				// A certificate with a wrong secret does not keep a process from registering.
				require.Empty(t, f.end(certificate("proc_2", wrongSecret)))
				f.register(process("w", "s2", "proc_2"))
				require.Equal(t, []domain.WorkerID{"w"}, f.end(certificate("proc_2", secret)))
			}},
		{"a certificate ends nothing of a successor", "No other session ends", func(t T, h StoreHarness) {
			f := given(t, h)
			f.register(process("w", "s1", "proc_1"))
			taken := process("w", "s2", "proc_2")
			taken.TakeOver = true
			next := f.register(taken)
			require.Empty(t, f.end(certificate("proc_1", secret)))
			require.Equal(t, domain.SessionCurrent, f.beat(next)[0].Status)
			require.Equal(t, domain.WorkerHealthy, f.workers()[0].Status)
		}},
		{"a session that has expired is not ended again",
			"Repeated: success, nothing changes", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.register(process("w", "s1", "proc_1"))
				work := f.running(w)
				h.Advance(lease + time.Second)
				_, err := f.Workers.Expire(t.Context(), f.epoch, 10)
				require.NoError(t, err)
				trail := f.workerTrail("w")
				require.Empty(t, f.end(certificate("proc_1", secret)))
				require.Empty(t, f.end(domain.SessionEnd{WorkerID: "w", SessionID: "s1"}))
				require.Equal(t, trail, f.workerTrail("w"))
				require.Equal(t, map[domain.WorkloadID]domain.Loss{work.ID: domain.LossExpired}, f.orphans())
			}},
		{"an invalid end is refused", "CodeInvalidInput when e is not valid", func(t T, h StoreHarness) {
			f := given(t, h)
			w := f.register(process("w", "s1", "proc_1"))
			for _, e := range []domain.SessionEnd{
				{}, {WorkerID: "w"}, {SessionID: "s1"}, {ProcessID: "proc_1"},
				{ProcessID: "proc_1", Secret: "short"}, {Secret: secret},
				{WorkerID: "w", SessionID: "s1", ProcessID: "proc_1", Secret: secret},
				{ProcessID: "proc\x00", Secret: secret}, {WorkerID: "w", SessionID: "s\xff"},
				{ProcessID: "proc_1", Secret: secret + "\x00"},
			} {
				_, err := f.Workers.End(t.Context(), e)
				requireCode(t, err, domain.CodeInvalidInput)
			}
			require.Equal(t, domain.SessionCurrent, f.beat(w)[0].Status)
			for _, change := range []func(*domain.Registration){
				func(r *domain.Registration) { r.ProcessID = "" },
				func(r *domain.Registration) { r.CertificateDigest = r.CertificateDigest[1:] },
				func(r *domain.Registration) { r.CertificateDigest = strings.ToUpper(r.CertificateDigest) },
				func(r *domain.Registration) { r.CertificateDigest = strings.Repeat("z", 64) },
				func(r *domain.Registration) { r.ProcessID = strings.Repeat("p", 65) },
			} {
				r := process("v", "s1", "proc_1")
				change(&r)
				_, err := f.Workers.Register(t.Context(), r, lease)
				requireCode(t, err, domain.CodeInvalidInput)
			}
		}},
		{"a registration that races a certificate is ended",
			"The certificate is kept, so that the process never registers again", func(t T, h StoreHarness) {
				f := given(t, h)
				race(8, func(i int) error {
					if i%2 == 0 {
						_, err := f.Workers.End(t.Context(), certificate("proc_1", secret))
						return err
					}
					_, err := f.Workers.Register(t.Context(), process("w", string(rune('a'+i)), "proc_1"), lease)
					return err
				})
				for _, w := range f.workers() {
					require.Equal(t, domain.WorkerDead, w.Status)
				}
			}},
	}
}
