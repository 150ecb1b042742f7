package messaging

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type runningClock struct{}

func (runningClock) Now() time.Time { return time.Now() }

type namedIDs struct {
	ports.IDs
	name string
}

func (n namedIDs) New(prefix string) string { return prefix + n.name }

// sharedBus hands each message to all its handlers at once, and keeps the messages' types.
type sharedBus struct {
	ports.Bus
	mu       sync.Mutex
	handlers map[string][]ports.Handler
	types    []string
}

func (b *sharedBus) Subscribe(_ context.Context, subject, _ string, h ports.Handler) (ports.Subscription, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.handlers[subject] = append(b.handlers[subject], h)
	return stubSubscription{}, nil
}

func (b *sharedBus) Publish(ctx context.Context, subject string, data []byte) error {
	e, err := decode(data)
	b.mu.Lock()
	b.types = append(b.types, e.Type)
	handlers := slices.Clone(b.handlers[subject])
	b.mu.Unlock()
	for _, h := range handlers {
		h(ctx, ports.Message{Subject: subject, Data: data})
	}
	return err
}

// sent returns how many messages of a type were sent.
func (b *sharedBus) sent(messageType string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(b.types), func(t string) bool { return t != messageType }))
}

// twoCoordinators are the hints of two processes that hear each other's wakes.
func twoCoordinators(t *testing.T) (bus *sharedBus, a, b *Hints) {
	t.Helper()
	bus = &sharedBus{handlers: map[string][]ports.Handler{}}
	open := func(name string) *Hints {
		p := Party{ID: name, Kind: "coordinator", Clock: runningClock{}, IDs: namedIDs{name: name}}
		h := NewHints(bus, contracttests.NewLocalHints(), p, counted{counts: map[string]int{}}, slog.New(slog.DiscardHandler))
		_, err := h.Wakes(t.Context(), func(reason string) { t.Errorf("%s woke: %q", name, reason) })
		require.NoError(t, err)
		return h
	}
	return bus, open("a"), open("b")
}

func TestUpdated_WhileNobodyFollowsElsewhere_IsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, a, b := twoCoordinators(t)
		var here, there []domain.WorkloadID
		_, err := a.Updates(t.Context(), ports.FollowedAll(), func(u ports.Update) { here = append(here, u.WorkloadID) })
		require.NoError(t, err)
		follow := func() ports.Subscription {
			sub, err := b.Updates(t.Context(), ports.FollowedAll(), func(u ports.Update) { there = append(there, u.WorkloadID) })
			require.NoError(t, err)
			return sub
		}
		a.Updated(t.Context(), ports.Update{WorkloadID: "wl_1"})
		assert.Equal(t, 1, bus.sent(typeUpdates), "a process that has just begun may have missed who follows")
		time.Sleep(startLimit)
		a.Updated(t.Context(), ports.Update{WorkloadID: "wl_2"})
		assert.Equal(t, 1, bus.sent(typeUpdates), "its own followers are not elsewhere")

		sub := follow()
		a.Updated(t.Context(), ports.Update{WorkloadID: "wl_3"})
		assert.Equal(t, 2, bus.sent(typeUpdates))
		time.Sleep(10 * silenceLimit)
		a.Updated(t.Context(), ports.Update{WorkloadID: "wl_4"})
		assert.Equal(t, 3, bus.sent(typeUpdates), "it follows still")
		require.NoError(t, sub.Close())
		require.NoError(t, sub.Close())
		time.Sleep(silenceLimit)
		a.Updated(t.Context(), ports.Update{WorkloadID: "wl_5"})
		assert.Equal(t, 3, bus.sent(typeUpdates), "nobody follows any more")
		sub = follow()
		a.Updated(t.Context(), ports.Update{WorkloadID: "wl_6"})
		require.NoError(t, sub.Close())

		assert.Equal(t, []domain.WorkloadID{"wl_1", "wl_2", "wl_3", "wl_4", "wl_5", "wl_6"}, here)
		assert.Equal(t, []domain.WorkloadID{"wl_3", "wl_4", "wl_6"}, there)
	})
}

func TestUpdates_ThatAreOpenedAllTheTime_TellTheOthersOnceInABeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, _, b := twoCoordinators(t)
		before := bus.sent(typeFollows)
		for range 1000 {
			sub, err := b.Updates(t.Context(), ports.FollowedWorkload("wl_1"), func(ports.Update) {})
			require.NoError(t, err)
			time.Sleep(10 * time.Millisecond)
			require.NoError(t, sub.Close())
		}
		assert.InDelta(t, 10*time.Second/beatInterval, bus.sent(typeFollows)-before, 1)
	})
}

// A process that has just begun to hear the others waits for one beat of each.
func TestUpdates_ThatAreOpenedAnew_AreToldOfAtTheNextBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, _, b := twoCoordinators(t)
		sub, err := b.Updates(t.Context(), ports.FollowedAll(), func(ports.Update) {})
		require.NoError(t, err)
		require.NoError(t, sub.Close())
		time.Sleep(beatInterval - time.Millisecond)
		_, err = b.Updates(t.Context(), ports.FollowedAll(), func(ports.Update) {})
		require.NoError(t, err)
		require.Equal(t, 1, bus.sent(typeFollows))
		time.Sleep(2 * time.Millisecond)
		require.Equal(t, 2, bus.sent(typeFollows))
	})
}

func TestUpdated_InAProcessThatHearsNoOthers_IsAlwaysSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := &sharedBus{handlers: map[string][]ports.Handler{}}
		p := Party{ID: "a", Clock: runningClock{}, IDs: namedIDs{name: "a"}}
		h := NewHints(bus, contracttests.NewLocalHints(), p, counted{counts: map[string]int{}}, slog.New(slog.DiscardHandler))
		time.Sleep(startLimit)
		h.Updated(t.Context(), ports.Update{WorkloadID: "wl_1"})
		assert.Equal(t, 1, bus.sent(typeUpdates))
		wakes, err := h.Wakes(t.Context(), func(string) {})
		require.NoError(t, err)
		time.Sleep(startLimit)
		h.Updated(t.Context(), ports.Update{WorkloadID: "wl_1"})
		assert.Equal(t, 1, bus.sent(typeUpdates))
		require.NoError(t, wakes.Close())
		h.Updated(t.Context(), ports.Update{WorkloadID: "wl_1"})
		assert.Equal(t, 2, bus.sent(typeUpdates))
	})
}
