package execution_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// held starts a run that lasts until its context ends and then sends the cause.
func held(t *testing.T) (*bench, chan error) {
	t.Helper()
	cause, started := make(chan error, 1), make(chan struct{})
	b := newBench(t, 2, one(&script{execute: func(ctx context.Context, _ ports.Progress) (domain.JSON, error) {
		close(started)
		<-ctx.Done()
		cause <- context.Cause(ctx)
		return `"late"`, nil
	}}))
	b.assign("wl_1", 1)
	<-started
	b.flush()
	return b, cause
}

func TestLease_BeforeItEndsUnanswered_FencesTheWorker(t *testing.T) {
	b, cause := held(t)
	b.clock.advance(leaseTime - margin - time.Millisecond)
	b.Tick()
	_, _, live := b.Session()
	require.True(t, live)
	b.clock.advance(time.Millisecond)
	b.Tick()
	require.ErrorIs(t, <-cause, ports.ErrLeaseLost)
	b.runs.Wait()
	_, _, live = b.Session()
	require.False(t, live)
	require.True(t, b.Idle(), "what it did is not reported")
}

func TestLease_WhenAZombieWakes_StopsItBeforeAnythingLands(t *testing.T) {
	for name, act := range map[string]func(*bench) error{
		"report":     func(b *bench) error { return b.Flush(b.Context()) },
		"heartbeat":  func(b *bench) error { return b.Beat(b.Context()) },
		"assignment": func(b *bench) error { b.assign("wl_2", 1); return b.Flush(b.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			b, cause := held(t)
			before := len(b.plane.reports)
			b.clock.advance(time.Hour) // the process was frozen
			require.Error(t, act(b))
			require.ErrorIs(t, <-cause, ports.ErrLeaseLost)
			b.runs.Wait()
			require.Error(t, b.Flush(t.Context()))
			assert.Len(t, b.plane.reports, before)
			assert.Empty(t, b.plane.beats)
		})
	}
}

func TestLease_WhenAZombieWakes_SendsNoCheckpoint(t *testing.T) {
	wake := make(chan struct{})
	result := make(chan error, 1)
	b := newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
		<-wake
		err := p.Checkpoint(ctx, []byte("x"), nil, "")
		result <- err
		return "", err
	}}))
	b.assign("wl_1", 1)
	b.flush()
	b.clock.advance(time.Hour)
	close(wake)
	require.ErrorIs(t, <-result, ports.ErrLeaseLost)
	b.runs.Wait()
	assert.Empty(t, b.plane.checkpoints)
}

func TestLease_WhenAHeartbeatIsAnswered_CountsFromItsSending(t *testing.T) {
	b, cause := held(t)
	b.plane.heartbeat = func(ports.Heartbeat) ([]ports.Command, error) {
		b.clock.advance(10 * time.Second) // a slow answer
		return nil, nil
	}
	b.clock.advance(5 * time.Second)
	require.NoError(t, b.Beat(t.Context()))
	b.clock.advance(leaseTime - margin - 10*time.Second - time.Millisecond)
	b.Tick()
	_, _, live := b.Session()
	require.True(t, live)
	b.clock.advance(time.Millisecond)
	b.Tick()
	require.ErrorIs(t, <-cause, ports.ErrLeaseLost)
}

func TestLease_WhenAHeartbeatIsNotAnswered_IsNotRenewed(t *testing.T) {
	b, _ := held(t)
	b.plane.heartbeat = func(ports.Heartbeat) ([]ports.Command, error) { return nil, errDisconnected }
	b.clock.advance(leaseTime - margin - time.Second)
	require.ErrorIs(t, b.Beat(t.Context()), errDisconnected)
	b.clock.advance(time.Second)
	b.Tick()
	_, _, live := b.Session()
	require.False(t, live)
}

func TestSession_WhenItIsOver_IsFollowedByANewOne(t *testing.T) {
	b, cause := held(t)
	b.plane.heartbeat = func(ports.Heartbeat) ([]ports.Command, error) {
		return nil, domain.NewError(domain.CodeFenced, "over")
	}
	require.Error(t, b.Beat(t.Context()))
	require.ErrorIs(t, <-cause, ports.ErrLeaseLost)
	b.runs.Wait()
	first := b.plane.sessions[0].SessionID
	require.NoError(t, b.Connect(t.Context()))
	second := b.plane.sessions[1]
	assert.NotEqual(t, first, second.SessionID)
	assert.Equal(t, first, second.PreviousSessionID)
	assert.Empty(t, b.plane.sessions[0].PreviousSessionID)
	b.Handle(ports.Command{Kind: ports.CommandAssign, SessionID: first,
		Assignment: &ports.Assignment{WorkloadID: "wl_2", Type: "t", Generation: 1}})
	b.flush()
	assert.Empty(t, b.plane.events("wl_2"), "an assignment to the session before is ignored")
}

func TestHeartbeat_WithRunsInHand_ListsThemAndObeysItsAnswer(t *testing.T) {
	b, cause := held(t)
	b.plane.heartbeat = func(h ports.Heartbeat) ([]ports.Command, error) {
		return []ports.Command{{Kind: ports.CommandDrop, SessionID: h.SessionID, WorkloadID: "wl_1",
			Generation: 1}}, nil
	}
	require.NoError(t, b.Beat(t.Context()))
	require.ErrorIs(t, <-cause, ports.ErrFenced)
	require.Len(t, b.plane.beats[0].Inventory, 1)
	require.Equal(t, 1, b.plane.beats[0].FreeSlots)
}
