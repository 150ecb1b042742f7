package contracttests

import (
	"crypto/sha256"
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func planeCheckpointCases() []Case[PlaneHarness] {
	return []Case[PlaneHarness]{
		{"a checkpoint is saved and loaded",
			"it is durable when the answer is applied or already; LoadCheckpoint returns the newest at or below " +
				"the sequence",
			func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a := p.running(p.worker)
				for _, size := range []int{0, 1, 2000, 700 << 10} {
					data := make([]byte, size)
					for i := range data {
						data[i] = byte(i * i)
					}
					a = p.get(a.ID)
					percent := 50.0
					up := ports.CheckpointUpload{
						WorkloadID: a.ID, Generation: 1, Sequence: a.CheckpointSequence + 1, Data: data,
						Percent: &percent, Message: "m",
					}
					for _, want := range []domain.Outcome{domain.OutcomeApplied, domain.OutcomeAlready} {
						ans, err := p.SaveCheckpoint(t.Context(), p.ref, up)
						require.NoError(t, err)
						require.Equal(t, want, ans.Outcome)
					}
					got, err := p.LoadCheckpoint(t.Context(), p.ref, a.ID, 1, up.Sequence)
					require.NoError(t, err)
					require.Equal(t, up.Sequence, got.Sequence)
					require.Len(t, got.Data, size)
					require.Equal(t, sha256.Sum256(data), sha256.Sum256(got.Data))
				}
				require.Equal(t, "m", p.get(a.ID).ProgressMessage)
			}},
		{"other bytes are not taken for a repetition",
			"a save that returns success is durable", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a := p.running(p.worker)
				for data, want := range map[string]domain.Outcome{
					"stored": domain.OutcomeAlready, "others": domain.OutcomeIllegal,
					"stored and more": domain.OutcomeIllegal,
				} {
					up := ports.CheckpointUpload{WorkloadID: a.ID, Generation: 1, Sequence: 1, Data: []byte("stored")}
					_, err := p.SaveCheckpoint(t.Context(), p.ref, up)
					require.NoError(t, err)
					up.Data = []byte(data)
					ans, err := p.SaveCheckpoint(t.Context(), p.ref, up)
					require.NoError(t, err)
					require.Equal(t, want, ans.Outcome, data)
					got, err := p.LoadCheckpoint(t.Context(), p.ref, a.ID, 1, 1)
					require.NoError(t, err)
					require.Equal(t, "stored", string(got.Data))
				}
			}},
		{"checkpoints are fenced", "Only the holder of the workload at that generation may", func(t T, h PlaneHarness) {
			p := givenPlane(t, h)
			a := p.running(p.worker)
			_, err := p.LoadCheckpoint(t.Context(), p.ref, a.ID, 1, 1)
			requireCode(t, err, domain.CodeNotFound)
			p.save(a, p.worker, 1, domain.OutcomeApplied)
			for _, c := range []struct {
				ref        ports.SessionRef
				generation int64
			}{{p.ref, 2}, {ports.SessionRef{WorkerID: "w", SessionID: "s9"}, 1}} {
				ans, err := p.SaveCheckpoint(t.Context(), c.ref, ports.CheckpointUpload{
					WorkloadID: a.ID, Generation: c.generation, Sequence: 2, Data: []byte("x"),
				})
				require.NoError(t, err)
				require.Equal(t, domain.OutcomeFenced, ans.Outcome)
				_, err = p.LoadCheckpoint(t.Context(), c.ref, a.ID, c.generation, 1)
				requireCode(t, err, domain.CodeFenced)
			}
			_, err = p.SaveCheckpoint(t.Context(), p.ref, ports.CheckpointUpload{
				WorkloadID: a.ID, Generation: 1, Sequence: 2, Data: make([]byte, domain.MaxInlineCheckpoint+1),
			})
			requireCode(t, err, domain.CodeTooLarge)
		}},
		{"a damaged checkpoint gives way to the one before",
			"the newest checkpoint whose checksum holds", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a := p.running(p.worker)
				for seq := range int64(2) {
					_, err := p.SaveCheckpoint(t.Context(), p.ref, ports.CheckpointUpload{
						WorkloadID: a.ID, Generation: 1, Sequence: seq + 1, Data: fmt.Append(nil, seq+1),
					})
					require.NoError(t, err)
				}
				a.CheckpointSequence = 2
				p.save(a, p.worker, 1, domain.OutcomeApplied) // its checksum is not set: damaged
				for range 2 {                                 // the answer may have been lost
					got, err := p.LoadCheckpoint(t.Context(), p.ref, a.ID, 1, 3)
					require.NoError(t, err)
					require.Equal(t, ports.CheckpointData{Sequence: 2, Data: []byte("2")}, got)
				}
				got, err := p.LoadCheckpoint(t.Context(), p.ref, a.ID, 1, 1)
				require.NoError(t, err)
				require.Equal(t, int64(1), got.Sequence, "asked for, so nothing was skipped")
				const why = "checkpoint 3 cannot be read; the run continues from checkpoint 2"
				require.Equal(t, why, p.get(a.ID).Reason)
				require.Equal(t, int64(3), p.get(a.ID).CheckpointSequence)
				var skips []domain.AuditEvent
				for _, e := range p.audited(a) {
					if e.Type == domain.AuditCheckpointSkipped {
						skips = append(skips, e)
					}
				}
				require.Len(t, skips, 1, "a repeated request adds nothing")
				require.Equal(t, why, skips[0].Reason)
				require.Equal(t, int64(2), skips[0].CheckpointSequence)
				require.Equal(t, []domain.Status{domain.StatusRunning, domain.StatusRunning},
					[]domain.Status{skips[0].From, skips[0].To})
			}},
		{"a run whose checkpoints are all damaged begins anew, and the trail says so",
			"CodeNotFound when none is left", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				a := p.running(p.worker)
				p.save(a, p.worker, 1, domain.OutcomeApplied) // damaged
				_, err := p.LoadCheckpoint(t.Context(), p.ref, a.ID, 1, 1)
				requireCode(t, err, domain.CodeNotFound)
				trail := p.audited(a)
				require.Equal(t, domain.AuditCheckpointSkipped, trail[len(trail)-1].Type)
				require.Zero(t, trail[len(trail)-1].CheckpointSequence)
				skip := p.says(domain.EventSkipCheckpoint, a, 1)
				require.Equal(t, domain.OutcomeIllegal, p.report(skip)[0].Outcome, "no worker reports it")
			}},
	}
}
