package execution_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func percent(p float64) *float64 { return &p }

// What a handler has saved is what a later run continues from. So a state that was taken before must
// not be saved after it, where it would be the newest checkpoint.
func TestPull_WhenTheHandlerSavesMeanwhile_TakesTheStateAgain(t *testing.T) {
	taking, saved := make(chan struct{}), make(chan struct{})
	asked := 0
	b := newBench(t, 1, one(&script{
		execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
			<-taking
			if err := p.Checkpoint(ctx, []byte("60"), percent(60), ""); err != nil {
				return "", err
			}
			close(saved)
			<-ctx.Done()
			return "", context.Cause(ctx)
		},
		snapshot: func() ([]byte, error) {
			if asked++; asked > 1 {
				return []byte("61"), nil
			}
			close(taking)
			<-saved
			return []byte("59"), nil
		},
	}))
	b.assign("wl_1", 1)
	waitRunning(t, b)
	b.command(ports.CommandPause, "wl_1", 1)
	b.settle()
	assert.Equal(t, domain.EventPaused, b.plane.last("wl_1").Event)
	var states []string
	for _, c := range b.plane.checkpoints {
		states = append(states, fmt.Sprintf("%d=%s at %g", c.Sequence, c.Data, *c.Percent))
	}
	assert.Equal(t, []string{"1=60 at 60", "2=61 at 60"}, states)
}

// Progress does not go back when the handler's save was under way.
func TestPull_WhileTheHandlerSaves_CarriesItsProgress(t *testing.T) {
	taken := make(chan struct{})
	b := newBench(t, 1, one(&script{
		execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
			if err := p.Checkpoint(ctx, []byte("60"), percent(60), ""); err != nil {
				return "", err
			}
			<-ctx.Done()
			return "", context.Cause(ctx)
		},
		snapshot: func() ([]byte, error) { close(taken); return []byte("60"), nil },
	}))
	b.plane.save = func(c ports.CheckpointUpload) (domain.Outcome, error) {
		if c.Sequence == 1 {
			b.command(ports.CommandPause, "wl_1", 1)
			<-taken
		}
		return domain.OutcomeApplied, nil
	}
	b.assign("wl_1", 1)
	b.flush()
	b.settle()
	require.Len(t, b.plane.checkpoints, 2)
	assert.InDelta(t, 60, *b.plane.checkpoints[1].Percent, 0)
}

// A handler that saves without a pause keeps all of its checkpoints in order, and stops when it must.
func TestPull_WhenTheHandlerSavesWithoutEnd_LeavesItAtThat(t *testing.T) {
	asked, again := make(chan struct{}), make(chan struct{})
	b := newBench(t, 1, one(&script{
		execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
			for i := 0; ; i++ {
				select {
				case <-asked:
				case <-ctx.Done():
					return "", context.Cause(ctx)
				}
				if err := p.Checkpoint(ctx, fmt.Append(nil, i), nil, ""); err != nil {
					return "", err
				}
				again <- struct{}{}
			}
		},
		snapshot: func() ([]byte, error) {
			asked <- struct{}{}
			<-again
			return []byte("old"), nil
		},
	}))
	b.assign("wl_1", 1)
	waitRunning(t, b)
	b.command(ports.CommandPreempt, "wl_1", 1)
	b.settle()
	assert.Equal(t, domain.EventRelease, b.plane.last("wl_1").Event, "what the handler saved is new enough")
	for i, c := range b.plane.checkpoints {
		assert.Equal(t, fmt.Sprint(i), string(c.Data))
	}
}

func TestCheckpoint_WhenProgressIsToldMeanwhile_KeepsTheNewerOne(t *testing.T) {
	var told ports.Progress
	saved := make(chan struct{})
	b := newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
		told = p
		if err := p.Checkpoint(ctx, []byte("50"), percent(50), ""); err != nil {
			return "", err
		}
		close(saved)
		<-ctx.Done()
		return "", context.Cause(ctx)
	}, snapshot: func() ([]byte, error) { return []byte("56"), nil }}))
	b.plane.save = func(c ports.CheckpointUpload) (domain.Outcome, error) {
		if *c.Percent == 50 {
			told.Report(55, "further")
		}
		return domain.OutcomeApplied, nil
	}
	b.assign("wl_1", 1)
	b.flush()
	<-saved
	b.command(ports.CommandPause, "wl_1", 1)
	b.settle()
	last := b.plane.checkpoints[len(b.plane.checkpoints)-1]
	assert.Equal(t, "56", string(last.Data))
	assert.InDelta(t, 55, *last.Percent, 0)
	assert.Equal(t, "further", last.Message)
}
