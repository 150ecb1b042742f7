package erasure_test

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/niyanta/niyanta/core/services/erasure"
	"github.com/niyanta/niyanta/core/services/leadership"
)

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

type silent struct{ ports.Observer }

func (silent) Leader(bool, int64) {}

// store has customers that are being deleted. Each has a number of batches left; below zero: a worker
// still runs something of it.
type store struct {
	ports.ErasureStore
	left   map[domain.CustomerID]int
	err    map[domain.CustomerID]error
	epochs []int64
}

func (s *store) Deleting(_ context.Context, after domain.CustomerID, limit int) ([]domain.CustomerID, error) {
	var ids []domain.CustomerID
	for id := range s.left {
		if id > after {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids[:min(limit, len(ids))], nil
}

func (s *store) Unfinished(context.Context, domain.CustomerID, int) ([]domain.WorkloadID, error) {
	return nil, nil
}

func (s *store) Erase(
	_ context.Context, epoch int64, id domain.CustomerID, _ int, _ domain.Admin,
) (ports.Erased, error) {
	s.epochs = append(s.epochs, epoch)
	switch n := s.left[id]; {
	case s.err[id] != nil:
		return ports.Erased{}, s.err[id]
	case n < 0:
		return ports.Erased{}, nil
	case n == 0:
		delete(s.left, id)
		return ports.Erased{Done: true}, nil
	}
	s.left[id]--
	return ports.Erased{More: true}, nil
}

// service returns a service on a coordinator, which leads if it is told so.
func service(t *testing.T, s *store, leads bool) *erasure.Service {
	t.Helper()
	e, _ := serviceWith(t, leads, erasure.Deps{
		Erasure: s, Audit: &erased{}, Archive: archiving.New(archiving.Deps{}),
	})
	return e
}

// serviceWith is service with other dependencies, and its clock.
func serviceWith(t *testing.T, leads bool, deps erasure.Deps) (*erasure.Service, *clock) {
	t.Helper()
	c := &clock{time.Unix(1_700_000_000, 0)}
	log := slog.New(slog.DiscardHandler)
	leader := leadership.New(leadership.Config{Holder: "a", TTL: 100 * 24 * time.Hour, Renew: time.Minute},
		leadership.Deps{Lease: memory.NewStore(c).Stores().Leader, Clock: c, Observer: silent{}, Log: log})
	if leads {
		_, err := leader.Tick(t.Context())
		require.NoError(t, err)
	}
	deps.Clock, deps.Leader, deps.Log = c, leader, log
	return erasure.New("a", deps), c
}

func TestErasure_OnACoordinatorThatDoesNotLead_DoesNothing(t *testing.T) {
	s := &store{left: map[domain.CustomerID]int{"cust_a": 1}}
	next, err := service(t, s, false).Tick(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 10*time.Second, next)
	assert.Empty(t, s.epochs)
}

func TestErasure_OfManyCustomersWhoseWorkIsHeld_ReachesTheOthers(t *testing.T) {
	s := &store{left: map[domain.CustomerID]int{"cust_z": 3}}
	for i := range 50 {
		s.left[domain.CustomerID(fmt.Sprintf("cust_held%02d", i))] = -1
	}
	e := service(t, s, true)
	ticks := 0
	for s.left["cust_z"] > 0 || len(s.left) > 50 {
		next, err := e.Tick(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, next, time.Second)
		ticks++
		require.Less(t, ticks, 20)
	}
	require.NotContains(t, s.left, domain.CustomerID("cust_z"))
	var rests []time.Duration
	for range 6 {
		next, err := e.Tick(t.Context())
		require.NoError(t, err)
		rests = append(rests, next)
	}
	assert.Equal(t, 2, count(rests, time.Second), "while workers hold all that is left, it looks once a second: %v", rests)
	for _, epoch := range s.epochs {
		require.Equal(t, int64(1), epoch)
	}
}

func count(ds []time.Duration, d time.Duration) (n int) {
	for _, x := range ds {
		if x == d {
			n++
		}
	}
	return n
}

func TestErasure_WhenOneCustomerFails_RemovesTheOthers(t *testing.T) {
	broken := errors.New("broken")
	s := &store{
		left: map[domain.CustomerID]int{"cust_a": 1, "cust_b": 2}, err: map[domain.CustomerID]error{"cust_a": broken},
	}
	e := service(t, s, true)
	for range 3 {
		next, err := e.Tick(t.Context())
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, "cust_a")
		assert.Equal(t, time.Second, next)
	}
	assert.Equal(t, map[domain.CustomerID]int{"cust_a": 1}, s.left)
	s.err = nil
	for len(s.left) > 0 {
		_, err := e.Tick(t.Context())
		require.NoError(t, err)
	}
	_, err := e.Tick(t.Context())
	require.NoError(t, err)
	next, err := e.Tick(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 10*time.Second, next, "nobody is being deleted")
}
