package controlplane

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type stepped struct{ now atomic.Int64 }

func (c *stepped) Now() time.Time { return time.Unix(0, c.now.Load()) }

// gated is a listener whose subscriptions to some workers hang until they are let go.
type gated struct {
	ports.Listener
	gate map[domain.WorkerID]chan struct{}
	fail atomic.Bool

	mu       sync.Mutex
	calls    map[domain.WorkerID]int
	handlers []func(ports.Command)
	closed   int
}

func (g *gated) Commands(_ context.Context, w domain.WorkerID, h func(ports.Command)) (ports.Subscription, error) {
	g.mu.Lock()
	g.calls[w]++
	g.handlers = append(g.handlers, h)
	g.mu.Unlock()
	if gate := g.gate[w]; gate != nil {
		<-gate
	}
	if g.fail.Load() {
		return nil, domain.Unavailable(0, "no bus")
	}
	return closing{g}, nil
}

func (g *gated) callsTo(w domain.WorkerID) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.calls[w]
}

type closing struct{ g *gated }

func (c closing) Close() error {
	c.g.mu.Lock()
	defer c.g.mu.Unlock()
	c.g.closed++
	return nil
}

func newMailboxes(slow ...domain.WorkerID) (*mailboxes, *gated, *stepped) {
	g := &gated{gate: map[domain.WorkerID]chan struct{}{}, calls: map[domain.WorkerID]int{}}
	for _, w := range slow {
		g.gate[w] = make(chan struct{})
	}
	clock := &stepped{}
	return &mailboxes{listener: g, clock: clock, open: map[domain.WorkerID]*mailbox{}}, g, clock
}

func TestMailboxes_WhileOneOpens_HoldUpNobodyElse(t *testing.T) {
	m, g, _ := newMailboxes("slow")
	slow := ports.SessionRef{WorkerID: "slow", SessionID: "s"}
	opened := make(chan error, 2)
	open := func() { _, _, err := m.of(context.WithoutCancel(t.Context()), slow); opened <- err }
	go open()
	require.Eventually(t, func() bool { return g.callsTo("slow") == 1 }, 10*time.Second, time.Millisecond)

	_, _, err := m.of(t.Context(), ports.SessionRef{WorkerID: "fast", SessionID: "s"})
	require.NoError(t, err, "another worker's opens at once")
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = m.of(impatient, slow)
	require.ErrorIs(t, err, context.Canceled, "who waits for it may leave")
	go open()
	close(g.gate["slow"])
	require.NoError(t, <-opened)
	require.NoError(t, <-opened)
	assert.Equal(t, 1, g.callsTo("slow"), "it is opened once, however many wait")
}

func TestMailboxes_WhenOneCannotBeOpened_TryAgainWithTheNextCall(t *testing.T) {
	m, g, _ := newMailboxes()
	ref := ports.SessionRef{WorkerID: "w", SessionID: "s"}
	g.fail.Store(true)
	_, _, err := m.of(t.Context(), ref)
	require.Error(t, err)
	g.fail.Store(false)
	box, opened, err := m.of(t.Context(), ref)
	require.NoError(t, err)
	again, reopened, err := m.of(t.Context(), ref)
	require.NoError(t, err)
	assert.Same(t, box, again)
	assert.True(t, opened)
	assert.False(t, reopened)
}

func TestMailboxes_OfAnOldSession_CloseAndTakeNothing(t *testing.T) {
	m, g, _ := newMailboxes()
	old, _, err := m.of(t.Context(), ports.SessionRef{WorkerID: "w", SessionID: "old"})
	require.NoError(t, err)
	successor, opened, err := m.of(t.Context(), ports.SessionRef{WorkerID: "w", SessionID: "new"})
	require.NoError(t, err)
	assert.True(t, opened)
	assert.Equal(t, 1, g.closed, "each open one gets every command of the worker")
	for _, h := range g.handlers {
		h(ports.Command{Kind: ports.CommandDrain, SessionID: "new"})
	}
	none, err := old.take(t.Context(), 0)
	require.NoError(t, err)
	assert.Empty(t, none)
	m.drop(ports.SessionRef{WorkerID: "w", SessionID: "old"})
	got, err := successor.take(t.Context(), time.Second)
	require.NoError(t, err)
	assert.Len(t, got, 1)
	assert.Len(t, m.open, 1, "what ends an old session is nothing to its successor")
}

func TestMailboxes_WhenNobodyPollsOne_CloseIt(t *testing.T) {
	m, g, clock := newMailboxes()
	_, _, err := m.of(t.Context(), ports.SessionRef{WorkerID: "gone", SessionID: "s"})
	require.NoError(t, err)
	clock.now.Store(int64(2 * mailboxIdle))
	_, _, err = m.of(t.Context(), ports.SessionRef{WorkerID: "w", SessionID: "s"})
	require.NoError(t, err)
	m.sweep()
	assert.Equal(t, 1, g.closed)
	assert.Len(t, m.open, 1)
	m.close()
	assert.Equal(t, 2, g.closed)
}

func TestMailboxes_WhenClosedWhileOneOpens_LeaveNoSubscription(t *testing.T) {
	m, g, _ := newMailboxes("slow")
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = m.of(context.WithoutCancel(t.Context()), ports.SessionRef{WorkerID: "slow", SessionID: "s"})
	}()
	require.Eventually(t, func() bool { return g.callsTo("slow") == 1 }, 10*time.Second, time.Millisecond)
	m.close()
	close(g.gate["slow"])
	<-done
	assert.Equal(t, 1, g.closed)
}
