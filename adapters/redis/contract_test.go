package redis_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/niyanta/niyanta/adapters/redis"
	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/contracttests/netfault"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func TestMain(m *testing.M) { os.Exit(servers.Run(m, func() error { return goleak.Find() })) }

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

// randomIDs makes ids.
type randomIDs struct{ ports.IDs }

func (randomIDs) New(prefix string) string {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return prefix + hex.EncodeToString(b[:])
}

func connect(t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := redis.Connect(url, nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func bus(t *testing.T, url string) *redis.Bus {
	t.Helper()
	b := redis.NewBus(connect(t, url), randomIDs{}, silent)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func TestBus_KeepsItsContract(t *testing.T) {
	cases := slices.Concat(
		contracttests.BusCases(), contracttests.TracedBusCases(), contracttests.SilentBusCases(),
		contracttests.LimitedBusCases(),
	)
	contracttests.Run(t, "Bus", "redis", cases, func(t *testing.T) contracttests.BusHarness {
		s := servers.StartRedis(t)
		return contracttests.BusHarness{
			Limit: redis.MaxMessage,
			Open:  func() ports.Bus { return bus(t, s.URL()) },
			OpenBehind: func() (ports.Bus, func()) {
				proxy := netfault.NewProxy(t, s.Port)
				return bus(t, fmt.Sprintf("redis://127.0.0.1:%d/0", proxy.Port)), func() { proxy.Silence() }
			},
		}
	})
}

func TestSubscribe_WhenATopicIsNotConfirmed_EverySubscriberWaits(t *testing.T) {
	s := servers.StartRedis(t)
	proxy := netfault.NewProxy(t, s.Port)
	b, other := bus(t, fmt.Sprintf("redis://127.0.0.1:%d/0", proxy.Port)), bus(t, s.URL())
	_, err := b.Subscribe(t.Context(), "warm", "", func(context.Context, ports.Message) []byte { return nil })
	require.NoError(t, err)
	proxy.Hold()
	var got atomic.Int32
	var subscribed atomic.Int32
	made := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := b.Subscribe(t.Context(), "s", "", func(context.Context, ports.Message) []byte { got.Add(1); return nil })
			subscribed.Add(1)
			made <- err
		}()
	}
	require.Never(t, func() bool { return subscribed.Load() > 0 }, 100*time.Millisecond, 5*time.Millisecond)
	begun := testfiles.StartStopwatch(t)
	ended, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = b.Subscribe(ended, "another", "", func(context.Context, ports.Message) []byte { return nil })
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, begun.Took(), 3*time.Second)
	proxy.Release()
	for range 2 {
		require.NoError(t, <-made)
	}
	require.NoError(t, other.Publish(t.Context(), "s", nil))
	require.Eventually(t, func() bool { return got.Load() == 2 }, 30*time.Second, time.Millisecond,
		"both hear what is said from then on")
}

// never refuses everything, to tell who answered.
type never struct{ calls atomic.Int32 }

func (n *never) Allow(context.Context, string, float64, int, int) (ports.RateDecision, error) {
	n.calls.Add(1)
	return ports.RateDecision{}, nil
}

func TestRateLimiter_KeepsItsContract(t *testing.T) {
	contracttests.Run(t, "RateLimiter", "redis", contracttests.LimiterCases(),
		func(t *testing.T) contracttests.LimiterHarness {
			s := servers.StartRedis(t)
			c := connect(t, s.URL())
			return contracttests.LimiterHarness{
				Open: func() ports.RateLimiter {
					return redis.NewRateLimiter(connect(t, s.URL()), &never{}, contracttests.NewClock(time.Now()), silent)
				},
				// The time is the server's; what is stored is the moment at which a bucket is full,
				// which moves back instead.
				Advance: func(d time.Duration) {
					keys, err := c.Keys(t.Context(), "rate:*").Result()
					require.NoError(t, err)
					for _, k := range keys {
						full, err := c.Get(t.Context(), k).Float64()
						if errors.Is(err, client.Nil) {
							continue // it has become full since
						}
						require.NoError(t, err)
						earlier := strconv.FormatFloat(full-float64(d.Microseconds()), 'f', -1, 64)
						require.NoError(t, c.Set(t.Context(), k, earlier, time.Hour).Err())
					}
				},
			}
		})
}

func TestRateLimiter_WithoutRedis_LimitsByItself(t *testing.T) {
	s := servers.StartRedis(t)
	clock, fallback := contracttests.NewClock(time.Now()), &never{}
	var log bytes.Buffer
	l := redis.NewRateLimiter(connect(t, s.URL()), fallback, clock, slog.New(slog.NewTextHandler(&log, nil)))
	d, err := l.Allow(t.Context(), "k", 1, 5, 1)
	require.NoError(t, err)
	require.True(t, d.Allowed)
	s.Stop()
	for range 3 {
		d, err = l.Allow(t.Context(), "k", 1, 5, 1)
		require.NoError(t, err)
		assert.False(t, d.Allowed, "the fallback decides")
	}
	assert.Equal(t, int32(3), fallback.calls.Load())
	for range 5 {
		clock.Advance(2 * time.Second) // asked again, in vain
		_, err = l.Allow(t.Context(), "k", 1, 5, 1)
		require.NoError(t, err)
	}
	assert.Equal(t, 1, strings.Count(log.String(), "\n"), "one line for each change: %s", &log)
	require.NoError(t, s.Start())
	d, err = l.Allow(t.Context(), "k", 1, 5, 1)
	require.NoError(t, err)
	assert.False(t, d.Allowed, "not asked again at once")
	clock.Advance(2 * time.Second)
	require.Eventually(t, func() bool {
		clock.Advance(2 * time.Second)
		d, err = l.Allow(t.Context(), "k", 1, 5, 1)
		return err == nil && d.Allowed
	}, 30*time.Second, 20*time.Millisecond, "asked again later")
	assert.Equal(t, 2, strings.Count(log.String(), "\n"), "one line for each change: %s", &log)
}

func TestBus_WhenItReconnects_KeepsItsSubscriptions(t *testing.T) {
	s := servers.StartRedis(t)
	b, other := bus(t, s.URL()), bus(t, s.URL())
	var got atomic.Int32
	_, err := b.Subscribe(t.Context(), "s.*", "g",
		func(context.Context, ports.Message) []byte { got.Add(1); return []byte("ok") })
	require.NoError(t, err)
	s.Stop()
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(other.Publish(t.Context(), "s.x", nil)))
	require.NoError(t, s.Start())
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		r, err := other.Request(ctx, "s.x", nil)
		return err == nil && string(r) == "ok"
	}, 30*time.Second, 20*time.Millisecond)
}

func TestLog_WhenTheServerIsStoppedAndStarted_HasOneLineForEachChange(t *testing.T) {
	s := servers.StartRedis(t)
	var log testfiles.Log
	b := redis.NewBus(connect(t, s.URL()), randomIDs{}, slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { _ = b.Close() })
	s.Stop()
	require.Eventually(t, func() bool { return !b.Connected() }, 30*time.Second, time.Millisecond)
	require.Never(t, func() bool { return b.Connected() }, 2*time.Second, 50*time.Millisecond)
	require.NoError(t, s.Start())
	require.Eventually(t, b.Connected, 30*time.Second, 10*time.Millisecond)
	address := fmt.Sprintf("address=127.0.0.1:%d", s.Port)
	assert.Equal(t, 1, strings.Count(log.String(), `level=WARN msg="bus disconnected" `+address), log.String())
	assert.Equal(t, 1, strings.Count(log.String(), `level=INFO msg="bus reconnected" `+address), log.String())
	assert.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
}

func TestConnect_WhenTheURLIsBad_RefusesWithoutShowingIt(t *testing.T) {
	_, err := redis.Connect("redis://user:hunter2@host:port/x", nil)
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "hunter2")
}

func TestSubscribe_WhileDisconnected_DoesNotWaitForRedis(t *testing.T) {
	b := bus(t, "redis://127.0.0.1:1/0")
	require.Eventually(t, func() bool { return !b.Connected() }, 30*time.Second, time.Millisecond)
	begin := testfiles.StartStopwatch(t)
	for n := range 5 {
		_, err := b.Subscribe(t.Context(), fmt.Sprintf("subject.%d", n), "",
			func(context.Context, ports.Message) []byte { return nil })
		require.NoError(t, err)
	}
	assert.Less(t, begin.Took(), 2*time.Second, "a coordinator that starts without Redis serves at once")
}
