package execution_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// A declined assignment may come again when there is room. By then the workload may run elsewhere
// or be cancelled.
func TestAssign_WhenItWasDeclinedAndComesAgain_DoesNotStart(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: untilCancelled}))
	b.assign("wl_1", 1)
	b.assign("wl_2", 1)
	b.flush()
	assert.Equal(t, []domain.Event{domain.EventDecline}, b.plane.events("wl_2"))
	b.command(ports.CommandCancel, "wl_1", 1)
	b.settle()
	b.assign("wl_2", 1) // late
	b.flush()
	assert.Equal(t, []domain.Event{domain.EventDecline}, b.plane.events("wl_2"))
	b.assign("wl_2", 2)
	b.flush()
	assert.Equal(t, []domain.Event{domain.EventDecline, domain.EventStart}, b.plane.events("wl_2"))
}

// run is a workload that executes until its context ends, or until it may complete.
type run struct {
	*bench
	finish chan struct{}
}

// preempted runs a workload and asks it to make room.
func preempted(
	t *testing.T, snapshot func() ([]byte, error), save func(ports.CheckpointUpload) (domain.Outcome, error),
	sequence int64,
) run {
	t.Helper()
	executing, finish := make(chan struct{}), make(chan struct{})
	b := newBench(t, 1, one(&script{snapshot: snapshot,
		execute: func(ctx context.Context, _ ports.Progress) (domain.JSON, error) {
			close(executing)
			select {
			case <-ctx.Done():
				return "", context.Cause(ctx)
			case <-finish:
				return "{}", nil
			}
		}}))
	b.plane.save = save
	b.assign("wl_1", 1, func(as *ports.Assignment) { as.CheckpointSequence = sequence })
	b.flush()
	<-executing
	b.Handle(ports.Command{
		Kind: ports.CommandPreempt, SessionID: b.session(), WorkloadID: "wl_1", Generation: 1,
		Reason: "preempted by wl_2 of tier premium",
	})
	return run{b, finish}
}

func state() ([]byte, error) { return []byte("state"), nil }

func none() ([]byte, error) { return nil, ports.ErrNoCheckpoint }

func TestPreempt_WhenTheCheckpointIsDurable_MakesRoom(t *testing.T) {
	saved := ""
	b := preempted(t, state, func(c ports.CheckpointUpload) (domain.Outcome, error) {
		saved = string(c.Data)
		return domain.OutcomeApplied, nil
	}, 0)
	b.settle()
	last := b.plane.last("wl_1")
	require.Equal(t, domain.EventRelease, last.Event)
	assert.Equal(t, "state", saved)
	assert.Equal(t, "preempted by wl_2 of tier premium", last.Reason)
	assert.Equal(t, domain.PreemptionDelay.Milliseconds(), *last.RetryAfterMS,
		"it stays back, so that it does not take the place it made")
	assert.True(t, b.Idle())
}

func TestPreempt_WhenTheRunCannotSave_GoesOn(t *testing.T) {
	for name, snapshot := range map[string]func() ([]byte, error){
		"it has no checkpoint": none, "its checkpoint fails": func() ([]byte, error) {
			return nil, errors.New("disk full")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := preempted(t, snapshot, nil, 0)
			require.Eventually(t, func() bool { return b.busy.Load() <= 1 }, 10*time.Second, time.Millisecond,
				"the request has come to nothing")
			close(b.finish)
			b.settle()
			assert.Equal(t, []domain.Event{domain.EventStart, domain.EventComplete}, b.plane.events("wl_1"),
				"nothing is released")
		})
	}
}

func TestPreempt_WhenTheRunIsFencedMeanwhile_DoesNotReleaseIt(t *testing.T) {
	b := preempted(t, state, func(ports.CheckpointUpload) (domain.Outcome, error) {
		return domain.OutcomeFenced, nil
	}, 0)
	b.settle()
	b.onlyLetGo("wl_1", 1)
}

func TestPreempt_WhenTheRunHasSavedItself_MakesRoom(t *testing.T) {
	b := preempted(t, none, nil, 4)
	b.settle()
	assert.Equal(t, domain.EventRelease, b.plane.last("wl_1").Event)
}
