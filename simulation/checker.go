package simulation

import (
	"context"
	"fmt"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// checker watches what is really committed, and keeps the invariants.
type checker struct {
	w        *World
	state    map[domain.WorkloadID]domain.State
	audited  map[domain.WorkloadID]int
	outcomes map[domain.WorkloadID]int
	keys     map[string]domain.WorkloadID
	expired  map[heldRun]bool
	epoch    int64
	broken   []string
}

func newChecker(w *World) *checker {
	return &checker{
		w: w, state: map[domain.WorkloadID]domain.State{}, audited: map[domain.WorkloadID]int{}, outcomes: map[domain.WorkloadID]int{},
		keys: map[string]domain.WorkloadID{}, expired: map[heldRun]bool{},
	}
}

func (c *checker) fail(invariant, format string, args ...any) {
	c.broken = append(c.broken, invariant+": "+fmt.Sprintf(format, args...))
}

// submitted hears of a committed batch of submissions.
func (c *checker) submitted(batch []domain.Submission, rs []ports.SubmitResult) {
	for i, r := range rs {
		if key := batch[i].IdempotencyKey; key != "" && (r.Status == ports.SubmitAccepted || r.Status == ports.SubmitDuplicate) {
			if first, seen := c.keys[key]; seen && first != r.Workload.ID {
				c.fail("I8", "key %s made %s and %s", key, first, r.Workload.ID)
			}
			c.keys[key] = r.Workload.ID
		}
		if r.Status == ports.SubmitAccepted {
			c.state[r.Workload.ID] = r.Workload.State
			c.audited[r.Workload.ID] = 1
		}
	}
}

// applied hears of a committed batch of transitions.
func (c *checker) applied(b domain.Batch, rs []domain.Result) {
	if b.Epoch > 0 {
		if b.Epoch < c.epoch {
			c.fail("I2", "a batch of epoch %d after one of %d", b.Epoch, c.epoch)
		}
		c.epoch = b.Epoch
	}
	for i := range rs {
		if rs[i].Outcome == domain.OutcomeApplied {
			c.transition(&b.Transitions[i], &rs[i])
		}
	}
}

func (c *checker) transition(t *domain.Transition, r *domain.Result) {
	before, next := c.state[t.WorkloadID], r.State
	c.w.note("%s %s %s->%s g%d %s", t.WorkloadID[len(t.WorkloadID)-4:], t.Event, r.From, next.Status, next.Generation, next.WorkerID)
	if t.Event == domain.EventLog {
		return
	}
	c.state[t.WorkloadID] = next
	c.audited[t.WorkloadID]++
	rule, _ := domain.RuleFor(t.Event)
	switch {
	case before.Status.Final():
		c.fail("I4", "%s was %s, then %s", t.WorkloadID, before.Status, t.Event)
	case !slices.Contains(rule.From, before.Status) || !slices.Contains(rule.To, next.Status):
		c.fail("I4", "%s: %s from %s to %s", t.WorkloadID, t.Event, before.Status, next.Status)
	case next.Generation < before.Generation:
		c.fail("I2", "%s: generation %d after %d", t.WorkloadID, next.Generation, before.Generation)
	case rule.Source == domain.FromWorker && t.Generation != before.Generation:
		c.fail("I1", "%s: %s of generation %d landed at %d", t.WorkloadID, t.Event, t.Generation, before.Generation)
	case rule.Source == domain.FromWorker && t.SessionID != before.SessionID:
		c.fail("I1", "%s: %s of session %s landed while %s held it", t.WorkloadID, t.Event, t.SessionID, before.SessionID)
	case before.PauseRequested && next.Status.Waiting():
		c.fail("rule 5", "%s: a pause was asked for, %s made it %s", t.WorkloadID, t.Event, next.Status)
	case next.Status.Held() != (next.SessionID != ""):
		c.fail("I5", "%s is %s with session %q", t.WorkloadID, next.Status, next.SessionID)
	case next.CheckpointSequence < before.CheckpointSequence || next.CheckpointSequence > before.CheckpointSequence+1:
		c.fail("I9", "%s: checkpoint %d after %d", t.WorkloadID, next.CheckpointSequence, before.CheckpointSequence)
	case next.RetryCount > min(c.w.failsOf(t.WorkloadID), maxRetries):
		c.fail("I10", "%s was retried %d times for faults that are not its own: %s", t.WorkloadID, next.RetryCount, next.Reason)
	case next.RetryCount > maxRetries || next.RedistributionCount > domain.MaxRedistributions+1:
		c.fail("I10", "%s: %d retries, %d redistributions", t.WorkloadID, next.RetryCount, next.RedistributionCount)
	}
	if next.Status.Final() {
		if c.outcomes[t.WorkloadID]++; c.outcomes[t.WorkloadID] > 1 {
			c.fail("I1", "%s ended twice", t.WorkloadID)
		}
	}
	switch t.Event {
	case domain.EventAssign:
		c.assigned(t)
	case domain.EventLose:
		if t.Loss == domain.LossExpired {
			c.expired[heldRun{t.WorkloadID, before.Generation}] = true
		}
	default:
	}
}

// heldRun is a workload at a generation.
type heldRun struct {
	id         domain.WorkloadID
	generation int64
}

// effect hears that a run does something, which it must not once its worker's lease was over: the worker stops its runs before
// anyone else may start them.
func (c *checker) effect(id domain.WorkloadID, generation int64) {
	if c.expired[heldRun{id, generation}] {
		c.fail("fence", "%s works at generation %d though its worker's lease expired", id, generation)
	}
}

// assigned checks limits and affinity at the moment of an assignment.
func (c *checker) assigned(t *domain.Transition) {
	running, onSession := 0, 0
	for _, s := range c.state {
		if s.Status.Held() {
			running++
			if s.SessionID == t.SessionID {
				onSession++
			}
		}
	}
	if running > c.w.limit {
		c.fail("I6", "%d run, the limit is %d", running, c.w.limit)
	}
	if onSession > slots {
		c.fail("I6", "%d on a worker of %d slots", onSession, slots)
	}
	if tag := c.w.wants[t.WorkloadID]; tag != "" && c.w.tagOf(t.WorkerID) != tag {
		c.fail("I13", "%s wants %s and got worker %s", t.WorkloadID, tag, t.WorkerID)
	}
}

// restored hears from which checkpoint a run continues.
func (c *checker) restored(id domain.WorkloadID, generation int64, step int) {
	if s := c.state[id]; s.Generation == generation && s.Status.Held() && int64(step) != s.CheckpointSequence {
		c.fail("I9", "%s at generation %d continues from step %d, its newest checkpoint is %d", id, generation, step, s.CheckpointSequence)
	}
}

// contents compares what is stored with what was committed.
func (c *checker) contents() {
	ctx := context.Background()
	for _, id := range c.w.acknowledged {
		found, err := c.w.store.Workloads().Get(ctx, "", id)
		if err != nil || len(found) == 0 {
			c.fail("I3", "%s is gone: %v", id, err)
			continue
		}
		if found[0].Status != c.state[id].Status || found[0].Generation != c.state[id].Generation {
			c.fail("I4", "%s is %s g%d, committed was %s g%d", id, found[0].Status, found[0].Generation, c.state[id].Status, c.state[id].Generation)
		}
		trail, err := c.w.store.Audit().Workload(ctx, tenant, id, 0, 10_000)
		if err != nil || len(trail) != c.audited[id] {
			c.fail("I7", "%s has %d audit events for %d transitions", id, len(trail), c.audited[id])
		}
		last := domain.Status("")
		for _, e := range trail {
			if e.From != last {
				c.fail("I7", "%s: %s from %s follows %s", id, e.Type, e.From, last)
			}
			last = e.To
		}
	}
}
