package contracttests

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// BusHarness hooks a bus into the suite.
type BusHarness struct {
	// Open returns a new connection to the same bus with every call.
	Open func() ports.Bus
	// OpenBehind returns a connection, and a function that silences it: from then on, the
	// connection carries nothing, and neither end is told. New connections work. It is nil for a
	// bus without a network.
	OpenBehind func() (b ports.Bus, silence func())
	// Limit is the size of the largest message, in bytes. 0 means that there is no limit.
	Limit int
}

// patience is the timeout of every wait for something that must happen.
const patience = 30 * time.Second

// inbox collects messages.
type inbox struct {
	mu  sync.Mutex
	got []string
}

// handle is a handler that keeps the message.
func (b *inbox) handle(_ context.Context, m ports.Message) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, m.Subject+"="+string(m.Data))
	return nil
}

// all returns the messages so far.
func (b *inbox) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.got...)
}

// eventually polls until f returns true. what names the event for the message of a failure.
func eventually(t T, f func() bool, what string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !f() {
		if time.Now().After(deadline) {
			require.Fail(t, "never happened: "+what)
		}
		time.Sleep(time.Millisecond)
	}
}

// subscribe subscribes until the end of the case.
func subscribe(t T, b ports.Bus, subject, group string, h ports.Handler) ports.Subscription {
	t.Helper()
	s, err := b.Subscribe(t.Context(), subject, group, h)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// BusCases is the suite of the Bus port.
func BusCases() []Case[BusHarness] {
	return []Case[BusHarness]{
		{"messages reach every matching subscription",
			"Publish sends data to every subscription whose subject matches", func(t T, h BusHarness) {
				var exact, wild, other inbox
				subscribe(t, h.Open(), "a.b.c", "", exact.handle)
				subscribe(t, h.Open(), "a.*.c", "", wild.handle)
				subscribe(t, h.Open(), "a.*", "", other.handle)
				b := h.Open()
				for _, s := range []string{"a.b.c", "a.x.c", "a.b.c.d", "b.b.c"} {
					require.NoError(t, b.Publish(t.Context(), s, []byte(s)))
				}
				eventually(t, func() bool { return len(exact.all()) == 1 && len(wild.all()) == 2 }, "delivery")
				require.Equal(t, []string{"a.b.c=a.b.c", "a.x.c=a.x.c"}, wild.all())
				require.Empty(t, other.all())
			}},
		{"one publisher's messages arrive in order",
			"in the order in which one publisher sent them", func(t T, h BusHarness) {
				var in inbox
				subscribe(t, h.Open(), "s", "", in.handle)
				b := h.Open()
				var want []string
				for i := range 500 {
					require.NoError(t, b.Publish(t.Context(), "s", fmt.Append(nil, i)))
					want = append(want, fmt.Sprintf("s=%d", i))
				}
				eventually(t, func() bool { return len(in.all()) == 500 }, "all messages")
				require.Equal(t, want, in.all())
			}},
		{"a group shares its messages",
			"With a non-empty group, each message reaches one member of the group", func(t T, h BusHarness) {
				var members [3]inbox
				var outside inbox
				for i := range members {
					subscribe(t, h.Open(), "s", "g", members[i].handle)
				}
				subscribe(t, h.Open(), "s", "", outside.handle)
				b := h.Open()
				for i := range 90 {
					require.NoError(t, b.Publish(t.Context(), "s", fmt.Append(nil, i)))
				}
				sent := 90
				total := func() int { return len(members[0].all()) + len(members[1].all()) + len(members[2].all()) }
				arrived := func() bool { return total() >= sent && len(outside.all()) == sent }
				eventually(t, arrived, "all messages")
				eventually(t, func() bool {
					for i := range members {
						if len(members[i].all()) == 0 { // the others were faster so far
							require.NoError(t, b.Publish(t.Context(), "s", nil))
							sent++
							return false
						}
					}
					return true
				}, "that each member gets a message")
				eventually(t, arrived, "all messages")
				require.Equal(t, sent, total())
			}},
		{"a request gets one reply",
			"Request sends data to one receiver and returns its reply", func(t T, h BusHarness) {
				var calls atomic.Int32
				for range 3 {
					subscribe(t, h.Open(), "echo", "g", func(_ context.Context, m ports.Message) []byte {
						calls.Add(1)
						require.True(t, m.WantsReply)
						return append([]byte("re: "), m.Data...)
					})
				}
				r, err := h.Open().Request(t.Context(), "echo", []byte("hi"))
				require.NoError(t, err)
				require.Equal(t, "re: hi", string(r))
				require.Equal(t, int32(1), calls.Load())
			}},
		{"a request that nobody can answer fails at once",
			"CodeUnavailable when nobody is there to answer", func(t T, h BusHarness) {
				_, err := h.Open().Request(t.Context(), "nobody", nil)
				requireCode(t, err, domain.CodeUnavailable)
			}},
		{"a request ends with its context", "the context's error when that ends first", func(t T, h BusHarness) {
			release := make(chan struct{})
			subscribe(t, h.Open(), "slow", "", func(context.Context, ports.Message) []byte { <-release; return nil })
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			_, err := h.Open().Request(ctx, "slow", nil)
			close(release)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}},
		{"a cancelled context surfaces as itself",
			"A context that is cancelled surfaces as context.Canceled", func(t T, h BusHarness) {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				b := h.Open()
				require.ErrorIs(t, b.Publish(ctx, "s", nil), context.Canceled)
				_, err := b.Subscribe(ctx, "s", "", func(context.Context, ports.Message) []byte { return nil })
				require.ErrorIs(t, err, context.Canceled)
				_, err = b.Request(ctx, "s", nil)
				require.ErrorIs(t, err, context.Canceled)
			}},
		{"nothing is delivered after closing",
			"Close returns when no handler call is running any more; closing twice is a no-op",
			func(t T, h BusHarness) {
				b := h.Open()
				started, release := make(chan struct{}), make(chan struct{})
				var running atomic.Bool
				var calls atomic.Int32
				s, err := b.Subscribe(t.Context(), "s", "", func(context.Context, ports.Message) []byte {
					running.Store(true)
					if calls.Add(1) == 1 {
						close(started)
					}
					<-release
					running.Store(false)
					return nil
				})
				require.NoError(t, err)
				require.NoError(t, b.Publish(t.Context(), "s", nil))
				<-started
				require.NoError(t, b.Publish(t.Context(), "s", nil)) // may be delivered or not
				go close(release)
				require.NoError(t, s.Close())
				require.False(t, running.Load())
				delivered := calls.Load()
				require.NoError(t, b.Publish(t.Context(), "s", nil))
				require.NoError(t, s.Close())
				// When a later message has reached another subscription, the earlier one would have
				// reached the closed one.
				var later inbox
				subscribe(t, b, "s", "", later.handle)
				require.NoError(t, b.Publish(t.Context(), "s", nil))
				eventually(t, func() bool { return len(later.all()) > 0 }, "delivery to another subscription")
				require.Equal(t, delivered, calls.Load())
			}},
		{"what has arrived is handled before closing",
			"Close hands those that have arrived to the handler, so that requests are answered",
			func(t T, h BusHarness) {
				const messages = 5
				b, sender := h.Open(), h.Open()
				started, release := make(chan struct{}), make(chan struct{})
				var calls atomic.Int32
				s := subscribe(t, b, "s", "g", func(context.Context, ports.Message) []byte {
					if calls.Add(1) == 1 {
						close(started)
					}
					<-release
					return nil
				})
				var behind inbox
				subscribe(t, b, "behind", "", behind.handle)
				for range messages {
					require.NoError(t, sender.Publish(t.Context(), "s", nil))
				}
				require.NoError(t, sender.Publish(t.Context(), "behind", nil))
				<-started
				eventually(t, func() bool { return len(behind.all()) > 0 }, "arrival of the last message")
				go close(release)
				require.NoError(t, s.Close())
				require.EqualValues(t, messages, calls.Load())
			}},
		{"a panic costs one message",
			"A handler that panics affects its own subscription only", func(t T, h BusHarness) {
				var in, other inbox
				subscribe(t, h.Open(), "s", "", func(ctx context.Context, m ports.Message) []byte {
					if string(m.Data) == "bad" {
						panic("bad message")
					}
					return in.handle(ctx, m)
				})
				subscribe(t, h.Open(), "s", "", other.handle)
				b := h.Open()
				require.NoError(t, b.Publish(t.Context(), "s", []byte("bad")))
				require.NoError(t, b.Publish(t.Context(), "s", []byte("good")))
				eventually(t, func() bool { return len(in.all()) == 1 && len(other.all()) == 2 },
					"the message behind the bad one")
			}},
		{"a slow handler holds up nobody else",
			"A handler that is slow affects its own subscription only; when its buffer is full, messages are dropped",
			func(t T, h BusHarness) {
				release := make(chan struct{})
				slow := subscribe(t, h.Open(), "s", "", func(context.Context, ports.Message) []byte {
					<-release
					return nil
				})
				var fast atomic.Int32
				subscribe(t, h.Open(), "s", "", func(context.Context, ports.Message) []byte { fast.Add(1); return nil })
				b := h.Open()
				for range 1000 {
					require.NoError(t, b.Publish(t.Context(), "s", nil))
				}
				eventually(t, func() bool { return fast.Load() == 1000 }, "delivery to the fast one")
				close(release)
				require.NoError(t, slow.Close())
			}},
		{"data is not shared",
			"Arguments are not kept after the call; data is only valid during the call", func(t T, h BusHarness) {
				var in inbox
				subscribe(t, h.Open(), "s", "", func(ctx context.Context, m ports.Message) []byte {
					defer func() { m.Data[0] = 'X' }()
					return in.handle(ctx, m)
				})
				subscribe(t, h.Open(), "s", "", func(ctx context.Context, m ports.Message) []byte {
					defer func() { m.Data[0] = 'Y' }()
					return in.handle(ctx, m)
				})
				data := []byte("a")
				require.NoError(t, h.Open().Publish(t.Context(), "s", data))
				data[0] = 'b'
				eventually(t, func() bool { return len(in.all()) == 2 }, "delivery")
				require.Equal(t, []string{"s=a", "s=a"}, in.all())
			}},
	}
}

// LimitedBusCases is the suite of buses with a limit on the size of messages.
func LimitedBusCases() []Case[BusHarness] {
	return []Case[BusHarness]{
		{"a message above the limit is refused",
			"CodeTooLarge when data exceeds what the bus carries", func(t T, h BusHarness) {
				var in inbox
				subscribe(t, h.Open(), "s", "", in.handle)
				b := h.Open()
				requireCode(t, b.Publish(t.Context(), "s", make([]byte, h.Limit+1)), domain.CodeTooLarge)
				_, err := b.Request(t.Context(), "s", make([]byte, h.Limit+1))
				requireCode(t, err, domain.CodeTooLarge)
				require.NoError(t, b.Publish(t.Context(), "s", make([]byte, h.Limit)))
				eventually(t, func() bool { return len(in.all()) == 1 }, "delivery of a message within the limit")
			}},
		{"a reply above the limit is refused",
			"CodeTooLarge when the reply exceeds what the bus carries", func(t T, h BusHarness) {
				subscribe(t, h.Open(), "s", "", func(_ context.Context, m ports.Message) []byte {
					return make([]byte, h.Limit+len(m.Data))
				})
				b := h.Open()
				_, err := b.Request(t.Context(), "s", make([]byte, 1))
				requireCode(t, err, domain.CodeTooLarge) // of a request that times out nothing is known
				reply, err := b.Request(t.Context(), "s", nil)
				require.NoError(t, err)
				require.Len(t, reply, h.Limit)
			}},
	}
}
