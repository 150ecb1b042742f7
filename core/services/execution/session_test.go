package execution_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/ports"
)

func TestAgent_WhenItsDrainIsTakenBack_TakesWorkAgain(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: untilCancelled}))
	b.Handle(ports.Command{Kind: ports.CommandDrain, SessionID: b.session()})
	require.True(t, b.Draining())
	b.Handle(ports.Command{Kind: ports.CommandUndrain, SessionID: b.session()})
	require.False(t, b.Draining())
	b.assign("wl_1", 1)
	waitRunning(t, b)
}

func TestAgent_WhenItLeaves_IsNotUndrained(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: untilCancelled}))
	b.Leave()
	b.Handle(ports.Command{Kind: ports.CommandUndrain, SessionID: b.session()})
	require.True(t, b.Draining())
	require.NoError(t, b.Beat(t.Context()))
	beat := b.plane.beats[len(b.plane.beats)-1]
	assert.True(t, beat.Draining)
	assert.False(t, beat.Drained)
}

func TestAgent_WhenItRegistersAgain_NamesItsProcessAndTakesNothingOver(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: untilCancelled}))
	b.Handle(ports.Command{Kind: ports.CommandDrain, SessionID: b.session()})
	b.clock.advance(leaseTime)
	b.Tick()
	require.NoError(t, b.Connect(t.Context()))
	first, again := b.plane.sessions[0], b.plane.sessions[1]
	assert.NotEmpty(t, first.ProcessID)
	assert.Equal(t, first.ProcessID, again.ProcessID)
	assert.Equal(t, first.SessionID, again.PreviousSessionID)
	assert.False(t, again.TakeOver)
	assert.False(t, first.Draining)
	assert.True(t, again.Draining, "a drain outlasts the loss of a session")
}
