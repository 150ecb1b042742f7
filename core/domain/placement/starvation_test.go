package placement_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

// cluster runs plans in virtual time. A tick is a minute.
type cluster struct {
	t       *rapid.T
	rng     *rand.Rand
	workers []domain.Worker
	runs    []run
	tick    int
	slow    bool // all runs last as long as they may
	passed  int  // placements while the large workload waited
}

type run struct {
	session domain.SessionID
	lane    domain.Lane
	devices []domain.DeviceShare
	since   time.Time
	endsBy  time.Time // zero: it has no timeout
	until   int
}

// longest is the longest run of a cluster, in ticks.
const longest = 6

func (c *cluster) now() time.Time { return epoch0.Add(time.Duration(c.tick) * time.Minute) }

// end returns when the run is expected to end.
func (c *cluster) end(r *run) time.Time { return domain.ExpectedEnd(r.endsBy, r.since, c.now()) }

// next ends runs, and places what waits. The same plan is made twice. It returns what is placed.
func (c *cluster) next(lanes ...domain.LaneHeads) []placement.Decision {
	c.tick++
	c.runs = slices.DeleteFunc(c.runs, func(r run) bool { return r.until <= c.tick })
	s := placement.Snapshot{
		Workers: c.workers, Seed: uint64(c.tick), Placed: c.tick, Now: c.now(), //nolint:gosec // small
	}
	for _, r := range c.runs {
		o := domain.Occupancy{SessionID: r.session, Lane: r.lane, Count: 1}
		o.Expect(c.end(&r))
		o.Hold(r.devices, c.end(&r))
		s.Occupancy = append(s.Occupancy, o)
	}
	as := plan(s, 1000, lanes...)
	require.Equal(c.t, as, plan(s, 1000, lanes...))
	heads := map[domain.WorkloadID]domain.Candidate{}
	byID := map[domain.LaneID]domain.Lane{}
	for _, l := range lanes {
		byID[l.Lane.ID] = l.Lane
		for _, h := range l.Heads {
			heads[h.ID] = h
		}
	}
	for _, a := range as {
		timeout := heads[a.WorkloadID].Timeout
		last := longest
		if timeout > 0 {
			last = int((domain.StartAllowance + timeout) / time.Minute)
		}
		lasts := last
		if !c.slow {
			lasts = 1 + c.rng.IntN(last)
		}
		c.runs = append(c.runs, run{
			a.SessionID, byID[a.Lane], a.Devices, c.now(), domain.EndsBy(c.now(), timeout), c.tick + lasts,
		})
	}
	held := map[string]domain.Milli{}
	for _, r := range c.runs {
		for _, d := range r.devices {
			held[string(r.session)+d.ID] += d.Share
			require.LessOrEqual(c.t, held[string(r.session)+d.ID], domain.One)
		}
	}
	return as
}

// due returns when n devices of one worker are whole in a plan, by the ends of what runs.
func (c *cluster) due(n int) (due time.Time) {
	next := c.now().Add(time.Minute)
	due = next.Add(1000 * time.Hour)
	for _, w := range c.workers {
		ends := make([]time.Time, len(w.Resources.Devices))
		for _, r := range c.runs {
			for _, d := range r.devices {
				i := slices.IndexFunc(w.Resources.Devices, func(o domain.Device) bool { return o.ID == d.ID })
				if end := c.end(&r); r.session == w.SessionID && r.until > c.tick+1 && end.After(ends[i]) {
					ends[i] = end
				}
			}
		}
		slices.SortFunc(ends, time.Time.Compare)
		if ends[n-1].Before(due) {
			due = ends[n-1]
		}
	}
	if due.Before(next) {
		due = next
	}
	return due
}

// stream returns shares of high priority that never run out. Their timeouts are drawn from these, in
// ticks; 0: none.
func (c *cluster) stream(timeouts ...int) (lanes []domain.LaneHeads) {
	for _, share := range []domain.Milli{200, 500, 950} {
		l := of(gpuLane(domain.Resources{GPUs: share}, slices.Repeat([]int{100_000 + c.tick}, 60)...), "b", 1000)
		for i := range l.Heads {
			l.Heads[i].ID = domain.WorkloadID(fmt.Sprintf("%s-%d-%d", l.Lane.ID, c.tick, i))
			l.Heads[i].Timeout = time.Duration(timeouts[c.rng.IntN(len(timeouts))]) * time.Minute
		}
		lanes = append(lanes, l)
	}
	return lanes
}

// waits draws a cluster that a stream fills, and lets a large workload wait in it. It returns when its
// reservation is due at first, and after how many ticks it starts. The bound is for that.
func waits(t *rapid.T, bound int, timeouts ...int) (c *cluster, due time.Time, after int) {
	c = &cluster{t: t, slow: rapid.Bool().Draw(t, "slow"), rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))}
	perWorker := rapid.IntRange(1, 4).Draw(t, "devices")
	workers := rapid.IntRange(1, 4).Draw(t, "workers")
	for n := range workers {
		c.workers = append(c.workers, gpuWorker(n, 0, perWorker, "A10"))
	}
	wants := rapid.IntRange(1, perWorker).Draw(t, "wants")
	for range longest {
		c.next(c.stream(timeouts...)...)
	}
	large := of(gpuLane(domain.Resources{GPUs: domain.Milli(wants) * domain.One}, 900), "a", 0)
	large.Heads[0].QueueAt = epoch0.Add(time.Second)
	due = c.due(wants)
	for n := 1; ; n++ {
		require.LessOrEqual(t, n, bound*workers*(perWorker+1), "%d workers of %d devices", workers, perWorker)
		as := c.next(append(c.stream(timeouts...), large)...)
		for _, a := range as {
			if a.Lane == large.Lane.ID {
				return c, due, n
			}
		}
		c.passed += len(as)
	}
}

// Shares of higher priority never run out. Work that needs whole devices has them by the time at which
// its reservation is due at first: what passes it delays it by nothing, even if all runs last as long
// as they may.
func TestReserve_EndlessStreamOfShares_DelaysWholeDevicesByNothing(t *testing.T) {
	passed := 0
	rapid.Check(t, func(t *rapid.T) {
		c, due, _ := waits(t, longest, 1, 2, longest-1)
		passed += c.passed
		require.False(t, c.now().After(due), "due %s, starts %s", due, c.now())
	})
	assert.NotZero(t, passed, "short runs pass")
}

// Runs without a timeout are expected to last as long again. What passes then may delay, but not by
// much more.
func TestReserve_EndlessStreamWithoutTimeouts_DoesNotStarveWholeDevices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { waits(t, 2*longest, 0, 1, longest-1) })
}
