package contracttests

import (
	"maps"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

func statisticsCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"usage follows the states",
			"Usage counts the customer's queued, running and paused workloads", func(t T, h StoreHarness) {
				f := given(t, h)
				f.noon()
				w := f.worker("w", 5)
				f.submit()
				f.running(w)
				p := f.running(w)
				f.must(domain.Transition{WorkloadID: p.ID, CustomerID: p.CustomerID, Event: domain.EventRequestPause})
				f.must(report(p, w, domain.EventPaused, 1))
				f.must(lose(f.running(w), domain.LossMissing))
				f.must(cancel(f.submit()))
				u, err := f.Statistics.Usage(t.Context(), acme)
				require.NoError(t, err)
				require.Equal(t, domain.Usage{Unfinished: domain.Unfinished{Queued: 2, Running: 1, Paused: 1},
					SubmittedToday: 5}, u)
			}},
		{"folding changes no count",
			"Fold adds the changes that transactions have left to the totals; it changes no count", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				for range 3 {
					f.running(w)
				}
				f.must(cancel(f.submit()))
				f.must(report(f.running(w), w, domain.EventComplete, 1))
				f.submit(func(s *domain.Submission) { s.Type = "u" })
				before := f.counts(acme)
				for f.fold(2) > 0 {
					require.Equal(t, before, f.counts(acme))
				}
				require.Equal(t, before, f.counts(acme))
				f.submit()
				after := f.counts(acme)
				require.Equal(t, before.usage.Queued+1, after.usage.Queued, "a change is counted before it is folded")
			}},
		{"folds beside writers lose nothing",
			"Any number of callers may fold at once; each read equals a recount", func(t T, h StoreHarness) {
				f := given(t, h)
				f.noon()
				subs := make([]domain.Submission, 64)
				for i := range subs {
					subs[i] = f.submission(acme)
				}
				errs := race(len(subs), func(i int) error {
					s := h.Open()
					_, err := s.Workloads.Submit(t.Context(), subs[i:i+1])
					if err == nil && i%3 == 0 {
						_, err = s.Statistics.Fold(t.Context(), 5)
					}
					if err == nil && i%2 == 0 {
						w := domain.Workload{Spec: subs[i].Spec}
						_, err = s.Workloads.Apply(t.Context(), domain.Batch{Transitions: []domain.Transition{cancel(w)}})
					}
					return err
				})
				for _, err := range errs {
					require.NoError(t, err)
				}
				u, err := f.Statistics.Usage(t.Context(), acme)
				require.NoError(t, err)
				require.Equal(t, domain.Usage{Unfinished: domain.Unfinished{Queued: 32}, SubmittedToday: 64}, u)
				for f.fold(7) > 0 {
				}
				folded, err := f.Statistics.Usage(t.Context(), acme)
				require.NoError(t, err)
				require.Equal(t, u, folded)
			}},
		{"depth by type and tier, with the oldest wait",
			"Depth counts the customer's unfinished workloads by type, or those of all by tier and type",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				require.Empty(t, f.counts(acme).depth)
				f.running(w)
				first := f.submit()
				h.Advance(time.Minute)
				f.submit()
				f.submit(func(s *domain.Submission) { s.Type, s.Priority = "u", 500 })
				other := f.submit(func(s *domain.Submission) { s.CustomerID = rival })
				later := f.submit(func(s *domain.Submission) {
					s.CustomerID, s.Type, s.RunAt = rival, "v",
						first.CreatedAt.Add(time.Hour)
				})
				own := f.counts(acme).depth
				require.Equal(t, []domain.Depth{
					{Tier: domain.TierPremium, Type: "t", Unfinished: domain.Unfinished{Queued: 2, Running: 1}, Oldest: first.QueueAt},
					{Tier: domain.TierPremium, Type: "u", Unfinished: domain.Unfinished{Queued: 1}, Oldest: own[1].Oldest},
				}, own)
				require.Equal(t, []domain.Depth{
					{Tier: domain.TierPremium, Type: "t", Unfinished: domain.Unfinished{Queued: 1}, Oldest: other.QueueAt},
					{Tier: domain.TierPremium, Type: "v", Unfinished: domain.Unfinished{Queued: 1}},
				}, f.counts(rival).depth, "a workload that is not due has not begun to wait")
				all, err := f.Statistics.Depth(t.Context(), everyone)
				require.NoError(t, err)
				require.Equal(t, []domain.Depth{
					{Tier: domain.TierPremium, Type: "t", Unfinished: domain.Unfinished{Queued: 3, Running: 1}, Oldest: first.QueueAt},
					own[1],
					{Tier: domain.TierPremium, Type: "v", Unfinished: domain.Unfinished{Queued: 1}},
				}, all)
				h.Advance(2 * time.Hour)
				require.Equal(t, later.QueueAt, f.counts(rival).depth[1].Oldest, "a workload that has become due waits")
				_, err = f.Customers.Update(t.Context(), rival, domain.CustomerPatch{Tier: new(domain.TierFree)}, admin)
				require.NoError(t, err)
				all, err = f.Statistics.Depth(t.Context(), everyone)
				require.NoError(t, err)
				require.Equal(t, []domain.Depth{
					{Tier: domain.TierFree, Type: "t", Unfinished: domain.Unfinished{Queued: 1}, Oldest: other.QueueAt},
					{Tier: domain.TierFree, Type: "v", Unfinished: domain.Unfinished{Queued: 1}, Oldest: later.QueueAt},
					{Tier: domain.TierPremium, Type: "t", Unfinished: domain.Unfinished{Queued: 2, Running: 1}, Oldest: first.QueueAt},
					own[1],
				}, all, "a customer takes its workloads along to its new tier")
			}},
		{"the backlog by customer and lane",
			"Backlog counts what all customers have unfinished, and by lane what waits and what is delayed; a delayed " +
				"workload that has become due waits", func(t T, h StoreHarness) {
				f := given(t, h)
				read := func() domain.Backlog {
					b, err := f.Statistics.Backlog(t.Context())
					require.NoError(t, err)
					return b
				}
				require.Empty(t, read().Customers)
				require.Empty(t, read().Lanes)
				w := f.worker("w", 5)
				f.running(w)
				first := f.submit()
				h.Advance(time.Minute)
				f.submit()
				pinned := f.submit(func(s *domain.Submission) {
					s.Affinity = domain.Affinity{Hard: domain.AffinityTerms{WorkerTags: map[string]string{"gpu": "yes"}}}
					s.Run.Resources.Custom = map[string]int64{"licence": 1}
				})
				later := f.submit(func(s *domain.Submission) {
					s.CustomerID, s.RunAt = rival, first.CreatedAt.Add(time.Hour)
				})
				b := read()
				require.Equal(t, []domain.CustomerBacklog{
					{CustomerID: acme, Unfinished: domain.Unfinished{Queued: 3, Running: 1}},
					{CustomerID: rival, Unfinished: domain.Unfinished{Queued: 1}},
				}, b.Customers)
				plain, tagged := domain.NewLane(&first.Spec), domain.NewLane(&pinned.Spec)
				lanes := map[domain.LaneID]domain.LaneBacklog{}
				for _, l := range b.Lanes {
					lanes[l.Lane.ID] = l
				}
				require.Equal(t, map[domain.LaneID]domain.LaneBacklog{
					plain.ID:   {Lane: plain, Waiting: 2, Oldest: first.QueueAt},
					tagged.ID:  {Lane: tagged, Waiting: 1, Oldest: pinned.QueueAt},
					later.Lane: {Lane: domain.NewLane(&later.Spec), Delayed: 1},
				}, lanes)
				require.False(t, b.Now.Before(pinned.QueueAt))
				lanes[tagged.ID].Lane.Resources.Custom["licence"] = 9
				for _, l := range read().Lanes {
					require.NotEqual(t, int64(9), l.Lane.Resources.Custom["licence"], "the answer is the caller's own")
				}
				h.Advance(2 * time.Hour)
				for _, l := range read().Lanes {
					if l.Lane.ID == later.Lane {
						require.Equal(t, 1, l.Waiting, "it has become due")
						require.Zero(t, l.Delayed)
						require.Equal(t, later.QueueAt, l.Oldest)
					}
				}
				f.must(cancel(later))
				require.Len(t, read().Customers, 1)
				require.Len(t, read().Lanes, 2)
			}},
		{"statistics by day, hour and type",
			"Statistics returns what finished, counted at the hour of finishing in UTC; with All that of all customers",
			func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				f.noon()
				begin := domain.DayOf(f.now())
				h.Advance(30 * time.Minute)
				done := f.running(w)
				h.Advance(45 * time.Minute) // into the next hour
				f.must(report(done, w, domain.EventComplete, 1))
				failed := f.running(w)
				h.Advance(time.Minute)
				fail := report(failed, w, domain.EventFail, 1)
				fail.Failure.Permanent = true
				f.must(fail)
				f.must(cancel(f.submit(func(s *domain.Submission) { s.Type = "u" })))
				h.Advance(24 * time.Hour)
				f.must(cancel(f.submit()))
				f.must(cancel(f.submit(func(s *domain.Submission) { s.CustomerID = rival })))
				readOf := func(of domain.CustomerID, by domain.Grouping, from, until time.Time) []domain.Statistic {
					s, err := f.Statistics.Statistics(t.Context(), domain.StatisticsQuery{
						Whose: domain.Whose{Customer: of, Everyone: of == ""},
						From:  from, Until: until, GroupBy: by})
					require.NoError(t, err)
					return inMinutes(s)
				}
				read := func(by domain.Grouping, from, until time.Time) []domain.Statistic {
					return readOf(acme, by, from, until)
				}
				day, noon, hour := 24*time.Hour, begin.Add(12*time.Hour), time.Hour
				for range 2 { // before and after a fold
					require.Equal(t, []domain.Statistic{
						{At: begin, Activity: domain.Activity{Submitted: 3, Completed: 1, Failed: 1, Cancelled: 1,
							Executed: 46 * time.Minute}},
						{At: begin.Add(day), Activity: domain.Activity{Submitted: 1, Cancelled: 1}},
					}, read(domain.GroupByDay, begin, begin.Add(2*day)))
					require.Equal(t, []domain.Statistic{
						{At: noon, Activity: domain.Activity{Submitted: 1}},
						{At: noon.Add(hour), Activity: domain.Activity{Submitted: 2, Completed: 1, Failed: 1,
							Cancelled: 1, Executed: 46 * time.Minute}},
					}, read(domain.GroupByHour, begin, begin.Add(day)))
					require.Equal(t, []domain.Statistic{
						{Type: "t", Activity: domain.Activity{Submitted: 3, Completed: 1, Failed: 1, Cancelled: 1,
							Executed: 46 * time.Minute}},
						{Type: "u", Activity: domain.Activity{Submitted: 1, Cancelled: 1}},
					}, read(domain.GroupByType, begin, begin.Add(2*day)))
					require.Len(t, read(domain.GroupByHour, begin, noon.Add(hour)), 1, "the end is exclusive")
					require.Equal(t, []domain.Statistic{
						{Type: "t", Activity: domain.Activity{Submitted: 4, Completed: 1, Failed: 1, Cancelled: 2,
							Executed: 46 * time.Minute}},
						{Type: "u", Activity: domain.Activity{Submitted: 1, Cancelled: 1}},
					}, readOf("", domain.GroupByType, begin, begin.Add(2*day)), "those of all customers")
					for f.fold(100) > 0 {
					}
				}
			}},
		{"every run of a workload counts as execution",
			"Executed is how long all runs of the finished workloads ran", func(t T, h StoreHarness) {
				f := given(t, h)
				w := f.worker("w", 5)
				a := f.running(w)
				h.Advance(3 * time.Minute)
				f.must(lose(a, domain.LossMissing))
				h.Advance(time.Minute)
				a = f.get(a.ID)
				f.must(assign(a, w))
				h.Advance(time.Minute)
				f.must(report(a, w, domain.EventStart, 2))
				h.Advance(2 * time.Minute)
				require.Equal(t, 5*time.Minute, f.must(report(a, w, domain.EventComplete, 2)).Executed.Truncate(time.Minute))
				s, err := f.Statistics.Statistics(t.Context(), domain.StatisticsQuery{
					Whose: domain.Whose{Customer: acme}, From: domain.DayOf(a.CreatedAt),
					Until: domain.DayOf(a.CreatedAt).Add(48 * time.Hour), GroupBy: domain.GroupByType,
				})
				require.NoError(t, err)
				require.Equal(t, []domain.Statistic{{Type: "t", Activity: domain.Activity{Submitted: 1, Completed: 1,
					Executed: 5 * time.Minute}}}, inMinutes(s))
			}},
		{"what each run used is audited with its end, and counted once",
			"Used is what the runs used that ended, whether or not their workloads have finished", func(t T, h StoreHarness) {
				f := given(t, h)
				f.noon()
				w := f.worker("w", 5)
				a := f.running(w)
				ends := func(e domain.Event, generation int64, used domain.Consumption) {
					end := report(a, w, e, generation)
					end.Used = used
					f.must(end)
					require.Equal(t, domain.OutcomeAlready, f.apply(end)[0].Outcome)
				}
				ends(domain.EventFail, 1, domain.Consumption{CPUMS: 1500, PeakMemoryMB: 40})
				require.Equal(t, domain.Consumption{CPUMS: 1500, PeakMemoryMB: 40}, f.counts(acme).hours[0].Used)
				for f.fold(100) > 0 {
				}
				require.Equal(t, domain.Consumption{CPUMS: 1500, PeakMemoryMB: 40}, f.counts(acme).hours[0].Used)
				h.Advance(time.Hour) // past the retry's delay
				a = f.get(a.ID)
				f.must(assign(a, w))
				f.must(report(a, w, domain.EventStart, 2))
				ends(domain.EventComplete, 2, domain.Consumption{CPUMS: 20, PeakMemoryMB: 30})
				for range 2 {
					s, err := f.Statistics.Statistics(t.Context(), domain.StatisticsQuery{
						Whose: domain.Whose{Customer: acme}, From: domain.DayOf(a.CreatedAt),
						Until: domain.DayOf(a.CreatedAt).Add(48 * time.Hour), GroupBy: domain.GroupByDay,
					})
					require.NoError(t, err)
					require.Len(t, s, 1)
					require.Equal(t, domain.Consumption{CPUMS: 1520, PeakMemoryMB: 40}, s[0].Used)
					for f.fold(100) > 0 {
					}
				}
				trail, err := f.Audit.Workload(t.Context(), acme, a.ID, 0, 100)
				require.NoError(t, err)
				var used []domain.Consumption
				for _, e := range trail {
					if e.Used != (domain.Consumption{}) {
						used = append(used, e.Used)
					}
				}
				require.Equal(t, []domain.Consumption{{CPUMS: 1500, PeakMemoryMB: 40}, {CPUMS: 20, PeakMemoryMB: 30}}, used)
			}},
		{"a repeated end is counted once",
			"Submit and Apply keep the counts in their own transactions", func(t T, h StoreHarness) {
				f := given(t, h)
				f.noon()
				w := f.worker("w", 5)
				a := f.running(w)
				for range 3 {
					f.apply(report(a, w, domain.EventComplete, 1))
					f.apply(cancel(a))
				}
				c := f.counts(acme)
				require.Equal(t, domain.Usage{SubmittedToday: 1}, c.usage)
				require.Equal(t, 1, c.hours[0].Completed)
				require.Zero(t, c.hours[0].Cancelled)
			}},
		{"yesterday's submissions are not of today",
			"Usage counts the submissions since midnight UTC", func(t T, h StoreHarness) {
				f := given(t, h)
				f.noon()
				f.submit()
				h.Advance(12 * time.Hour)
				f.submit()
				for range 2 { // before and after a fold
					u, err := f.Statistics.Usage(t.Context(), acme)
					require.NoError(t, err)
					require.Equal(t, domain.Usage{Unfinished: domain.Unfinished{Queued: 2}, SubmittedToday: 1}, u)
					f.fold(100)
				}
			}},
	}
}

// noon moves the store's clock to noon, so that midnight does not pass during a case.
func (f *fixture) noon() {
	f.Helper()
	now := f.now()
	f.h.Advance(domain.DayOf(now).Add(36 * time.Hour).Sub(now))
}

// inMinutes cuts times of execution to whole minutes, because the clocks of some stores also run by
// themselves.
func inMinutes(s []domain.Statistic) []domain.Statistic {
	for i := range s {
		s[i].Executed = s[i].Executed.Truncate(time.Minute)
	}
	return s
}

// counted holds the counts of a customer.
type counted struct {
	usage domain.Usage
	depth []domain.Depth
	hours []domain.Statistic
}

// counts reads a customer's counts of the year until the day after now.
func (f *fixture) counts(customer domain.CustomerID) counted { return f.countsAt(customer, f.now()) }

func (f *fixture) countsAt(customer domain.CustomerID, now time.Time) (c counted) {
	f.Helper()
	var err error
	c.usage, err = f.Statistics.Usage(f.Context(), customer)
	require.NoError(f, err)
	c.depth, err = f.Statistics.Depth(f.Context(), domain.Whose{Customer: customer})
	require.NoError(f, err)
	c.hours, err = f.Statistics.Statistics(f.Context(), domain.StatisticsQuery{
		Whose: domain.Whose{Customer: customer},
		From:  domain.DayOf(now).Add(-365 * 24 * time.Hour), Until: domain.DayOf(now).Add(48 * time.Hour),
		GroupBy: domain.GroupByHour,
	})
	require.NoError(f, err)
	return c
}

// fold folds up to limit changes.
func (f *fixture) fold(limit int) int {
	f.Helper()
	n, err := f.Statistics.Fold(f.Context(), limit)
	require.NoError(f, err)
	return n
}

// recount counts a customer's workloads one by one. Its result must equal that of countsAt. heads
// are the first workloads of all lanes.
func recount(c domain.Customer, ws []domain.Workload, heads domain.QueueHeads, now time.Time) (out counted) {
	depth, hours := map[string]domain.Depth{}, map[time.Time]domain.Activity{}
	add := func(at time.Time, a domain.Activity) {
		h := hours[domain.HourOf(at)]
		h.Add(a)
		hours[domain.HourOf(at)] = h
	}
	for _, w := range ws {
		if w.CustomerID != c.ID {
			continue
		}
		if !w.CreatedAt.Before(domain.DayOf(now)) {
			out.usage.SubmittedToday++
		}
		add(w.CreatedAt, domain.Activity{Submitted: 1})
		u := domain.Unfinished{}
		switch w.Status {
		case domain.StatusPending, domain.StatusRedistributing:
			u.Queued = 1
		case domain.StatusScheduled, domain.StatusRunning:
			u.Running = 1
		case domain.StatusPaused:
			u.Paused = 1
		case domain.StatusCompleted:
			add(w.FinishedAt, domain.Activity{Completed: 1, Executed: w.Executed})
		case domain.StatusFailed:
			add(w.FinishedAt, domain.Activity{Failed: 1, Executed: w.Executed})
		case domain.StatusCancelled:
			add(w.FinishedAt, domain.Activity{Cancelled: 1, Executed: w.Executed})
		}
		if !w.Status.Final() {
			out.usage.Unfinished.Add(u)
			d := depth[w.Type]
			d.Add(domain.Depth{Unfinished: u})
			depth[w.Type] = d
		}
	}
	for _, l := range heads.Lanes {
		if l.Lane.CustomerID == c.ID {
			d := depth[l.Lane.Type]
			d.Add(domain.Depth{Oldest: l.Heads[0].QueueAt})
			depth[l.Lane.Type] = d
		}
	}
	for _, typ := range slices.Sorted(maps.Keys(depth)) {
		d := depth[typ]
		d.Tier, d.Type = c.Tier, typ
		out.depth = append(out.depth, d)
	}
	for _, at := range slices.SortedFunc(maps.Keys(hours), time.Time.Compare) {
		out.hours = append(out.hours, domain.Statistic{At: at, Activity: hours[at]})
	}
	return out
}
