package contracttests

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// timekeeper is a customer that no command changes. Its row tells the store's time.
const timekeeper = domain.CustomerID("cust_time")

// compareChanged requires that both sides have stored the same. Trails and checkpoints are read of
// the workloads that have changed; compareAll reads those of all.
func (m *model) compareChanged(*rapid.T) { m.compare(false) }

// compareAll requires that both sides have stored the same, down to what no command should have
// changed.
func (m *model) compareAll() { m.compare(true) }

func (m *model) compare(all bool) {
	changed := map[domain.WorkloadID]string{}
	m.both("contents", func(f *fixture) any {
		ctx := f.Context()
		ws, err := f.Workloads.GetAny(ctx, m.ids...)
		require.NoError(f, err)
		for _, c := range []domain.CustomerID{acme, rival} {
			ws = append(ws, f.archived(c, m.ids...)...)
		}
		heads, err := f.Queue.Heads(ctx, domain.HeadsQuery{N: 3})
		require.NoError(f, err)
		occupied, err := f.Queue.Occupancy(ctx)
		require.NoError(f, err)
		for i := range endless(occupied) {
			if !occupied[i].FoundAt.IsZero() {
				occupied[i].FoundAt = time.Unix(1, 0)
			}
		}
		var sessions []domain.SessionID
		for _, w := range m.workers {
			sessions = append(sessions, w.SessionID)
		}
		held, err := f.Queue.Held(ctx, sessions...)
		require.NoError(f, err)
		orphans, err := f.Queue.Orphans(ctx, "", 100)
		require.NoError(f, err)
		var out []any
		for _, w := range ws {
			out = append(out, w.ID, timeless(w.State), w.RetryOf, w.ArchivedAt.IsZero())
			now := fmt.Sprint(w.State, w.ArchivedAt)
			if f == m.sides[0] && m.compared[w.ID] != now {
				changed[w.ID] = now
			}
			if _, has := changed[w.ID]; !has && !all {
				continue
			}
			trail, err := f.Audit.Workload(ctx, w.CustomerID, w.ID, 0, 1000)
			require.NoError(f, err)
			kept, err := f.Checkpoints.List(ctx, w.CustomerID, w.ID)
			require.NoError(f, err)
			for _, c := range kept {
				_, data, err := f.Checkpoints.Load(ctx, w.ID, c.Sequence)
				require.NoError(f, err)
				out = append(out, fmt.Sprint(c.Sequence, c.Generation, c.Size, string(data)))
			}
			for _, e := range trail {
				out = append(out, fmt.Sprint(e.Type, e.From, e.To, e.Generation, e.WorkerID, e.Reason,
					e.CheckpointSequence))
			}
		}
		for _, h := range held {
			out = append(out, fmt.Sprint(h.WorkloadID, h.CustomerID, h.WorkerID, h.SessionID, h.Lane, h.Generation,
				h.Status, h.PauseRequested, h.Ending))
		}
		for _, h := range heads.Lanes {
			out = append(out, h.Lane, column(h.Heads), h.More)
		}
		for _, w := range f.workers() {
			out = append(out, w.ID, w.SessionID, w.Status, w.ProcessID)
		}
		kept, err := f.Customers.Update(ctx, timekeeper, domain.CustomerPatch{}, admin)
		require.NoError(f, err)
		now := kept.UpdatedAt // the store's time
		customers, err := f.Customers.List(ctx, "", 10)
		require.NoError(f, err)
		for _, c := range customers {
			if c.ID == timekeeper {
				continue
			}
			counts, recounted := f.countsAt(c.ID, now), recount(c, ws, heads, now)
			if c.Deleting() { // what finished is removed bit by bit, its counts with the customer
				recounted.usage.SubmittedToday, recounted.hours = counts.usage.SubmittedToday, counts.hours
			}
			require.Equal(f, recounted, counts, "the counts equal a recount")
			out = append(out, c.ID, c.Tier, c.Suspended(), c.Deleting(), counts.usage.Unfinished)
		}
		deleting, err := f.Erasure.Deleting(ctx, "", 10)
		require.NoError(f, err)
		out = append(out, deleting)
		return append(out, append([]domain.Occupancy{}, occupied...), ageless(append([]ports.Orphan{}, orphans...)))
	})
	for id, now := range changed {
		m.compared[id] = now
	}
}

// column describes candidates without their times.
func column(cs []domain.Candidate) string {
	return fmt.Sprint(slices.Collect(func(yield func(string) bool) {
		for _, c := range cs {
			if !yield(fmt.Sprint(c.ID, "@", c.Generation, len(c.Declines), c.Timeout)) {
				return
			}
		}
	}))
}

// timeless replaces the times of a state that are set by one fixed time.
func timeless(s domain.State) domain.State {
	s.Declines = slices.Clone(s.Declines)
	for i := range s.Declines {
		s.Declines[i].Until = time.Unix(1, 0)
	}
	s.Executed = s.Executed.Truncate(time.Minute) // the clock of one side also runs by itself
	for _, t := range []*time.Time{
		&s.NotBefore, &s.Deadline, &s.ScheduledAt, &s.StartedAt, &s.FinishedAt, &s.UpdatedAt,
	} {
		if !t.IsZero() {
			*t = time.Unix(0, 0)
		}
	}
	return s
}
