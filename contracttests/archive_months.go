package contracttests

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// firstOfMonth lets time pass until the first hour of the next month.
func (f *fixture) firstOfMonth() (month time.Time) {
	f.Helper()
	now := f.now()
	month = domain.MonthOf(now).AddDate(0, 1, 0)
	f.h.Advance(month.Add(time.Minute).Sub(now))
	return month
}

// month returns the first month behind another one that is over and has archived workloads.
func (f *fixture) month(after time.Time) (time.Time, bool) {
	f.Helper()
	month, found, err := f.Retention.ArchivedMonth(f.Context(), after)
	require.NoError(f, err)
	return month, found
}

// in returns the ids of the workloads that were archived in a month, read page by page.
func (f *fixture) in(month time.Time, limit int) (ids []domain.WorkloadID) {
	f.Helper()
	for at := (ports.ArchivePlace{}); ; {
		page, err := f.Retention.ArchivedIn(f.Context(), month, at, limit)
		require.NoError(f, err)
		for _, w := range page {
			ids = append(ids, w.ID)
			at = ports.ArchivePlace{Customer: w.CustomerID, Workload: w.ID}
		}
		if len(page) < limit {
			return ids
		}
	}
}

// cancelled returns finished workloads of a customer.
func (f *fixture) cancelled(customer domain.CustomerID, n int) (ids []domain.WorkloadID) {
	f.Helper()
	for range n {
		rs, err := f.Workloads.Submit(f.Context(), []domain.Submission{f.submission(customer)})
		require.NoError(f, err)
		f.must(cancel(rs[0].Workload))
		ids = append(ids, rs[0].Workload.ID)
	}
	return ids
}

// archiveMonthCases are about the archive as it is read month by month.
func archiveMonthCases() []Case[StoreHarness] {
	return []Case[StoreHarness]{
		{"a month of the archive is told once it is over",
			"It reports false if there is none, or that month ended less than domain.ArchiveMargin ago",
			func(t T, h StoreHarness) {
				f := given(t, h)
				f.cancelled(acme, 1)
				_, found := f.month(time.Time{})
				require.False(t, found)
				h.Advance(keepWorkloads + day)
				first := f.firstOfMonth()
				require.Equal(t, 1, f.archive())
				_, found = f.month(time.Time{})
				require.False(t, found, "it is not over")
				f.cancelled(acme, 1)
				f.firstOfMonth()
				_, found = f.month(time.Time{})
				require.False(t, found, "a transaction may still be open")
				h.Advance(domain.ArchiveMargin)
				month, found := f.month(time.Time{})
				require.True(t, found)
				require.True(t, first.Equal(month), month)
				_, found = f.month(first)
				require.False(t, found)
				h.Advance(keepWorkloads) // months without archived workloads are between
				second := f.firstOfMonth()
				require.Equal(t, 1, f.archive())
				f.firstOfMonth()
				h.Advance(domain.ArchiveMargin)
				month, found = f.month(first)
				require.True(t, found)
				require.True(t, second.Equal(month), month)
				month, _ = f.month(time.Time{})
				require.True(t, first.Equal(month), month)
			}},
		{"the workloads of a month are read in order, page by page",
			"workloads that were archived in a month and are behind a place, ordered by customer and then by id",
			func(t T, h StoreHarness) {
				f := given(t, h)
				on := f.worker("w", 5)
				whole := f.finished(on, domain.EventComplete)
				theirs, ours := f.cancelled(rival, 3), append([]domain.WorkloadID{whole.ID}, f.cancelled(acme, 4)...)
				h.Advance(keepWorkloads + day)
				first := f.firstOfMonth()
				require.Equal(t, 8, f.archive())
				f.cancelled(acme, 1)
				h.Advance(keepWorkloads)
				second := f.firstOfMonth()
				require.Equal(t, 1, f.archive())
				for _, limit := range []int{1, 3, 8, 100} {
					require.Equal(t, append(append([]domain.WorkloadID{}, ours...), theirs...), f.in(first, limit), limit)
					require.Len(t, f.in(second, limit), 1)
					require.Empty(t, f.in(second.AddDate(0, 1, 0), limit))
				}
				page, err := f.Retention.ArchivedIn(t.Context(), first, ports.ArchivePlace{}, 1)
				require.NoError(t, err)
				require.Equal(t, f.archived(acme, whole.ID), page, "with all that a workload has")
				require.False(t, page[0].ArchivedAt.IsZero())
			}},
		{"a customer that is being deleted has no lines any more",
			"It leaves out those of customers that are being deleted", func(t T, h StoreHarness) {
				f := given(t, h)
				f.cancelled(acme, 2)
				theirs := f.cancelled(rival, 2)
				h.Advance(keepWorkloads + day)
				month := f.firstOfMonth()
				require.Equal(t, 4, f.archive())
				require.Len(t, f.in(month, 10), 4)
				_, err := f.Customers.Delete(t.Context(), acme, true, admin)
				require.NoError(t, err)
				require.Equal(t, theirs, f.in(month, 10))
			}},
		{"the archive keeps the months from one on", "archive: workloads, since they were archived, by month as audit " +
			"events, but none of p.Until or later", func(t T, h StoreHarness) {
			f := given(t, h)
			var months []time.Time
			for range 3 {
				f.cancelled(acme, 2)
				h.Advance(keepWorkloads + day)
				months = append(months, f.firstOfMonth())
				require.Equal(t, 2, f.archive())
			}
			h.Advance(2 * keepArchive)
			purge := func(until time.Time) {
				for range 10 {
					_, err := f.Retention.Purge(t.Context(), f.epoch, ports.Purge{
						What: domain.KeptArchive, Age: keepArchive, Limit: 100, Until: until,
					})
					require.NoError(t, err)
				}
			}
			left := func() string {
				return fmt.Sprint(len(f.in(months[0], 10)), len(f.in(months[1], 10)), len(f.in(months[2], 10)))
			}
			purge(months[0])
			require.Equal(t, "2 2 2", left())
			purge(months[2])
			require.Equal(t, "0 0 2", left())
			purge(time.Time{})
			require.Equal(t, "0 0 0", left())
		}},
	}
}
