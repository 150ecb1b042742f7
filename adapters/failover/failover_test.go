package failover_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/niyanta/niyanta/adapters/failover"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

func beat(t *testing.T, p *failover.Plane) (took time.Duration, err error) {
	t.Helper()
	begun := time.Now()
	_, err = p.Heartbeat(t.Context(), ports.Heartbeat{})
	return time.Since(begun), err
}

func report(t *testing.T, p *failover.Plane) (took time.Duration, err error) {
	t.Helper()
	begun := time.Now()
	_, err = p.Report(t.Context(), ports.SessionRef{}, make([]ports.Report, 1))
	return time.Since(begun), err
}

func TestHeartbeat_WhenARouteIsSilent_AnotherAnswersAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		bus, http := newRoute("bus", &seen, always(errSilent)), newRoute("http", &seen, always(nil))
		p := failover.New(bus, []failover.Route{http}, quiet)
		took, err := beat(t, p)
		require.NoError(t, err)
		assert.Equal(t, time.Second, took)
		assert.Equal(t, []call{{"bus", 0, 2 * time.Second, false}, {"http", time.Second, 2 * time.Second, true}}, seen.all)
		took, err = beat(t, p)
		require.NoError(t, err)
		assert.Zero(t, took, "the next one begins where the last one was answered")
		p.Close()
	})
}

func TestHeartbeat_WhenTheOnlyRouteIsSilent_EachTryIsOverANewConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		http := newRoute("http", &seen, func(n int) error {
			if n <= 2 {
				return errSilent
			}
			return nil
		})
		p := failover.New(nil, []failover.Route{http}, quiet)
		took, err := beat(t, p)
		require.NoError(t, err)
		assert.Equal(t, 2*time.Second, took)
		require.Len(t, seen.all, 3)
		assert.False(t, seen.all[0].fresh)
		assert.True(t, seen.all[1].fresh && seen.all[2].fresh)
		p.Close()
	})
}

func TestHeartbeat_WhenNothingAnswers_EndsBeforeItIsOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		p := failover.New(newRoute("bus", &seen, always(errSilent)),
			[]failover.Route{newRoute("http", &seen, always(errRefused))}, quiet)
		took, err := beat(t, p)
		require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err))
		assert.LessOrEqual(t, took, 5*time.Second)
		assert.LessOrEqual(t, len(seen.all), 4)
		p.Close()
	})
}

func TestHeartbeat_WhenTheLeaseIsShort_TriesFollowSooner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		first := newRoute("a", &seen, always(nil))
		p := failover.New(nil, []failover.Route{shortLease{first}, newRoute("b", &seen, always(nil))}, quiet)
		_, err := beat(t, p)
		require.NoError(t, err)
		first.set(func() { first.ends = always(errSilent) })
		took, err := beat(t, p)
		require.NoError(t, err)
		assert.Equal(t, 300*time.Millisecond, took)
		p.Close()
	})
}

// shortLease grants three seconds.
type shortLease struct{ *route }

func (r shortLease) Try(patience time.Duration, fresh bool) ports.ControlPlane {
	return shortTry{r.route.Try(patience, fresh)}
}

type shortTry struct{ ports.ControlPlane }

func (s shortTry) Heartbeat(ctx context.Context, h ports.Heartbeat) (ports.HeartbeatAnswer, error) {
	_, err := s.ControlPlane.Heartbeat(ctx, h)
	return ports.HeartbeatAnswer{LeaseMS: 3000}, err
}

func TestHeartbeat_WhenTheSessionIsOver_IsNotTriedElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		p := failover.New(nil, []failover.Route{
			newRoute("a", &seen, always(domain.NewError(domain.CodeFenced, "over"))), newRoute("b", &seen, always(nil)),
		}, quiet)
		_, err := beat(t, p)
		require.Equal(t, domain.CodeFenced, domain.CodeOf(err))
		assert.Equal(t, []string{"a"}, seen.routes())
		p.Close()
	})
}

func TestHeartbeat_WhenACoordinatorHasLostItsStore_AnotherIsAskedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		p := failover.New(nil, []failover.Route{newRoute("a", &seen, always(errStore)),
			newRoute("b", &seen, always(nil))}, quiet)
		took, err := beat(t, p)
		require.NoError(t, err)
		assert.Zero(t, took)
		p.Close()
	})
}

func TestRequest_WhenNothingAnswers_GivesEachTryMoreTimeElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		p := failover.New(newRoute("bus", &seen, always(errSilent)), []failover.Route{
			newRoute("a", &seen, always(errSilent)), newRoute("b", &seen, always(errSilent)),
		}, quiet)
		took, err := report(t, p)
		require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err),
			"not the end of a context, which would be the caller's own")
		assert.InDelta(t, 10, took.Seconds(), 0.5)
		assert.Equal(t, []string{"bus", "a", "b"}, seen.routes())
		for i, want := range []time.Duration{2 * time.Second, 3 * time.Second, 5 * time.Second} {
			assert.Equal(t, want, seen.all[i].patience)
			assert.Equal(t, i > 0, seen.all[i].fresh)
		}
		assert.Greater(t, seen.all[1].at, 2*time.Second, "jitter between")
		p.Close()
	})
}

func TestRequest_WhenItIsTooLargeForARoute_TakesTheNextAndBlamesNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		large := true
		bus := newRoute("bus", &seen, func(int) error {
			if large {
				return errLarge
			}
			return nil
		})
		p := failover.New(bus, []failover.Route{newRoute("http", &seen, always(nil))}, quiet)
		took, err := report(t, p)
		require.NoError(t, err)
		assert.Zero(t, took)
		bus.set(func() { large = false })
		_, err = report(t, p)
		require.NoError(t, err)
		assert.Equal(t, []string{"bus", "http", "bus"}, seen.routes())
		bus.set(func() { large = true })
		only := failover.New(bus, nil, quiet)
		_, err = report(t, only)
		require.Equal(t, domain.CodeTooLarge, domain.CodeOf(err), "the caller may send less")
	})
}

func TestRequest_WhenItsCallerGivesUp_EndsAsTheCallerDid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		p := failover.New(nil, []failover.Route{newRoute("a", &seen, always(errSilent))}, quiet)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.Register(ctx, domain.Registration{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = p.Heartbeat(ctx, ports.Heartbeat{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		_, err = p.Poll(ctx, ports.SessionRef{}, time.Second)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		p.Close()
	})
}

func TestPoll_WhenTheBusFallsSilent_FetchesAndReturnsToTheBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		bus, http := newRoute("bus", &seen, always(nil)), newRoute("http", &seen, always(nil))
		p := failover.New(bus, []failover.Route{http}, quiet)
		poll := func(from *route, kind ports.CommandKind) time.Duration {
			t.Helper()
			from.set(func() { from.commands = []ports.Command{{Kind: kind}} })
			begun := time.Now()
			cs, err := p.Poll(t.Context(), ports.SessionRef{}, 20*time.Second)
			require.NoError(t, err)
			require.Len(t, cs, 1)
			require.Equal(t, kind, cs[0].Kind)
			return time.Since(begun)
		}
		assert.Zero(t, poll(bus, "pushed"))
		bus.set(func() { bus.ends, bus.pong = always(errSilent), errRefused })
		_, err := beat(t, p) // its hedge is answered over HTTP
		require.NoError(t, err)
		assert.Zero(t, poll(http, "fetched"), "the bus is known to be silent")
		bus.set(func() { bus.ends, bus.pong = always(nil), nil })
		assert.LessOrEqual(t, poll(bus, "pushed again"), 2*time.Second)
		_, err = beat(t, p)
		require.NoError(t, err)
		assert.Equal(t, "bus", seen.routes()[len(seen.routes())-1])
		bus.set(func() { bus.disconnected = true })
		assert.Zero(t, poll(http, "fetched"), "the bus says itself that it is disconnected")
		assert.True(t, seen.all[len(seen.all)-1].fresh, "what nothing has used meanwhile may be silent too")
		assert.Zero(t, poll(http, "fetched again"))
		assert.False(t, seen.all[len(seen.all)-1].fresh)
		p.Close()
	})
}

func TestPoll_WhenACommandIsTooLargeForTheBus_IsFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		bus, http := newRoute("bus", &seen, always(errLarge)), newRoute("http", &seen, always(nil))
		http.commands = []ports.Command{{Kind: ports.CommandAssign}}
		p := failover.New(bus, []failover.Route{http}, quiet)
		cs, err := p.Poll(t.Context(), ports.SessionRef{}, time.Second)
		require.NoError(t, err)
		require.Len(t, cs, 1)
		p.Close()
	})
}

func TestPoll_WhenACommandIsTooLargeForTheOnlyRoute_SaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var seen calls
		bus := newRoute("bus", &seen, func(n int) error {
			if n == 1 {
				return errLarge
			}
			return nil
		})
		p := failover.New(bus, nil, slog.New(slog.NewTextHandler(&log, nil)))
		cs, err := p.Poll(t.Context(), ports.SessionRef{}, time.Second)
		require.NoError(t, err)
		assert.Empty(t, cs)
		assert.Equal(t, 1, strings.Count(log.String(), "level=ERROR"), log.String())
		p.Close()
	})
}

func TestPoll_WhenItsConnectionIsSilent_IsRepeatedSoonOverANewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen calls
		http := newRoute("http", &seen, func(n int) error {
			if n == 1 {
				return errSilent
			}
			return nil
		})
		http.commands = []ports.Command{{Kind: ports.CommandAssign}}
		p := failover.New(nil, []failover.Route{http}, quiet)
		cs, err := p.Poll(t.Context(), ports.SessionRef{}, 20*time.Second)
		require.NoError(t, err)
		require.Len(t, cs, 1)
		require.Len(t, seen.all, 2)
		assert.LessOrEqual(t, seen.all[1].at, time.Second, "after what the poll waits, which the stub leaves out")
		assert.True(t, seen.all[1].fresh)
		p.Close()
	})
}

func TestLog_WhenARouteFailsForLong_HasOneLineForEachChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var seen calls
		http := newRoute("http://a", &seen, always(errRefused))
		p := failover.New(nil, []failover.Route{http}, slog.New(slog.NewTextHandler(&log, nil)))
		for range 100 {
			_, err := beat(t, p)
			require.Error(t, err)
			_, err = report(t, p)
			require.Error(t, err)
			time.Sleep(100 * time.Millisecond)
		}
		http.set(func() { http.ends = always(nil) })
		for range 10 {
			_, err := beat(t, p)
			require.NoError(t, err)
		}
		p.Close()
		assert.Equal(t, 1, strings.Count(log.String(), `level=WARN msg="coordinators disconnected" route=http://a`),
			log.String())
		assert.Equal(t, 1, strings.Count(log.String(),
			`level=INFO msg="coordinators reconnected" route=http://a after=`), log.String())
		assert.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
	})
}
