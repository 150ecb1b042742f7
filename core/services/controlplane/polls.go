package controlplane

import (
	"context"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// storeReadInterval is how often a waiting poll reads the store. It finds assignments whose hint
// was lost or whose bus is disconnected.
const storeReadInterval = 500 * time.Millisecond

// storeReadTimeout bounds such a read. All polls wait for it, so a connection that died silently must
// not hold it for long.
const storeReadTimeout = 2 * time.Second

// untilStoreRead returns the time until waiting polls read the store the next time. All polls read it
// together, at multiples of storeReadInterval, so that one query serves them all.
func (s *Service) untilStoreRead() time.Duration {
	now := s.deps.Clock.Now()
	return now.Truncate(storeReadInterval).Add(storeReadInterval).Sub(now)
}

// Poll implements ports.ControlPlane.
func (s *Service) Poll(ctx context.Context, ref ports.SessionRef, wait time.Duration) ([]ports.Command, error) {
	for left := wait; ; {
		// Check in every round: the session may have ended meanwhile, and the poll must end with
		// it.
		if err := s.requireLive(ctx, ref); err != nil {
			if domain.IsCode(err, domain.CodeFenced) {
				s.mailboxes.drop(ref)
			}
			return nil, err
		}
		box, opened, err := s.mailboxes.of(ctx, ref)
		if err != nil {
			return nil, err
		}
		var round time.Duration
		if !opened {
			round = min(left, s.untilStoreRead())
		}
		commands, err := box.take(ctx, round)
		if err == nil {
			commands, err = s.withAssignments(ctx, ref, box, commands)
		}
		left -= round
		if err != nil || len(commands) > 0 || left <= 0 && !opened {
			return commands, err
		}
		if commands, err = s.unheard(ctx, ref, opened); err != nil || len(commands) > 0 || left <= 0 {
			return commands, err
		}
	}
}

// The assignments in one answer, in bytes of what their customers wrote: customers choose how much
// that is, and an answer must be made and read in time, of a heartbeat before its lease is over.
const (
	pollBudget = 8 << 20
	beatBudget = 256 << 10
)

// firstRead is how many assignments are read at first, mostRead at most: an input may have a MiB.
const firstRead, mostRead = 32, 128

// withAssignments reads the assignments of commands that came without. Those that the session must
// no longer start are left out. Those that are too many for one answer go back into the mailbox.
func (s *Service) withAssignments(
	ctx context.Context, ref ports.SessionRef, box *mailbox, commands []ports.Command,
) ([]ports.Command, error) {
	var bare []domain.WorkloadID
	rest := make([]ports.Command, 0, len(commands))
	for _, c := range commands {
		if c.Kind == ports.CommandAssign && c.Assignment == nil {
			bare = append(bare, c.WorkloadID)
		} else {
			rest = append(rest, c)
		}
	}
	if len(bare) == 0 {
		return commands, nil
	}
	found, left, err := s.assignments(ctx, ref, bare, pollBudget)
	found, left = atLeastOne(found, left)
	for _, c := range left {
		box.put(c)
	}
	return append(rest, found...), err
}

// unheard returns the assignments that the session should have received by now, as many as one
// answer may have. With all, it returns also those whose commands are still under way.
func (s *Service) unheard(ctx context.Context, ref ports.SessionRef, all bool) ([]ports.Command, error) {
	ids, err := s.unstarted.Do(ctx, unstartedQuery{ref.SessionID, all})
	if err != nil {
		return nil, err
	}
	found, left, err := s.assignments(ctx, ref, ids[0], pollBudget)
	found, _ = atLeastOne(found, left)
	return found, err
}

// atLeastOne moves the first command that is left to those that were found, if there are none: it
// goes alone, whatever its size.
func atLeastOne(found, left []ports.Command) (_, _ []ports.Command) {
	if len(found) == 0 && len(left) > 0 && left[0].Assignment != nil {
		return left[:1], left[1:]
	}
	return found, left
}

// assignments returns the commands to run the given workloads, without those that the session must
// no longer start: as many as fit the budget. The others are left, those that were not read without
// their assignments.
func (s *Service) assignments(
	ctx context.Context, ref ports.SessionRef, ids []domain.WorkloadID, budget int,
) (commands, left []ports.Command, err error) {
	for n := firstRead; len(ids) > 0; n = min(4*n, mostRead) {
		if len(left) > 0 {
			for _, id := range ids {
				left = append(left, ports.Command{Kind: ports.CommandAssign, SessionID: ref.SessionID, WorkloadID: id})
			}
			return commands, left, nil
		}
		chunk := ids[:min(n, len(ids))]
		ids = ids[len(chunk):]
		found, err := s.deps.Workloads.GetAny(ctx, chunk...)
		if err != nil {
			return nil, nil, err
		}
		for i := range found {
			w := &found[i]
			if w.Status != domain.StatusScheduled || w.SessionID != ref.SessionID {
				continue
			}
			c := ports.AssignCommand(w)
			if size := c.Assignment.Size(); size > budget {
				left = append(left, c)
			} else {
				commands, budget = append(commands, c), budget-size
			}
		}
	}
	return commands, left, nil
}

// requireLive returns CodeFenced unless the session is its worker's current one and not DEAD.
func (s *Service) requireLive(ctx context.Context, ref ports.SessionRef) error {
	if err := ref.Validate(); err != nil {
		return err
	}
	live, err := s.live.Do(ctx, ref)
	if err == nil && !live[0] {
		err = sessionError(ref, domain.SessionOver)
	}
	return err
}

// liveSessions reports for each session whether it is its worker's current one and not DEAD.
func (s *Service) liveSessions(ctx context.Context, refs []ports.SessionRef) ([]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, storeReadTimeout)
	defer cancel()
	ids := make([]domain.WorkerID, len(refs))
	for i := range refs {
		ids[i] = refs[i].WorkerID
	}
	found, err := s.deps.Workers.List(ctx, ids...)
	if err != nil {
		return nil, err
	}
	workers := make(map[domain.WorkerID]*domain.Worker, len(found))
	for i := range found {
		workers[found[i].ID] = &found[i]
	}
	live := make([]bool, len(refs))
	for i := range refs {
		w := workers[refs[i].WorkerID]
		live[i] = w != nil && w.Holds(refs[i].SessionID)
	}
	return live, nil
}

// unstartedQuery asks for what a session should have received by now, and has not started. With all, it
// asks also for what has just been assigned.
type unstartedQuery struct {
	session domain.SessionID
	all     bool
}

// unstartedOf answers the queries with one read. A command that arrives twice does no harm.
func (s *Service) unstartedOf(ctx context.Context, qs []unstartedQuery) ([][]domain.WorkloadID, error) {
	ctx, cancel := context.WithTimeout(ctx, storeReadTimeout)
	defer cancel()
	least := storeReadInterval / 2
	if slices.ContainsFunc(qs, func(q unstartedQuery) bool { return q.all }) {
		least = -storeReadInterval // also what is assigned at this moment
	}
	bySession := make(map[domain.SessionID][]domain.WorkloadID, len(qs))
	for after, more := domain.WorkloadID(""), true; more; {
		found, err := s.deps.Queue.Unstarted(ctx, least, after, pollBatch)
		if err != nil {
			return nil, err
		}
		for i := range found {
			after = found[i].WorkloadID
			bySession[found[i].SessionID] = append(bySession[found[i].SessionID], after)
		}
		more = len(found) == pollBatch
	}
	unstarted := make([][]domain.WorkloadID, len(qs))
	for i, q := range qs {
		unstarted[i] = bySession[q.session]
	}
	return unstarted, nil
}
