package execution_test

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// spool counts the files that are open.
type spool struct {
	system.Spool
	open atomic.Int32
}

func (s *spool) Create() (ports.SpoolFile, error) {
	f, err := s.Spool.Create()
	s.open.Add(1)
	return spooled{f, s}, err
}

type spooled struct {
	ports.SpoolFile
	of *spool
}

func (s spooled) Close() error {
	s.of.open.Add(-1)
	return s.SpoolFile.Close()
}

// A save whose caller gives up may have been stored. The next one must not be taken for it.
func TestCheckpoint_WhenItsCallerGivesUp_IsSentAgainBeforeTheNextOne(t *testing.T) {
	for _, c := range []struct {
		name  string
		again domain.Outcome // of the repetition
		err   error
		want  []string
	}{
		{"it was stored", domain.OutcomeAlready, nil, []string{"5=A", "5=A", "6=B", "7=C"}},
		{"it was not", domain.OutcomeApplied, nil, []string{"5=A", "5=A", "6=B", "7=C"}},
		{
			"it is refused for good", "", domain.NewError(domain.CodeTooLarge, "too large"),
			[]string{"5=A", "5=A", "5=B", "6=C"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			asking, giveUp := context.WithCancel(t.Context())
			b := newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
				state := []byte("A")
				require.ErrorIs(t, p.Checkpoint(asking, state, nil, ""), context.Canceled)
				for _, next := range "BC" {
					state[0] = byte(next)
					require.NoError(t, p.Checkpoint(ctx, state, nil, ""))
				}
				return "", nil
			}}))
			var seen []string
			b.plane.save = func(up ports.CheckpointUpload) (domain.Outcome, error) {
				seen = append(seen, fmt.Sprintf("%d=%s", up.Sequence, up.Data))
				switch len(seen) {
				case 1:
					giveUp()
					return "", errDisconnected
				case 2:
					return c.again, c.err
				}
				return domain.OutcomeApplied, nil
			}
			b.assign("wl_1", 1, func(a *ports.Assignment) { a.CheckpointSequence = 4 })
			b.settle()
			assert.Equal(t, c.want, seen)
			assert.Equal(t, domain.EventComplete, b.plane.last("wl_1").Event)
		})
	}
}

func TestCheckpoint_WhenItsCallerGivesUpBeforeItIsSent_IsForgotten(t *testing.T) {
	asking, giveUp := context.WithCancel(t.Context())
	giveUp()
	b := newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
		require.ErrorIs(t, p.Checkpoint(asking, []byte("A"), nil, ""), context.Canceled)
		return "", p.Checkpoint(ctx, []byte("B"), nil, "")
	}}))
	var seen []string
	b.plane.save = func(up ports.CheckpointUpload) (domain.Outcome, error) {
		seen = append(seen, fmt.Sprintf("%d=%s", up.Sequence, up.Data))
		return domain.OutcomeApplied, nil
	}
	b.assign("wl_1", 1)
	b.settle()
	assert.Equal(t, []string{"1=B"}, seen)
}

func TestCheckpointStream_WhenItsCallerGivesUp_KeepsItsFileUntilItIsSettled(t *testing.T) {
	for name, ends := range map[string]bool{"another one follows": false, "the run ends": true} {
		t.Run(name, func(t *testing.T) {
			asking, giveUp := context.WithCancel(t.Context())
			write := func(w io.Writer) error {
				_, err := w.Write(large)
				return err
			}
			var b *bench
			b = newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
				require.ErrorIs(t, p.CheckpointStream(asking, write, nil, ""), context.Canceled)
				assert.EqualValues(t, 1, b.spool.open.Load())
				if ends {
					return "", nil
				}
				return "", p.CheckpointStream(ctx, write, nil, "")
			}}))
			var seen []string
			b.plane.save = func(up ports.CheckpointUpload) (domain.Outcome, error) {
				seen = append(seen, fmt.Sprint(up.Sequence, len(bytesOf(up)) == len(large)))
				if len(seen) == 1 {
					giveUp()
					return "", errDisconnected
				}
				return domain.OutcomeApplied, nil
			}
			b.assign("wl_1", 1)
			b.settle()
			want := []string{"1 true", "1 true", "2 true"}
			if ends {
				want = want[:1]
			}
			assert.Equal(t, want, seen)
			assert.Equal(t, domain.EventComplete, b.plane.last("wl_1").Event)
			assert.Zero(t, b.spool.open.Load())
		})
	}
}
