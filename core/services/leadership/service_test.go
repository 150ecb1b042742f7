package leadership_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/ports/mocks"
	"github.com/niyanta/niyanta/core/services/leadership"
)

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type deaf struct{ ports.Observer }

func (deaf) Leader(bool, int64) {}

const (
	ttl    = 8 * time.Second
	renew  = 2500 * time.Millisecond
	margin = time.Second
)

func service(holder string, lease ports.LeaderLease, c ports.Clock) *leadership.Service {
	return leadership.New(leadership.Config{Holder: holder, TTL: ttl, Renew: renew, Margin: margin}, leadership.Deps{
		Lease: lease, Clock: c, Observer: deaf{}, Log: slog.New(slog.DiscardHandler),
	})
}

func tick(t *testing.T, s *leadership.Service) bool {
	t.Helper()
	elected, err := s.Tick(t.Context())
	require.NoError(t, err)
	return elected
}

func leads(s *leadership.Service) bool { _, ok := s.Current(); return ok }

func TestLeadership_WhenTheLeaderIsGone_IsTakenByTheOther(t *testing.T) {
	c := &clock{now: time.Unix(1, 0)}
	lease := memory.NewStore(c).Stores().Leader
	a, b := service("a", lease, c), service("b", lease, c)
	require.True(t, tick(t, a))
	require.False(t, tick(t, b))
	assert.Equal(t, "a", b.Leader().Holder)
	c.advance(renew)
	require.False(t, tick(t, a), "renewed, not elected again")
	c.advance(ttl - margin)
	assert.False(t, leads(a), "it stops acting before its lease ends")
	require.False(t, tick(t, b))
	c.advance(margin)
	require.True(t, tick(t, b))
	first, _ := a.Current()
	second, _ := b.Current()
	assert.Greater(t, second.Epoch, first.Epoch)
	tick(t, a)
	assert.False(t, leads(a))
}

func TestLeader_WhenTheStoreIsAwayForALease_IsNobody(t *testing.T) {
	c := &clock{now: time.Unix(1, 0)}
	lease := &failing{LeaderLease: memory.NewStore(c).Stores().Leader}
	a, b := service("a", lease, c), service("b", lease, c)
	require.True(t, tick(t, a))
	require.False(t, tick(t, b))
	c.advance(renew)
	tick(t, a)
	tick(t, b)
	lease.away = true
	for range 2 {
		assert.Equal(t, []string{"a", "a"}, []string{a.Leader().Holder, b.Leader().Holder})
		c.advance(ttl / 2)
		for _, s := range []*leadership.Service{a, b} {
			_, err := s.Tick(t.Context())
			require.Error(t, err)
		}
	}
	assert.Empty(t, a.Leader().Holder, "nobody can have renewed the lease")
	assert.Empty(t, b.Leader().Holder)
	lease.away = false
	require.False(t, tick(t, a))
	tick(t, b)
	assert.Equal(t, a.Leader(), b.Leader())
	assert.Equal(t, "a", a.Leader().Holder, "the same one may go on, if no other took its place")
}

// failing is a lease whose store may be away.
type failing struct {
	ports.LeaderLease
	away bool
}

var errAway = errors.New("away")

func (f *failing) Acquire(
	ctx context.Context, holder string, ttl time.Duration,
) (ports.Leadership, bool, error) {
	if f.away {
		return ports.Leadership{}, false, errAway
	}
	return f.LeaderLease.Acquire(ctx, holder, ttl)
}

func (f *failing) Renew(ctx context.Context, holder string, epoch int64, ttl time.Duration) error {
	if f.away {
		return errAway
	}
	return f.LeaderLease.Renew(ctx, holder, epoch, ttl)
}

func TestLeadership_WhenItEnds_WarnsUnlessItWasGivenAway(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*testing.T, *leadership.Service, *clock, ports.LeaderLease)
		want string
	}{
		"given away": {func(t *testing.T, s *leadership.Service, _ *clock, _ ports.LeaderLease) {
			require.NoError(t, s.StepDown(t.Context()))
		}, "level=INFO msg=\"no longer leader\""},
		"taken": {func(t *testing.T, s *leadership.Service, c *clock, lease ports.LeaderLease) {
			c.advance(ttl)
			require.True(t, tick(t, service("b", lease, c)))
			require.False(t, tick(t, s))
		}, "level=WARN msg=\"no longer leader\""},
	} {
		t.Run(name, func(t *testing.T) {
			at := &clock{now: time.Unix(1, 0)}
			lease := memory.NewStore(at).Stores().Leader
			log := &strings.Builder{}
			s := leadership.New(leadership.Config{Holder: "a", TTL: ttl, Renew: renew, Margin: margin}, leadership.Deps{
				Lease: lease, Clock: at, Observer: deaf{}, Log: slog.New(slog.NewTextHandler(log, nil)),
			})
			require.True(t, tick(t, s))
			c.end(t, s, at, lease)
			assert.Contains(t, log.String(), c.want)
		})
	}
}

func TestStepDown_WhenLeading_HandsOverAtOnce(t *testing.T) {
	c := &clock{now: time.Unix(1, 0)}
	lease := memory.NewStore(c).Stores().Leader
	a, b := service("a", lease, c), service("b", lease, c)
	tick(t, a)
	require.NoError(t, a.StepDown(t.Context()))
	require.False(t, leads(a))
	require.True(t, tick(t, b))
	require.NoError(t, a.StepDown(t.Context()), "not leading: nothing happens")
	require.True(t, leads(b))
}

func TestLeadership_WhenRenewalFails_StopsInTimeAndComesBackWithANewClaim(t *testing.T) {
	c := &clock{now: time.Unix(1, 0)}
	lease := mocks.NewMockLeaderLease(gomock.NewController(t))
	lease.EXPECT().Acquire(gomock.Any(), "a", ttl).Return(ports.Leadership{Holder: "a", Epoch: 7}, true, nil)
	disconnected := errors.New("the database is disconnected")
	fail := lease.EXPECT().Renew(gomock.Any(), "a", int64(7), ttl).Return(disconnected).Times(2)
	lease.EXPECT().Renew(gomock.Any(), "a", int64(7), ttl).Return(nil).After(fail)
	s := service("a", lease, c)
	require.True(t, tick(t, s))
	began, _ := s.Current()
	for range 2 {
		c.advance(4 * time.Second)
		_, err := s.Tick(t.Context())
		require.ErrorIs(t, err, disconnected)
	}
	require.False(t, leads(s))
	require.False(t, tick(t, s))
	again, ok := s.Current()
	require.True(t, ok)
	assert.Equal(t, began.Epoch, again.Epoch)
	assert.True(t, again.Since.After(began.Since), "workers that could not reach it get a full lease")
}

func TestLeadership_WhenFenced_EndsAtOnce(t *testing.T) {
	c := &clock{now: time.Unix(1, 0)}
	lease := mocks.NewMockLeaderLease(gomock.NewController(t))
	lease.EXPECT().Acquire(gomock.Any(), gomock.Any(), gomock.Any()).
		Return(ports.Leadership{Holder: "a", Epoch: 1}, true, nil)
	lease.EXPECT().Renew(gomock.Any(), gomock.Any(), gomock.Any(), gomock.Any()).
		Return(domain.NewError(domain.CodeFenced, "gone"))
	s := service("a", lease, c)
	tick(t, s)
	c.advance(renew)
	tick(t, s)
	require.False(t, leads(s))
}

func TestLeadership_WhenAcquired_CountsFromTheRequest(t *testing.T) {
	c := &clock{now: time.Unix(1, 0)}
	lease := mocks.NewMockLeaderLease(gomock.NewController(t))
	lease.EXPECT().Acquire(gomock.Any(), gomock.Any(), gomock.Any()).DoAndReturn(
		func(context.Context, string, time.Duration) (ports.Leadership, bool, error) {
			c.advance(ttl - margin) // a slow answer
			return ports.Leadership{Holder: "a", Epoch: 1}, true, nil
		})
	s := service("a", lease, c)
	tick(t, s)
	require.False(t, leads(s))
}
