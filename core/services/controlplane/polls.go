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
			commands, err = s.withAssignments(ctx, ref, commands)
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

// withAssignments reads the assignments of commands that came without. Those that the session must
// no longer start are left out.
func (s *Service) withAssignments(
	ctx context.Context, ref ports.SessionRef, commands []ports.Command,
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
	found, err := s.assignments(ctx, ref, bare)
	return append(rest, found...), err
}

// unheard returns the assignments that the session should have received by now. With all, it returns
// also those whose commands are still under way.
func (s *Service) unheard(ctx context.Context, ref ports.SessionRef, all bool) ([]ports.Command, error) {
	ids, err := s.unstarted.Do(ctx, unstartedQuery{ref.SessionID, all})
	if err != nil {
		return nil, err
	}
	return s.assignments(ctx, ref, ids[0])
}

// assignments returns the commands to run the given workloads, without those that the session must
// no longer start.
func (s *Service) assignments(
	ctx context.Context, ref ports.SessionRef, ids []domain.WorkloadID,
) ([]ports.Command, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	found, err := s.deps.Workloads.GetAny(ctx, ids...)
	if err != nil {
		return nil, err
	}
	var commands []ports.Command
	for i := range found {
		if w := &found[i]; w.Status == domain.StatusScheduled && w.SessionID == ref.SessionID {
			commands = append(commands, ports.AssignCommand(w))
		}
	}
	return commands, nil
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
