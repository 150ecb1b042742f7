package contracttests

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

func checkpointCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"a checkpoint is kept with its bytes",
			"Save applies the transition and, in the same transaction, stores the bytes", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.running(w)
				data := []byte("state 1")
				percent := 40.0
				tr := report(a, w, domain.EventCheckpoint, 1)
				tr.Percent, tr.Message = &percent, "two fifths"
				sum := sha256.Sum256(data)
				r, err := f.Checkpoints.Save(t.Context(), tr,
					domain.Checkpoint{Size: 99, Encoding: "zstd", Checksum: sum}, data)
				require.NoError(t, err)
				require.Equal(t, domain.OutcomeApplied, r.Outcome)
				data[0] = 'X'
				for _, seq := range []int64{0, 1} {
					c, stored, err := h.Open().Checkpoints.Load(t.Context(), a.ID, seq)
					require.NoError(t, err)
					require.Equal(t, "state 1", string(stored))
					require.False(t, c.CreatedAt.IsZero())
					c.CreatedAt = time.Time{}
					require.Equal(t, domain.Checkpoint{WorkloadID: a.ID, Sequence: 1, Generation: 1, Size: 99,
						Encoding: "zstd", Checksum: sum}, c)
					stored[0] = 'X'
				}
				got := f.get(a.ID)
				require.Equal(t, int64(1), got.CheckpointSequence)
				require.InDelta(t, 40.0, got.ProgressPercent, 0)
				require.Equal(t, "two fifths", got.ProgressMessage)
				require.Equal(t, domain.AuditCheckpoint, f.trail(a)[3])
			}},
		{"a fenced checkpoint is not stored",
			"Nothing is stored unless the outcome is applied", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.running(w)
				f.save(a, w, 1, domain.OutcomeApplied)
				f.must(lose(a, domain.LossExpired))
				a.CheckpointSequence = 1
				for _, generation := range []int64{0, 1, 2} {
					f.save(a, w, generation, domain.OutcomeFenced)
				}
				_, _, err := f.Checkpoints.Load(t.Context(), a.ID, 2)
				requireCode(t, err, domain.CodeNotFound)
				require.Equal(t, int64(1), f.get(a.ID).CheckpointSequence)
			}},
		{"a repeated save is answered as already applied",
			"exactly as WorkloadStore.Apply does", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.running(w)
				f.save(a, w, 1, domain.OutcomeApplied)
				f.save(a, w, 1, domain.OutcomeAlready)
				cs, err := f.Checkpoints.List(t.Context(), acme, a.ID)
				require.NoError(t, err)
				require.Len(t, cs, 1)
			}},
		{"a sequence that does not follow is refused",
			"exactly as WorkloadStore.Apply does", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.running(w)
				a.CheckpointSequence = 1 // claims that there is one
				f.save(a, w, 1, domain.OutcomeIllegal)
				_, _, err := f.Checkpoints.Load(t.Context(), a.ID, 0)
				requireCode(t, err, domain.CodeNotFound)
			}},
		{"the last ten are kept", "drops all but the newest domain.CheckpointsKept", func(t T, h StoreHarness) {
			f := given(t, h)
			w := f.worker("w", 1)
			a := f.running(w)
			for range domain.CheckpointsKept + 3 {
				f.save(f.get(a.ID), w, 1, domain.OutcomeApplied)
			}
			cs, err := f.Checkpoints.List(t.Context(), acme, a.ID)
			require.NoError(t, err)
			require.Len(t, cs, domain.CheckpointsKept)
			require.Equal(t, int64(13), cs[0].Sequence)
			require.Equal(t, int64(4), cs[9].Sequence)
			_, data, err := f.Checkpoints.Load(t.Context(), a.ID, 4)
			require.NoError(t, err)
			require.Equal(t, "state 4", string(data))
			_, _, err = f.Checkpoints.Load(t.Context(), a.ID, 3)
			requireCode(t, err, domain.CodeNotFound)
		}},
		{"of racing saves of one sequence one is stored", "sequence grows by one", func(t T, h StoreHarness) {
			f := given(t, h)
			w := f.worker("w", 1)
			a := f.running(w)
			rs := race(16, func(i int) domain.Outcome {
				r, err := h.Open().Checkpoints.Save(t.Context(), report(a, w, domain.EventCheckpoint, 1),
					domain.Checkpoint{}, []byte{byte(i)})
				if err != nil {
					return "error"
				}
				return r.Outcome
			})
			require.Equal(t, 1, count(rs, func(o domain.Outcome) bool { return o == domain.OutcomeApplied }))
			require.Equal(t, 15, count(rs, func(o domain.Outcome) bool { return o == domain.OutcomeAlready }))
		}},
		{"the workload of a checkpoint is brief, whoever's it is",
			"Workload returns the workload id as domain.Workload.Brief does", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.running(w)
				f.save(a, w, 1, domain.OutcomeApplied)
				got, err := h.Open().Checkpoints.Workload(t.Context(), a.ID)
				require.NoError(t, err)
				whole := f.get(a.ID)
				require.NotEqual(t, whole, got, "it has an input")
				require.Equal(t, whole.Brief(), got)
				require.Equal(t, int64(1), got.CheckpointSequence)
				_, err = f.Checkpoints.Workload(t.Context(), "wl_none")
				require.Equal(t, domain.CodeNotFound, domain.CodeOf(err))
			}},
		{"lists are the customer's own",
			"List returns the checkpoints kept of a customer's workload", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 1)
				a := f.running(w)
				f.save(a, w, 1, domain.OutcomeApplied)
				for _, id := range []domain.WorkloadID{a.ID, "wl_none"} {
					cs, err := f.Checkpoints.List(t.Context(), rival, id)
					require.NoError(t, err)
					require.Empty(t, cs)
				}
			}},
	}
}

// save saves the checkpoint that follows a's last one. Its data is its sequence.
func (f *fixture) save(a domain.Workload, by domain.Worker, generation int64, want domain.Outcome) {
	f.Helper()
	data := fmt.Appendf(nil, "state %d", a.CheckpointSequence+1)
	r, err := f.Checkpoints.Save(f.Context(), report(a, by, domain.EventCheckpoint, generation),
		domain.Checkpoint{}, data)
	require.NoError(f, err)
	require.Equal(f, want, r.Outcome)
}
