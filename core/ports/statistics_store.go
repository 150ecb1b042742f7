package ports

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// StatisticsStore counts the workloads of the same storage as WorkloadStore. Submit and Apply keep
// the counts in their own transactions (domain.CountChange), so each read equals a recount of the
// workloads at one moment. What a read costs depends on neither how many workloads wait nor how
// many have finished.
type StatisticsStore interface {
	// Usage counts the customer's unfinished workloads, and its submissions of today. An unknown
	// customer uses nothing.
	Usage(ctx context.Context, customer domain.CustomerID) (domain.Usage, error)

	// Depth counts unfinished workloads by tier and type. Types of which there are none are left out. It
	// is ordered by tier and type.
	Depth(ctx context.Context, whose domain.Whose) ([]domain.Depth, error)

	// Recent returns what is unfinished now, and how that has changed since a minute that is within
	// domain.SeriesPeriod, by tier. Both are of the same moment. The order is any, and a minute and tier
	// may come more than once. Its cost grows with the minutes and with how many customers did something
	// in each.
	Recent(ctx context.Context, whose domain.Whose, since time.Time) (domain.Recent, error)

	// Backlog counts what all customers have unfinished, and by lane what waits and what is delayed,
	// each up to domain.BacklogLimit. A delayed workload that has become due waits. Its cost does not
	// depend on how many more there are in a lane. Its parts may be of different moments.
	Backlog(ctx context.Context) (domain.Backlog, error)

	// Statistics returns what finished in the hours from q.From until q.Until, exclusively, grouped
	// and ordered as q.GroupBy says. Groups in which nothing finished and nothing was submitted are
	// left out. With q.Everyone the cost grows with the number of customers that did something in these
	// hours.
	Statistics(ctx context.Context, q domain.StatisticsQuery) ([]domain.Statistic, error)

	// Mix returns what was submitted within domain.MixPeriod, in whole hours, and asks for devices:
	// the classes of equal resources with the most submissions, at most domain.MixLimit, those with the
	// most first, ties by the resources' JSON. Custom resources make no class of their own, and Fold
	// forgets what exceeds domain.MixHourLimit classes of one hour.
	Mix(ctx context.Context) ([]domain.MixClass, error)

	// Fold adds up to limit of the changes that transactions have left to the totals, and returns
	// how many. It changes no count but that of a mix with too many classes. Any number of callers may fold at once.
	Fold(ctx context.Context, limit int) (int, error)
}
