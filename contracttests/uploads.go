package contracttests

import (
	"crypto/sha256"
	"fmt"
	"math"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// began records an upload of a workload.
func (f *fixture) began(w domain.Workload, id domain.BlobID) domain.BlobID {
	f.Helper()
	require.NoError(f, f.Uploads.Begin(f.Context(), domain.Upload{ID: id, CustomerID: w.CustomerID, WorkloadID: w.ID}))
	return id
}

// saveBlob saves the checkpoint that follows a's last one. Its bytes are the value of an upload.
func (f *fixture) saveBlob(
	a domain.Workload, by domain.Worker, generation int64, id domain.BlobID,
) (domain.Result, error) {
	f.Helper()
	return f.Checkpoints.Save(f.Context(), report(a, by, domain.EventCheckpoint, generation),
		domain.Checkpoint{Size: 3 << 30, Checksum: sha256.Sum256([]byte(id)), Blob: id}, nil)
}

// committed saves a checkpoint with a new upload.
func (f *fixture) committed(a domain.Workload, by domain.Worker, id domain.BlobID) {
	f.Helper()
	f.began(a, id)
	r, err := f.saveBlob(a, by, a.Generation, id)
	require.NoError(f, err)
	require.Equal(f, domain.OutcomeApplied, r.Outcome, r.Reason)
}

// swept sweeps until nothing is left to sweep, and returns the garbage.
func (f *fixture) swept() []domain.BlobID {
	f.Helper()
	for n := 1; n > 0; {
		var err error
		n, err = f.Uploads.Sweep(f.Context(), 10)
		require.NoError(f, err)
	}
	ids, err := f.Uploads.Garbage(f.Context(), "", 100)
	require.NoError(f, err)
	return ids
}

// uploadCases are about the values of large checkpoints.
func uploadCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"a large checkpoint refers to its upload", "If c.Blob is set, the bytes are the value of that upload",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.running(w)
				f.committed(a, w, "blob_1")
				c, data, err := h.Open().Checkpoints.Load(t.Context(), a.ID, 1)
				require.NoError(t, err)
				require.Empty(t, data)
				require.Greater(t, c.Size, math.MaxInt32)
				require.Equal(t, domain.Checkpoint{WorkloadID: a.ID, Sequence: 1, Generation: 1, Size: 3 << 30,
					Checksum: sha256.Sum256([]byte("blob_1")), Blob: "blob_1", CreatedAt: c.CreatedAt}, c)
				kept, err := f.Checkpoints.List(t.Context(), acme, a.ID)
				require.NoError(t, err)
				require.Equal(t, []domain.Checkpoint{c}, kept)
				h.Advance(10 * domain.UploadAge)
				require.Empty(t, f.swept(), "what a checkpoint refers to stays")
			}},
		{"an upload that is not recorded is not committed",
			"An upload that is not recorded, or is another workload's, is refused with CodeConflict",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 3)
				a, b := f.running(w), f.running(w)
				_, err := f.saveBlob(a, w, 1, "blob_none")
				requireCode(t, err, domain.CodeConflict)
				f.began(b, "blob_b")
				_, err = f.saveBlob(a, w, 1, "blob_b")
				requireCode(t, err, domain.CodeConflict)
				require.Zero(t, f.get(a.ID).CheckpointSequence, "nothing of it was applied")
				_, _, err = f.Checkpoints.Load(t.Context(), a.ID, 0)
				requireCode(t, err, domain.CodeNotFound)
			}},
		{"a writer that stalled until its upload was swept stores nothing",
			"An upload that Save is about to commit is garbage or committed, never both", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.running(w)
				f.began(a, "blob_1")
				require.Empty(t, f.swept(), "it may be committed yet")
				h.Advance(domain.UploadAge - time.Minute)
				require.Empty(t, f.swept())
				h.Advance(time.Minute)
				require.Equal(t, []domain.BlobID{"blob_1"}, f.swept())
				_, err := f.saveBlob(a, w, 1, "blob_1")
				requireCode(t, err, domain.CodeConflict)
				require.Zero(t, f.get(a.ID).CheckpointSequence)
			}},
		{"a save and a sweep at the same time take turns",
			"An upload that Save is about to commit is garbage or committed, never both", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 16)
				var as [16]domain.Workload
				for i := range as {
					as[i] = f.running(w)
					f.began(as[i], domain.BlobID(fmt.Sprintf("blob_%02d", i)))
				}
				h.Advance(domain.UploadAge)
				stores := [17]ports.Stores{}
				for i := range stores {
					stores[i] = h.Open()
				}
				saved := race(17, func(i int) bool {
					if i == 16 {
						_, err := stores[i].Uploads.Sweep(t.Context(), 10)
						require.NoError(t, err)
						return false
					}
					id := domain.BlobID(fmt.Sprintf("blob_%02d", i))
					r, err := stores[i].Checkpoints.Save(t.Context(), report(as[i], w, domain.EventCheckpoint, 1),
						domain.Checkpoint{Size: 1, Blob: id}, nil)
					if err != nil {
						requireCode(t, err, domain.CodeConflict)
					}
					return err == nil && r.Outcome == domain.OutcomeApplied
				})
				garbage := map[domain.BlobID]bool{}
				for _, id := range f.swept() {
					garbage[id] = true
				}
				for i, a := range as {
					c, _, err := f.Checkpoints.Load(t.Context(), a.ID, 0)
					if err != nil {
						requireCode(t, err, domain.CodeNotFound)
					}
					id := domain.BlobID(fmt.Sprintf("blob_%02d", i))
					require.NotEqual(t, c.Blob == id, garbage[id], "%s", id)
				}
				require.Equal(t, 16-len(garbage), count(saved, func(ok bool) bool { return ok }))
			}},
		{"a fenced save commits no upload", "Save commits it", func(t T, h StoreHarness) {
			f := given(t, h)
			w := f.worker("w", 1)
			a := f.running(w)
			f.must(lose(a, domain.LossExpired))
			f.began(a, "blob_1")
			r, err := f.saveBlob(a, w, 1, "blob_1")
			require.NoError(t, err)
			require.Equal(t, domain.OutcomeFenced, r.Outcome)
			require.NoError(t, f.Uploads.Discard(t.Context(), "blob_1"))
			require.Equal(t, []domain.BlobID{"blob_1"}, f.swept(), "it needs not wait")
		}},
		{"a committed upload is not discarded", "unless a checkpoint refers to it", func(t T, h StoreHarness) {
			f := given(t, h)
			w := f.worker("w", 1)
			f.committed(f.running(w), w, "blob_1")
			for _, id := range []domain.BlobID{"blob_1", "blob_none"} {
				require.NoError(t, f.Uploads.Discard(t.Context(), id))
			}
			require.Empty(t, f.swept())
		}},
		{"the upload of a checkpoint that is dropped becomes garbage",
			"Whoever removes a checkpoint need not know of uploads", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.running(w)
				for n := range domain.CheckpointsKept + 2 {
					f.committed(f.get(a.ID), w, domain.BlobID(fmt.Sprintf("blob_%02d", n)))
				}
				require.Equal(t, []domain.BlobID{"blob_00", "blob_01"}, f.swept())
				f.must(report(f.get(a.ID), w, domain.EventComplete, 1))
				require.Len(t, f.swept(), 2, "the others are kept as long as the workload")
				h.Advance(48 * time.Hour)
				_, err := f.Retention.Purge(t.Context(), f.epoch, ports.Purge{
					What: domain.KeptWorkloads, Age: 24 * time.Hour, Limit: 10,
				})
				require.NoError(t, err)
				require.Len(t, f.swept(), domain.CheckpointsKept+2)
			}},
		{"an upload that a retry continues from outlives the original",
			"uploads that no checkpoint refers to", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 2)
				a := f.running(w)
				f.committed(a, w, "blob_1")
				fail := report(a, w, domain.EventFail, 1)
				fail.Failure = &domain.Failure{Type: "error", Message: "no", Permanent: true}
				f.must(fail)
				again := f.resubmit(f.get(a.ID), &domain.Restore{})
				c, _, err := f.Checkpoints.Load(t.Context(), again.ID, 0)
				require.NoError(t, err)
				require.Equal(t, []any{domain.BlobID("blob_1"), 3 << 30, int64(domain.RestoredSequence)},
					[]any{c.Blob, c.Size, c.Sequence})
				h.Advance(48 * time.Hour)
				_, err = f.Retention.Purge(t.Context(), f.epoch, ports.Purge{
					What: domain.KeptWorkloads, Age: 24 * time.Hour, Limit: 10,
				})
				require.NoError(t, err)
				require.Empty(t, f.swept())
			}},
		{"garbage is deleted twice and then forgotten",
			"Each comes twice: at once, and domain.GarbageAgain after it was deleted", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.running(w)
				for _, id := range []domain.BlobID{"blob_1", "blob_2", "blob_3"} {
					f.began(a, id)
				}
				h.Advance(domain.UploadAge)
				require.Equal(t, []domain.BlobID{"blob_1", "blob_2", "blob_3"}, f.swept())
				for _, page := range [][2]string{{"", "blob_1"}, {"blob_1", "blob_2"}} {
					ids, err := f.Uploads.Garbage(t.Context(), domain.BlobID(page[0]), 1)
					require.NoError(t, err)
					require.Equal(t, []domain.BlobID{domain.BlobID(page[1])}, ids)
				}
				for range 2 { // the answer may be lost
					require.NoError(t, f.Uploads.Deleted(t.Context(), "blob_1", "blob_3", "blob_none"))
				}
				require.Equal(t, []domain.BlobID{"blob_2"}, f.swept())
				require.NoError(t, f.Uploads.Deleted(t.Context(), "blob_2"))
				before := h.Sizes(t)
				h.Advance(domain.GarbageAgain)
				require.Equal(t, []domain.BlobID{"blob_1", "blob_2", "blob_3"}, f.swept())
				require.NoError(t, f.Uploads.Deleted(t.Context(), "blob_1", "blob_2", "blob_3"))
				require.Empty(t, f.swept())
				require.NotEqual(t, before, h.Sizes(t), "they are forgotten")
			}},
		{"nobody uploads for a customer that is not there",
			"CodeNotFound when its customer does not exist or is being deleted", func(t T, h StoreHarness) {
				f := given(t, h)
				a := f.submit()
				a.CustomerID = "cust_none"
				requireCode(t, f.Uploads.Begin(t.Context(), domain.Upload{ID: "blob_1", CustomerID: "cust_none",
					WorkloadID: a.ID}), domain.CodeNotFound)
				f.deletes(true)
				requireCode(t, f.Uploads.Begin(t.Context(), domain.Upload{ID: "blob_1", CustomerID: acme,
					WorkloadID: a.ID}), domain.CodeNotFound)
			}},
		{"a customer is deleted when its values are", "When the values of all of them have been deleted",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 3)
				a, b := f.running(w), f.running(w)
				f.committed(a, w, "blob_1")
				f.began(b, "blob_2")
				other := f.running(w, func(s *domain.Submission) { s.CustomerID = rival })
				f.committed(other, w, "blob_rival")
				f.deletes(true)
				require.Equal(t, []domain.BlobID{"blob_2"}, f.swept(), "what is under way can't be committed")
				for _, run := range []domain.Workload{a, b} {
					f.must(report(run, w, domain.EventComplete, 1))
				}
				require.Equal(t, ports.Erased{}, f.erase(1), "the values are still there")
				_, err := f.Customers.Get(t.Context(), acme)
				require.NoError(t, err)
				require.Equal(t, []domain.BlobID{"blob_1", "blob_2"}, f.swept())
				require.NoError(t, f.Uploads.Deleted(t.Context(), "blob_1"))
				require.Equal(t, ports.Erased{}, f.erase(1))
				require.NoError(t, f.Uploads.Deleted(t.Context(), "blob_2"))
				require.True(t, f.erase(1).Done)
				for what, n := range h.Traces(t, acme, []domain.WorkloadID{a.ID, b.ID}) {
					require.Zero(t, n, what)
				}
				h.Advance(domain.GarbageAgain)
				require.Equal(t, []domain.BlobID{"blob_1", "blob_2"}, f.swept(), "once more, and nobody's")
			}},
	}
}
