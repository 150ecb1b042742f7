package execution_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func TestCheckpoint_WhenItsAnswerIsLost_IsSentAgainUnderItsSequence(t *testing.T) {
	tries := 0
	b := newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
		for i := range 2 {
			if err := p.Checkpoint(ctx, fmt.Append(nil, i), nil, ""); err != nil {
				return "", err
			}
		}
		return "", nil
	}}))
	var seen []string
	b.plane.save = func(c ports.CheckpointUpload) (domain.Outcome, error) {
		seen = append(seen, fmt.Sprintf("%d=%s", c.Sequence, c.Data))
		if tries++; tries < 3 {
			return "", errDisconnected
		}
		if tries == 3 {
			return domain.OutcomeAlready, nil // the first try had been committed
		}
		return domain.OutcomeApplied, nil
	}
	b.assign("wl_1", 1, func(a *ports.Assignment) { a.CheckpointSequence = 4 })
	b.settle()
	assert.Equal(t, []string{"5=0", "5=0", "5=0", "6=1"}, seen)
	assert.Equal(t, domain.EventComplete, b.plane.last("wl_1").Event)
}

func TestCheckpoint_WhenItIsTheFirst_WaitsForTheStartToBeAcknowledged(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
		return "", p.Checkpoint(ctx, []byte("x"), nil, "")
	}}))
	b.plane.save = func(ports.CheckpointUpload) (domain.Outcome, error) {
		if len(b.plane.reports) != 1 || b.plane.reports[0].Event != domain.EventStart {
			return domain.OutcomeFenced, nil
		}
		return domain.OutcomeApplied, nil
	}
	b.assign("wl_1", 1)
	b.settle()
	assert.Equal(t, domain.EventComplete, b.plane.last("wl_1").Event)
}

func TestRun_WhenItStatesWhatItUsed_TheReportOfItsEndBringsIt(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: func(_ context.Context, p ports.Progress) (domain.JSON, error) {
		p.Used(domain.Consumption{CPUMS: 1})
		p.Used(domain.Consumption{CPUMS: 20, PeakMemoryMB: 3})
		return "", errors.New("no")
	}}))
	b.assign("wl_1", 1)
	b.settle()
	last := b.plane.last("wl_1")
	assert.Equal(t, domain.EventFail, last.Event)
	assert.Equal(t, domain.Consumption{CPUMS: 20, PeakMemoryMB: 3}, last.Used)
}

func TestCheckpoint_WhenItIsFenced_StopsTheRun(t *testing.T) {
	result := make(chan error, 1)
	b := newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
		result <- p.Checkpoint(ctx, []byte("x"), nil, "")
		return untilCancelled(ctx, p)
	}}))
	b.plane.save = func(ports.CheckpointUpload) (domain.Outcome, error) { return domain.OutcomeFenced, nil }
	b.assign("wl_1", 1)
	require.ErrorIs(t, <-result, ports.ErrFenced)
	b.settle()
	b.onlyLetGo("wl_1", 1)
}

func TestCheckpoint_WhenItIsTooLarge_IsRefusedAtOnce(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
		return "", p.Checkpoint(ctx, make([]byte, domain.MaxInlineCheckpoint+1), nil, "")
	}}))
	b.plane.save = func(c ports.CheckpointUpload) (domain.Outcome, error) {
		return "", domain.NewError(domain.CodeTooLarge, "a checkpoint is at most %d bytes, this one has %d",
			domain.MaxInlineCheckpoint, len(c.Data))
	}
	b.assign("wl_1", 1)
	b.settle()
	assert.Contains(t, b.plane.last("wl_1").Failure.Message, "at most 10485760 bytes")
	assert.Empty(t, b.plane.checkpoints)
}

func TestRun_WithACheckpoint_ContinuesFromIt(t *testing.T) {
	got := make(chan string, 2)
	b := newBench(t, 1, one(&script{init: func(t ports.Task) error { got <- string(t.Checkpoint); return nil }}))
	b.plane.stored["wl_1"] = ports.CheckpointData{Sequence: 3, Data: []byte("state")}
	b.assign("wl_1", 2, func(a *ports.Assignment) { a.CheckpointSequence = 3 })
	assert.Equal(t, "state", <-got)
	b.settle()
	b.assign("wl_2", 2, func(a *ports.Assignment) { a.CheckpointSequence = 3 })
	assert.Empty(t, <-got, "none is left: from the beginning")
	b.settle()
}

func TestPause_OfARun_CheckpointsFirstAndThenStops(t *testing.T) {
	b := newBench(t, 1, one(&script{
		execute:  untilCancelled,
		snapshot: func() ([]byte, error) { return []byte("half way"), nil },
	}))
	b.assign("wl_1", 1)
	waitRunning(t, b)
	b.command(ports.CommandPause, "wl_1", 1)
	b.command(ports.CommandPause, "wl_1", 1)
	b.settle()
	require.Len(t, b.plane.checkpoints, 1)
	assert.Equal(t, "half way", string(b.plane.checkpoints[0].Data))
	assert.Equal(t, []domain.Event{domain.EventStart, domain.EventPaused}, b.plane.events("wl_1"))
}

func TestCheckpointCommand_WhileOneIsTaken_IsFollowedByOneMore(t *testing.T) {
	began, goOn := make(chan struct{}, 10), make(chan struct{})
	b := newBench(t, 1, one(&script{
		execute: untilCancelled,
		snapshot: func() ([]byte, error) {
			began <- struct{}{}
			<-goOn
			return []byte("s"), nil
		},
	}))
	b.assign("wl_1", 1)
	waitRunning(t, b)
	b.command(ports.CommandCheckpoint, "wl_1", 1)
	<-began
	for range 100 {
		b.command(ports.CommandCheckpoint, "wl_1", 1)
	}
	close(goOn)
	require.Eventually(t, func() bool {
		b.plane.mu.Lock()
		defer b.plane.mu.Unlock()
		return len(b.plane.checkpoints) == 2
	}, 30*time.Second, time.Millisecond)
	b.command(ports.CommandCancel, "wl_1", 1)
	b.settle()
	assert.Len(t, b.plane.checkpoints, 2)
}

func TestCheckpoint_AfterThePauseOfItsRun_SavesButNotAfterItsCancel(t *testing.T) {
	for kind, want := range map[ports.CommandKind]error{ports.CommandPause: nil,
		ports.CommandCancel: ports.ErrCancelled} {
		saved := make(chan error, 1)
		b := newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
			<-ctx.Done()
			saved <- p.Checkpoint(ctx, []byte("last words"), nil, "")
			return "", context.Cause(ctx)
		}}))
		b.assign("wl_1", 1)
		waitRunning(t, b)
		b.command(kind, "wl_1", 1)
		require.ErrorIs(t, <-saved, want, kind)
		b.settle()
	}
}

func TestPause_WhenTheRunCompletesFirst_ReportsItCompleted(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: func(ctx context.Context, _ ports.Progress) (domain.JSON, error) {
		<-ctx.Done()
		return `"done"`, nil
	}}))
	b.assign("wl_1", 1)
	waitRunning(t, b)
	b.command(ports.CommandPause, "wl_1", 1)
	b.settle()
	assert.Equal(t, domain.EventComplete, b.plane.last("wl_1").Event)
}

func TestDrain_WithRuns_ReleasesThem(t *testing.T) {
	b := newBench(t, 3, one(&script{execute: untilCancelled,
		snapshot: func() ([]byte, error) { return []byte("s"), nil }}))
	for _, id := range []domain.WorkloadID{"wl_1", "wl_2"} {
		b.assign(id, 1)
	}
	waitRunning(t, b)
	b.Handle(ports.Command{Kind: ports.CommandDrain, SessionID: b.session()})
	b.settle()
	for _, id := range []domain.WorkloadID{"wl_1", "wl_2"} {
		assert.Equal(t, domain.EventRelease, b.plane.last(id).Event)
	}
	assert.Len(t, b.plane.checkpoints, 2)
	require.NoError(t, b.Beat(t.Context()))
	assert.True(t, b.plane.beats[0].Drained)
	assert.False(t, b.plane.beats[0].Draining, "it obeys, and may be told otherwise")
}

func TestCheckpoint_ByIntervalAndByProgress_IsTaken(t *testing.T) {
	n := 0
	speak := make(chan ports.Progress, 1)
	b := newBench(t, 1, one(&script{
		execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
			speak <- p
			return untilCancelled(ctx, p)
		},
		snapshot: func() ([]byte, error) { n++; return fmt.Append(nil, n), nil },
	}))
	b.assign("wl_1", 1, func(a *ports.Assignment) { a.CheckpointIntervalMS = 5000 })
	p := <-speak
	waitRunning(t, b)
	saved := func(want int) {
		t.Helper()
		require.Eventually(t, func() bool {
			b.plane.mu.Lock()
			defer b.plane.mu.Unlock()
			return len(b.plane.checkpoints) == want
		}, 30*time.Second, time.Millisecond)
	}
	b.clock.advance(5 * time.Second)
	b.Tick()
	saved(1)
	p.Report(5, "not yet")
	p.Report(10, "a tenth")
	saved(2)
	assert.InDelta(t, 10.0, *b.plane.checkpoints[1].Percent, 0)
	assert.Equal(t, "a tenth", b.plane.checkpoints[1].Message)
	b.command(ports.CommandCheckpoint, "wl_1", 1)
	saved(3)
	b.command(ports.CommandCancel, "wl_1", 1)
}

func TestProgress_WhenReportedOften_IsThinnedAndLinesComeBeforeTheEnd(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: func(_ context.Context, p ports.Progress) (domain.JSON, error) {
		for i := range 100 {
			p.Report(float64(i)/100, "")
		}
		for i := range 1200 {
			p.Log(ports.LogEntry{Message: fmt.Sprint(i, "\x00", strings.Repeat("x", 10))})
		}
		return "", nil
	}}))
	b.assign("wl_1", 1)
	b.settle()
	lines, progress := 0, 0
	es := b.plane.events("wl_1")
	for _, r := range b.plane.reports {
		lines += len(r.Lines)
		assert.LessOrEqual(t, len(r.Lines), 500)
		for _, l := range r.Lines {
			assert.NotContains(t, l.Message, "\x00")
			assert.Equal(t, domain.LevelInfo, l.Level)
		}
		if r.Event == domain.EventProgress {
			progress++
		}
	}
	assert.Equal(t, 1200, lines)
	assert.LessOrEqual(t, progress, 1)
	assert.Equal(t, domain.EventComplete, es[len(es)-1])
}

// waitRunning waits until every run executes, as seen in the inventory.
func waitRunning(t *testing.T, b *bench) {
	t.Helper()
	b.flush()
	require.Eventually(t, func() bool {
		if err := b.Beat(t.Context()); err != nil {
			return false
		}
		b.plane.mu.Lock()
		defer b.plane.mu.Unlock()
		last := b.plane.beats[len(b.plane.beats)-1]
		b.plane.beats = nil
		for _, i := range last.Inventory {
			if i.State != ports.RunRunning {
				return false
			}
		}
		return len(last.Inventory) > 0
	}, 30*time.Second, time.Millisecond)
}

// TestCheckpoint_ThatCannotBeEncrypted_IsSavedLaterAndToldOnce: the line is for the customer, so it does
// not have what the operator's log has.
func TestCheckpoint_ThatCannotBeEncrypted_IsSavedLaterAndToldOnce(t *testing.T) {
	tries := 0
	b := newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
		return "", p.Checkpoint(ctx, []byte("x"), nil, "")
	}}))
	b.plane.save = func(ports.CheckpointUpload) (domain.Outcome, error) {
		if tries++; tries <= 5 {
			return "", domain.ErrNotEncrypted("the storage answers AccessDenied", errors.New("of the operator"))
		}
		return domain.OutcomeApplied, nil
	}
	b.assign("wl_1", 1)
	b.settle()
	assert.Equal(t, 6, tries)
	assert.Equal(t, domain.EventComplete, b.plane.last("wl_1").Event, "the run goes on")
	lines := b.plane.linesOf("wl_1")
	require.Len(t, lines, 1)
	assert.Equal(t, domain.LevelWarn, lines[0].Level)
	assert.Equal(t, "checkpoint is tried again until it can be saved: the value is not stored, because it cannot be "+
		"encrypted: the storage answers AccessDenied", lines[0].Message)
}

// While the keys of workers are replaced, a coordinator may not know the worker's. The run has not failed
// because of that, and must not use a retry of its customer.
func TestCheckpoint_WhenTheKeyIsRefusedForAWhile_CostsTheRunNothing(t *testing.T) {
	got := make(chan string, 1)
	b := newBench(t, 1, one(&script{
		init: func(t ports.Task) error { got <- string(t.Checkpoint); return nil },
		execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
			return "", p.Checkpoint(ctx, []byte("x"), nil, "")
		},
	}))
	var loads, saves int
	refusing := func(tries *int) error {
		switch *tries++; *tries {
		case 1:
			return domain.NewError(domain.CodeUnauthorized, "the key is not known")
		case 2:
			return domain.NewError(domain.CodeForbidden, "the key is of another worker")
		}
		return nil
	}
	b.plane.refuse = func() error { return refusing(&loads) }
	b.plane.save = func(ports.CheckpointUpload) (domain.Outcome, error) { return domain.OutcomeApplied, refusing(&saves) }
	b.plane.stored["wl_1"] = ports.CheckpointData{Sequence: 3, Data: []byte("state")}
	b.assign("wl_1", 2, func(a *ports.Assignment) { a.CheckpointSequence = 3 })
	b.settle()
	require.Equal(t, domain.EventComplete, b.plane.last("wl_1").Event)
	assert.Equal(t, "state", <-got)
	assert.Equal(t, []int{3, 3}, []int{loads, saves})
}
