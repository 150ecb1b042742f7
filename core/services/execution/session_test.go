package execution_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
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

// A registration without an answer may be executed late. With the same id it then changes nothing.
func TestAgent_WhenARegistrationIsNotAnswered_AsksForTheSameSessionAgain(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: untilCancelled}))
	b.clock.advance(leaseTime)
	b.Tick()
	var asked []domain.SessionID
	answers := []error{
		domain.NewError(domain.CodeUnavailable, "no answer"), domain.NewError(domain.CodeConflict, "held"),
		domain.NewError(domain.CodeFenced, "it has begun, and ended"),
		domain.NewError(domain.CodeUnavailable, "no answer"), nil,
	}
	b.plane.register = func(r domain.Registration) error {
		asked = append(asked, r.SessionID)
		return answers[len(asked)-1]
	}
	for _, want := range answers {
		require.Equal(t, want, b.Connect(t.Context()))
	}
	assert.Equal(t, []domain.SessionID{asked[0], asked[0], asked[0], asked[3], asked[3]}, asked)
	assert.NotEqual(t, asked[0], asked[3])
	b.clock.advance(leaseTime)
	b.Tick()
	answers = append(answers, nil)
	require.NoError(t, b.Connect(t.Context()))
	assert.NotEqual(t, asked[4], asked[5], "a session that was lost does not begin again")
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
