package retention_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/archiving"
	"github.com/niyanta/niyanta/core/services/leadership"
	"github.com/niyanta/niyanta/core/services/retention"
)

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

type counted struct {
	ports.Observer
	n map[domain.Kept]int
}

func (counted) Leader(bool, int64)               {}
func (c counted) Purged(what domain.Kept, n int) { c.n[what] += n }

// store is a storage in which much is due. A batch takes as long as took says.
type store struct {
	ports.RetentionStore
	clock *clock
	due   map[domain.Kept]int
	took  func(ports.Purge) time.Duration
	err   map[domain.Kept]error
	calls []ports.Purge
	epoch int64
}

func (s *store) Purge(_ context.Context, epoch int64, p ports.Purge) (ports.Purged, error) {
	s.calls, s.epoch = append(s.calls, p), epoch
	s.clock.now = s.clock.now.Add(s.took(p))
	if err := s.err[p.What]; err != nil {
		return ports.Purged{}, err
	}
	n := min(p.Limit, s.due[p.What])
	s.due[p.What] -= n
	return ports.Purged{Count: n, More: s.due[p.What] > 0}, nil
}

const month = 30 * 24 * time.Hour

var periods = domain.Retention{Audit: 12 * month, Statistics: 13 * month, DeadWorkers: month / 4}

// kept is what has a period, in the order of a round.
var kept = []domain.Kept{
	domain.KeptAudit, domain.KeptIdempotencyKeys, domain.KeptTickets, domain.KeptStatistics, domain.KeptWorkers,
	domain.KeptSessions, domain.KeptLanes,
}

// fixture is a service on a leader.
type fixture struct {
	*testing.T
	*store
	leader  *leadership.Service
	service *retention.Service
	counted counted
}

func given(t *testing.T) *fixture {
	t.Helper()
	c := &clock{time.Unix(1_700_000_000, 0)}
	f := &fixture{T: t, store: &store{
		clock: c, due: map[domain.Kept]int{}, err: map[domain.Kept]error{},
		took: func(ports.Purge) time.Duration { return 0 },
	}, counted: counted{n: map[domain.Kept]int{}}}
	f.leader = leadership.New(leadership.Config{Holder: "a", TTL: time.Hour, Renew: time.Minute},
		leadership.Deps{
			Lease: memory.NewStore(c).Stores().Leader, Clock: c, Observer: f.counted, Log: slog.New(slog.DiscardHandler),
		})
	f.service = retention.New(periods, retention.Deps{
		Retention: f.store, Archive: archiving.New(archiving.Deps{}), Observer: f.counted, Clock: c, Leader: f.leader,
	})
	_, err := f.leader.Tick(t.Context())
	require.NoError(t, err)
	return f
}

// tick makes one call of Tick, and lets the time pass that it asks for.
func (f *fixture) tick() time.Duration {
	f.Helper()
	next, err := f.service.Tick(f.Context())
	require.NoError(f, err)
	f.clock.now = f.clock.now.Add(next)
	_, err = f.leader.Tick(f.Context())
	require.NoError(f, err)
	return next
}

func (f *fixture) what() (out []domain.Kept) {
	for _, c := range f.calls {
		out = append(out, c.What)
	}
	f.calls = nil
	return out
}

func TestTick_InARound_LooksAtAllThatHasAPeriod(t *testing.T) {
	f := given(t)
	for range kept[1:] {
		assert.Less(t, f.tick(), time.Second)
	}
	assert.Equal(t, time.Minute, f.tick(), "the round is over")
	for _, c := range f.calls {
		assert.Equal(t, periods.Of(c.What), c.Age, c.What)
	}
	assert.Equal(t, kept, f.what())
	assert.Equal(t, int64(1), f.epoch)
	for range kept {
		f.tick()
	}
	assert.Equal(t, kept, f.what(), "the next round")
}

func TestTick_OnACoordinatorThatDoesNotLead_PurgesNothing(t *testing.T) {
	f := given(t)
	require.NoError(t, f.leader.StepDown(t.Context()))
	next, err := f.service.Tick(t.Context())
	require.NoError(t, err)
	assert.Equal(t, time.Minute, next)
	assert.Empty(t, f.calls)
}

func TestTick_WhenMuchIsDue_RemovesItInBatchesAndCountsIt(t *testing.T) {
	f := given(t)
	f.due[domain.KeptAudit], f.due[domain.KeptWorkers] = 5_000, 3
	n := 0
	for f.tick() < time.Minute {
		n++
	}
	assert.Equal(t, map[domain.Kept]int{domain.KeptAudit: 5_000, domain.KeptIdempotencyKeys: 0, domain.KeptTickets: 0,
		domain.KeptStatistics: 0,
		domain.KeptWorkers:    3, domain.KeptSessions: 0, domain.KeptLanes: 0}, f.counted.n)
	for _, c := range f.calls {
		assert.LessOrEqual(t, c.Limit, 1000)
	}
	assert.Greater(t, n, 5, "in several batches")
}

func TestTick_WhateverBatchesTake_LeavesTheStoreThreeQuartersOfTheTime(t *testing.T) {
	for name, each := range map[string]time.Duration{
		"fast": 10 * time.Microsecond, "usual": 50 * time.Microsecond, "loaded": time.Millisecond,
	} {
		f := given(t)
		var busy time.Duration
		f.took = func(p ports.Purge) time.Duration {
			took := time.Millisecond + time.Duration(p.Limit)*each
			busy += took
			return took
		}
		f.due[domain.KeptAudit] = 100_000
		began := f.clock.now
		for f.due[domain.KeptAudit] > 0 {
			f.tick()
		}
		passed := f.clock.now.Sub(began)
		assert.GreaterOrEqual(t, passed, 4*busy, name)
		for _, c := range f.calls[5:] {
			assert.LessOrEqual(t, time.Duration(c.Limit)*each, 120*time.Millisecond, "%s: small batches", name)
		}
	}
}

func TestTick_WhenTheStoreIsSlow_Pauses(t *testing.T) {
	f := given(t)
	f.due[domain.KeptAudit] = 100_000
	f.took = func(ports.Purge) time.Duration { return 2 * time.Second }
	assert.GreaterOrEqual(t, f.tick(), 10*time.Second)
	f.took = func(ports.Purge) time.Duration { return 20 * time.Second }
	assert.GreaterOrEqual(t, f.tick(), time.Minute)
	assert.Less(t, f.calls[1].Limit, f.calls[0].Limit, "and does less at once")
}

func TestTick_WhenOnePurgeFails_TheOthersGoOn(t *testing.T) {
	f := given(t)
	f.err[domain.KeptIdempotencyKeys] = errors.New("the store is away")
	f.due[domain.KeptAudit], f.due[domain.KeptWorkers] = 1, 1
	paused := 0
	for range kept {
		if next, _ := f.service.Tick(t.Context()); next == 10*time.Second {
			paused++
		}
	}
	assert.Equal(t, 1, paused)
	assert.Equal(t, kept, f.what())
	assert.Equal(t, 1, f.counted.n[domain.KeptWorkers])
}

func TestTick_WhileSomethingCannotBeRemoved_FailsUntilItIs(t *testing.T) {
	f := given(t)
	f.err[domain.KeptIdempotencyKeys] = errors.New("the store is away")
	var failures []bool
	for n := range 3 * len(kept) {
		if n == 2*len(kept) {
			clear(f.err)
		}
		_, err := f.service.Tick(t.Context())
		failures = append(failures, err != nil)
	}
	first := slices.Index(kept, domain.KeptIdempotencyKeys)
	for n, failed := range failures {
		assert.Equal(t, first <= n && n < 2*len(kept)+first, failed, "call %d", n)
	}
}

func TestTick_OnACoordinatorThatDoesNotLeadAnyMore_FailsNoLonger(t *testing.T) {
	f := given(t)
	f.err[domain.KeptAudit] = errors.New("the store is away")
	_, err := f.service.Tick(t.Context())
	require.Error(t, err)
	require.NoError(t, f.leader.StepDown(t.Context()))
	_, err = f.service.Tick(t.Context())
	require.NoError(t, err)
}

func TestTick_AsANewLeader_BeginsANewRound(t *testing.T) {
	f := given(t)
	f.tick()
	f.tick()
	require.NoError(t, f.leader.StepDown(t.Context()))
	_, err := f.leader.Tick(t.Context())
	require.NoError(t, err)
	f.calls = nil
	f.tick()
	assert.Equal(t, kept[:1], f.what())
	assert.Equal(t, int64(2), f.epoch)
}
