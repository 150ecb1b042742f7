package contracttests

import (
	"crypto/sha256"
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// restoreCases are about submissions that continue from a checkpoint of another workload.
func restoreCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"a retry continues from the newest checkpoint",
			"the checkpoint that Restore means is copied for the new workload", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 2)
				original := f.failed(w, 3)
				s := f.again(original, &domain.Restore{})
				rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{s})
				require.NoError(t, err)
				require.Equal(t, domain.Admitted, rs[0].Status)
				got := f.get(s.ID)
				require.Equal(t, rs[0].Workload, got)
				require.Equal(t, original.ID, got.RetryOf)
				require.Equal(t, original.Lane, got.Lane)
				require.Equal(t, []int64{0, domain.RestoredSequence, 0},
					[]int64{got.Generation, got.CheckpointSequence, got.CheckpointGeneration})
				require.Equal(t, domain.StatusPending, got.Status)
				require.Zero(t, got.RetryCount)
				require.Nil(t, got.Failure)
				require.Equal(t, []domain.AuditType{domain.AuditCreated}, f.trail(got))
				events, err := f.Audit.Workload(t.Context(), acme, got.ID, 0, 10)
				require.NoError(t, err)
				require.Equal(t, int64(domain.RestoredSequence), events[0].CheckpointSequence)
				require.Equal(t, "retry of "+string(original.ID), events[0].Reason)

				c, data, err := f.Checkpoints.Load(t.Context(), got.ID, 0)
				require.NoError(t, err)
				require.Equal(t, "state 3", string(data))
				require.Equal(t, sha256.Sum256(data), c.Checksum)
				require.Equal(t, got.CreatedAt, c.CreatedAt)
				kept, err := f.Checkpoints.List(t.Context(), acme, got.ID)
				require.NoError(t, err)
				require.Equal(t, []domain.Checkpoint{c}, kept)
				require.Equal(t, []int64{domain.RestoredSequence, 0, 7}, []int64{c.Sequence, c.Generation, int64(c.Size)})
				require.Equal(t, original, f.get(original.ID), "the original is as it was")
			}},
		{"a retry's own checkpoints follow the restored one",
			"its sequence domain.RestoredSequence of generation 0", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 2)
				got := f.resubmit(f.failed(w, 2), &domain.Restore{})
				f.must(assign(got, w))
				f.must(report(got, w, domain.EventStart, 1))
				got = f.get(got.ID)
				stale := got
				stale.CheckpointSequence = 0
				f.save(stale, w, 1, domain.OutcomeIllegal)
				f.save(got, w, 1, domain.OutcomeApplied)
				for seq, want := range map[int64]string{1: "state 2", 2: "state 2", 0: "state 2"} {
					_, data, err := f.Checkpoints.Load(t.Context(), got.ID, seq)
					require.NoError(t, err)
					require.Equal(t, want, string(data), "sequence %d", seq)
				}
				kept, err := f.Checkpoints.List(t.Context(), acme, got.ID)
				require.NoError(t, err)
				require.Equal(t, []int64{2, 1, 1, 0},
					[]int64{kept[0].Sequence, kept[0].Generation, kept[1].Sequence, kept[1].Generation})
			}},
		{"a retry continues from the checkpoint that it names, or from none",
			"Restore names a checkpoint of RetryOf that is not kept: AdmissionNoCheckpoint", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 2)
				original := f.failed(w, 12) // 3 to 12 are kept
				named := f.resubmit(original, &domain.Restore{Sequence: 5})
				_, data, err := f.Checkpoints.Load(t.Context(), named.ID, 0)
				require.NoError(t, err)
				require.Equal(t, "state 5", string(data))

				scratch := f.resubmit(original, nil)
				require.Zero(t, scratch.CheckpointSequence)
				require.Equal(t, original.ID, scratch.RetryOf)
				_, _, err = f.Checkpoints.Load(t.Context(), scratch.ID, 0)
				requireCode(t, err, domain.CodeNotFound)

				saved := f.resubmit(f.failed(w, 0), &domain.Restore{})
				require.Zero(t, saved.CheckpointSequence, "there is none")

				good, plain := f.again(original, &domain.Restore{Sequence: 12}), f.submission(acme)
				var bad []domain.Submission
				for _, sequence := range []int64{2, 13} {
					bad = append(bad, f.again(original, &domain.Restore{Sequence: sequence}))
				}
				rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{bad[0], good, bad[1], plain})
				require.NoError(t, err)
				require.Equal(t, []domain.Admission{
					domain.AdmissionNoCheckpoint, domain.Admitted, domain.AdmissionNoCheckpoint, domain.Admitted,
				}, []domain.Admission{rs[0].Status, rs[1].Status, rs[2].Status, rs[3].Status})
				found, err := f.Workloads.GetAny(t.Context(), bad[0].ID, bad[1].ID)
				require.NoError(t, err)
				require.Empty(t, found, "a refused item leaves no trace")
			}},
		{"a damaged checkpoint is not restored", "It is one whose checksum holds", func(t T, h StoreHarness) {
			f := given(t, h)
			w := f.worker("w", 2)
			a := f.running(w)
			f.saveSound(a, w)
			f.save(f.get(a.ID), w, 1, domain.OutcomeApplied) // without a checksum
			f.must(cancel(a))
			a = f.get(a.ID)
			require.Equal(t, int64(2), a.CheckpointSequence)
			got := f.resubmit(a, &domain.Restore{})
			_, data, err := f.Checkpoints.Load(t.Context(), got.ID, 0)
			require.NoError(t, err)
			require.Equal(t, "state 1", string(data), "the one before it")
			rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{f.again(a, &domain.Restore{Sequence: 2})})
			require.NoError(t, err)
			require.Equal(t, domain.AdmissionNoCheckpoint, rs[0].Status)
		}},
		{"another customer's checkpoint is not restored",
			"It is one that the customer's workload RetryOf has kept", func(t T, h StoreHarness) {
				f := given(t, h)
				original := f.failed(f.worker("w", 2), 1)
				for sequence, want := range map[int64]domain.Admission{0: domain.Admitted, 1: domain.AdmissionNoCheckpoint} {
					s := f.again(original, &domain.Restore{Sequence: sequence})
					s.CustomerID = rival
					rs, err := f.Workloads.Submit(t.Context(), []domain.Submission{s})
					require.NoError(t, err)
					require.Equal(t, want, rs[0].Status)
					_, _, err = f.Checkpoints.Load(t.Context(), s.ID, 0)
					requireCode(t, err, domain.CodeNotFound)
				}
			}},
		{"a retry under one key is one workload and one copy",
			"key known, digest the same: AdmittedBefore with the first workload", func(t T, h StoreHarness) {
				f := given(t, h)
				original := f.failed(f.worker("w", 2), 1)
				subs := make([]domain.Submission, 64)
				for i := range subs {
					subs[i] = f.again(original, &domain.Restore{})
					subs[i].IdempotencyKey, subs[i].Digest = "k", domain.RetryDigest(original.ID, subs[i].Restore)
				}
				made := race(len(subs), func(i int) domain.WorkloadID {
					rs, err := h.Open().Workloads.Submit(t.Context(), subs[i:i+1])
					if err != nil {
						return domain.WorkloadID(err.Error())
					}
					return rs[0].Workload.ID
				})
				require.Equal(t, 64, count(made, func(id domain.WorkloadID) bool { return id == made[0] }), made)
				for i := range subs {
					_, _, err := f.Checkpoints.Load(t.Context(), subs[i].ID, 0)
					require.Equal(t, subs[i].ID == made[0], err == nil, "only the one that was stored has a copy")
				}
			}},
	}
}

// failed returns a workload that failed after n checkpoints.
func (f *fixture) failed(on domain.Worker, n int) domain.Workload {
	f.Helper()
	a := f.running(on)
	for range n {
		f.saveSound(f.get(a.ID), on)
	}
	end := report(a, on, domain.EventFail, 1)
	end.Failure = &domain.Failure{Type: "error", Message: "boom", Permanent: true}
	f.must(end)
	return f.get(a.ID)
}

// saveSound saves the checkpoint that follows a's last one, with the right checksum.
func (f *fixture) saveSound(a domain.Workload, by domain.Worker) {
	f.Helper()
	data := fmt.Appendf(nil, "state %d", a.CheckpointSequence+1)
	r, err := f.Checkpoints.Save(f.Context(), report(a, by, domain.EventCheckpoint, 1),
		domain.Checkpoint{Size: len(data), Checksum: sha256.Sum256(data)}, data)
	require.NoError(f, err)
	require.Equal(f, domain.OutcomeApplied, r.Outcome)
}

// again returns a submission that runs a workload again.
func (f *fixture) again(original domain.Workload, restore *domain.Restore) domain.Submission {
	f.Helper()
	f.n++
	s, err := original.RunAgain(domain.WorkloadID(fmt.Sprintf("wl_%04d", f.n)), restore)
	require.NoError(f, err)
	return s
}

// resubmit runs a workload again.
func (f *fixture) resubmit(original domain.Workload, restore *domain.Restore) domain.Workload {
	f.Helper()
	rs, err := f.Workloads.Submit(f.Context(), []domain.Submission{f.again(original, restore)})
	require.NoError(f, err)
	require.Equal(f, domain.Admitted, rs[0].Status)
	return rs[0].Workload
}
