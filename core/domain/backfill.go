package domain

import "time"

// Work with devices may pass a reservation if it ends before the reservation is due (see
// placement/reserve.go). The times here are what that is judged by.

// StartAllowance is how much later than its assignment a run starts at the latest. An assignment that
// no worker takes is taken back after a lease, which is shorter.
const StartAllowance = time.Minute

// EndsBy returns when a run that is assigned at a time ends at the latest. It is zero without a
// timeout.
func EndsBy(assigned time.Time, timeout time.Duration) time.Time {
	if timeout <= 0 {
		return time.Time{}
	}
	return assigned.Add(StartAllowance + timeout)
}

// EndsBy returns when the run of a held workload ends at the latest. It is zero without a timeout.
func (w *Workload) EndsBy() time.Time {
	if w.Status == StatusRunning {
		return w.Deadline
	}
	return EndsBy(w.ScheduledAt, w.Run.Timeout)
}

// ExpectedEnd returns when a run that was assigned at since is expected to end: at the latest by its
// timeout. Without one (endsBy is zero) it is expected to last as long again as it has lasted.
func ExpectedEnd(endsBy, since, now time.Time) time.Time {
	if endsBy.IsZero() {
		return now.Add(now.Sub(since))
	}
	return endsBy
}

// HeadTimeout returns the Timeout of the workload as a Candidate. It is 0 for work that reserves
// nothing and has no rules, so that most rows of the queue need not store it.
func (w *Workload) HeadTimeout() time.Duration {
	if !w.Lane.Shaped() {
		return 0
	}
	return w.Run.Timeout
}
