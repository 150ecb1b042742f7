package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/niyanta/niyanta/contracttests/invariants"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// checker sees every commit, and collects the violations of the invariants.
type checker struct {
	w         *World
	state     map[domain.WorkloadID]domain.State
	admitted  []domain.WorkloadID         // in the order of their commits
	audited   map[domain.WorkloadID]int   // the number of audit events that there must be
	outcomes  map[domain.WorkloadID]int   // how often a workload became final
	inherited map[domain.WorkloadID]int64 // steps done by the workload of which this one is a retry
	keys      map[string]domain.WorkloadID
	expired   map[domain.RunID]bool             // runs whose session has ended
	skipped   map[domain.WorkloadID]int64       // the checkpoint that could not be read last
	deaths    map[domain.WorkloadID]int         // deaths of a workload's workers
	ending    map[domain.RunID]domain.Ending    // runs that have ended and still occupy their slots
	offers    map[domain.SessionID]domain.Offer // what the workers have stated
	reserves  map[domain.WorkloadID]domain.Resources
	stopped   map[domain.WorkloadID]stop // acknowledged cancels
	removed   map[domain.WorkloadID]bool // by deletions
	leader    string                     // the last leader
	epoch     int64                      // its epoch
	broken    []string
}

func newChecker(w *World) *checker {
	return &checker{
		w: w, state: map[domain.WorkloadID]domain.State{}, audited: map[domain.WorkloadID]int{},
		outcomes: map[domain.WorkloadID]int{}, inherited: map[domain.WorkloadID]int64{},
		keys: map[string]domain.WorkloadID{}, expired: map[domain.RunID]bool{},
		offers: map[domain.SessionID]domain.Offer{}, reserves: map[domain.WorkloadID]domain.Resources{},
		ending: map[domain.RunID]domain.Ending{}, deaths: map[domain.WorkloadID]int{},
		skipped: map[domain.WorkloadID]int64{},
		stopped: map[domain.WorkloadID]stop{}, removed: map[domain.WorkloadID]bool{},
	}
}

// fail records a violation.
func (c *checker) fail(invariant, format string, args ...any) {
	c.broken = append(c.broken, invariant+": "+fmt.Sprintf(format, args...))
}

// submitted checks a committed batch of submissions.
func (c *checker) submitted(batch []domain.Submission, rs []ports.SubmitResult) {
	for i, r := range rs {
		if key := batch[i].IdempotencyKey; key != "" &&
			(r.Status == domain.Admitted || r.Status == domain.AdmittedBefore) {
			key = string(batch[i].CustomerID) + " " + key
			if first, seen := c.keys[key]; seen && first != r.Workload.ID {
				c.fail("I8", "key %s made %s and %s", key, first, r.Workload.ID)
			}
			c.keys[key] = r.Workload.ID
		}
		if r.Status == domain.Admitted {
			a := c.w.account(batch[i].CustomerID)
			if a.deleting {
				c.fail("I16", "%s was admitted for %s, which is being deleted", r.Workload.ID, a.id)
			}
			c.w.own(r.Workload.ID, a)
			c.state[r.Workload.ID] = r.Workload.State
			c.reserves[r.Workload.ID] = batch[i].Run.Resources
			c.admitted = append(c.admitted, r.Workload.ID)
			c.audited[r.Workload.ID] = 1
			if of := r.Workload.RetryOf; r.Workload.CheckpointSequence > 0 {
				c.inherited[r.Workload.ID] = c.inherited[of] + c.state[of].CheckpointSequence - r.Workload.CheckpointSequence
			}
		}
	}
}

// applied checks a committed batch of transitions.
func (c *checker) applied(b domain.Batch, rs []domain.Result) {
	if b.Epoch > 0 {
		if b.Epoch < c.epoch {
			c.fail("I2", "a batch of epoch %d was committed though the leader's epoch is %d", b.Epoch, c.epoch)
		}
	}
	for i := range rs {
		c.trackEnding(&rs[i])
		if e := b.Transitions[i].Event; e == domain.EventLinger || e == domain.EventLetGo {
			continue // these change an ending run, not the workload
		}
		if rs[i].Outcome == domain.OutcomeApplied {
			c.transition(&b.Transitions[i], &rs[i])
		}
	}
}

// trackEnding updates the set of ending runs.
func (c *checker) trackEnding(r *domain.Result) {
	switch r.Hands {
	case domain.HandsKeep:
		e := r.Ending
		if s := c.state[e.WorkloadID]; s.Status.Held() && s.Generation == e.Generation {
			e.Devices = s.Devices // what it held until now
		}
		if k := e.Run(); c.ending[k].SessionID != e.SessionID {
			c.ending[k] = e
		}
	case domain.HandsFree:
		if k := r.Ending.Run(); c.ending[k].SessionID == r.Ending.SessionID {
			delete(c.ending, k)
		}
	case domain.HandsSame:
	}
}

// elected checks a grant of the leader lease.
func (c *checker) elected(holder string, epoch int64) {
	if holder != c.leader && epoch <= c.epoch {
		c.fail("I2", "%s leads at epoch %d, %s led at %d before", holder, epoch, c.leader, c.epoch)
	}
	c.leader, c.epoch = holder, epoch
}

// transition checks an applied transition.
func (c *checker) transition(t *domain.Transition, r *domain.Result) {
	before, next, owner := c.state[t.WorkloadID], r.State, c.w.owners[t.WorkloadID]
	c.w.note("%s %s %s->%s g%d %s", t.WorkloadID[len(t.WorkloadID)-4:], t.Event, r.From, next.Status,
		next.Generation, next.WorkerID)
	if owner.gone {
		c.fail("I16", "%s was applied to %s of %s, which is gone", t.Event, t.WorkloadID, owner.id)
	}
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
		c.fail("I1", "%s: %s of generation %d was applied at generation %d", t.WorkloadID, t.Event, t.Generation,
			before.Generation)
	case rule.Source == domain.FromWorker && t.SessionID != before.SessionID:
		c.fail("I1", "%s: %s of session %s was applied while session %s held the workload", t.WorkloadID, t.Event,
			t.SessionID, before.SessionID)
	case before.PauseRequested && next.Status.Waiting():
		c.fail("rule 5", "%s: a pause was requested, but %s made it %s", t.WorkloadID, t.Event, next.Status)
	case t.Event == domain.EventRelease && t.Reason == preempted &&
		(before.CheckpointSequence == 0 || next.Status == domain.StatusRedistributing &&
			!c.w.Now().Before(next.NotBefore)):
		c.fail("preemption", "%s was released without a checkpoint or without a backoff: %+v", t.WorkloadID, next)
	case t.Event == domain.EventAssign && c.w.Now().Before(before.NotBefore):
		c.fail("I10", "%s is assigned before %s", t.WorkloadID, before.NotBefore)
	case next.Status.Held() != (next.SessionID != ""):
		c.fail("I5", "%s is %s with session %q", t.WorkloadID, next.Status, next.SessionID)
	case !next.Status.Held() && len(next.Devices) > 0:
		c.fail("I13", "%s is %s and holds %v", t.WorkloadID, next.Status, next.Devices)
	case next.CheckpointSequence < before.CheckpointSequence || next.CheckpointSequence > before.CheckpointSequence+1:
		c.fail("I9", "%s: checkpoint %d after %d", t.WorkloadID, next.CheckpointSequence, before.CheckpointSequence)
	case next.RetryCount > c.w.inputOf(t.WorkloadID).failures():
		c.fail("I10", "%s has %d retries, more than its own failures: %s", t.WorkloadID, next.RetryCount, next.Reason)
	case next.RetryCount > maxRetries || next.RedistributionCount > domain.MaxRedistributions+1:
		c.fail("I10", "%s: %d retries, %d redistributions", t.WorkloadID, next.RetryCount, next.RedistributionCount)
	}
	if t.Event == domain.EventSkipCheckpoint {
		c.skips(t, before.CheckpointSequence)
	}
	if t.Event == domain.EventLose && (t.Loss == domain.LossDied || t.Loss == domain.LossExpired && !t.Excused) {
		c.deaths[t.WorkloadID]++
	}
	if f := next.Failure; next.Status == domain.StatusFailed && f != nil && f.Type == domain.FailurePoison &&
		c.deaths[t.WorkloadID] < domain.MaxLossStreak {
		c.fail("rule 7", "%s is quarantined after %d deaths", t.WorkloadID, c.deaths[t.WorkloadID])
	}
	if next.Status.Final() {
		if c.outcomes[t.WorkloadID]++; c.outcomes[t.WorkloadID] > 1 {
			c.fail("I1", "%s ended twice", t.WorkloadID)
		}
	}
	switch t.Event {
	case domain.EventAssign:
		if owner.deleting {
			c.fail("I16", "%s is placed though %s is being deleted", t.WorkloadID, owner.id)
		}
		c.assigned(t)
	case domain.EventCancel:
		if owner.deleting {
			c.cancelled(t.WorkloadID)
		}
	case domain.EventLose:
		if t.Loss == domain.LossExpired || t.Loss == domain.LossDied || t.Loss == domain.LossLeft {
			c.expired[domain.RunID{WorkloadID: t.WorkloadID, Generation: before.Generation}] = true
		}
	default:
	}
}

// stop is an acknowledged cancel.
type stop struct {
	at     time.Time
	healed bool // it was after the last fault
}

// cancelled records that a cancel was acknowledged.
func (c *checker) cancelled(id domain.WorkloadID) {
	if _, before := c.stopped[id]; !before {
		c.stopped[id] = stop{c.w.Now(), c.w.healed}
	}
}

// stopTimeout is how long a cancelled workload may run on when there are no faults. The cancel
// command may not arrive, but the answer to the next heartbeat stops the run.
const stopTimeout = beat + 2*time.Second

// effect checks that a run may have an effect now. It may not after its session has ended: a worker
// must stop its runs before another worker may start them. It may not long after a cancel was
// acknowledged either (I11).
func (c *checker) effect(run domain.RunID) {
	id := run.WorkloadID
	if c.expired[run] {
		c.fail("fence", "%s works at generation %d though its session had ended", id, run.Generation)
	}
	if s, ok := c.stopped[id]; ok {
		// A worker that gets no answers for one lease stops its runs by itself. One that gets some
		// of the answers may need longer.
		limit := 3 * lease
		if s.healed {
			limit = stopTimeout
		}
		if late := c.w.Now().Sub(s.at); late > limit {
			c.fail("I11", "%s works %s after its cancel was acknowledged", id, late)
		}
	}
}

// registered records what a worker has stated.
func (c *checker) registered(r domain.Registration) { c.offers[r.SessionID] = r.Resources }

// assigned checks limits, affinity and resources at the moment of an assignment.
func (c *checker) assigned(t *domain.Transition) {
	c.assignedResources(t)
	running, onSession, suspects := 0, 0, 0
	alone, owner := c.w.runsAlone(t.WorkloadID), c.w.owners[t.WorkloadID]
	for id, s := range c.state {
		if !s.Status.Held() {
			continue
		}
		same := c.w.owners[id] == owner
		if same {
			running++
		}
		if s.SessionID != t.SessionID {
			continue
		}
		onSession++
		if s.SuspectUntil().After(c.w.Now()) {
			suspects++
		}
		if same && id != t.WorkloadID && (alone || c.w.runsAlone(id)) {
			c.fail("I13", "%s is placed beside %s, but one of them must run alone", t.WorkloadID, id)
		}
	}
	for run, e := range c.ending {
		if e.SessionID != t.SessionID {
			continue
		}
		onSession++
		if c.w.owners[run.WorkloadID] == owner && (alone || c.w.runsAlone(run.WorkloadID)) {
			c.fail("I13", "%s is placed beside %s, which is ending; one of them must run alone",
				t.WorkloadID, run.WorkloadID)
		}
	}
	if s := c.state[t.WorkloadID]; suspects > 1 && s.Suspect() &&
		c.w.Now().Sub(s.SuspectSince) < domain.SuspectPatience {
		c.fail("rule 7", "%s is placed beside another suspect after %s", t.WorkloadID, c.w.Now().Sub(s.SuspectSince))
	}
	if running > owner.limit {
		c.fail("I6", "%d run of %s, the limit is %d", running, owner.id, owner.limit)
	}
	if onSession > slots {
		c.fail("I6", "%d runs on a worker of %d slots", onSession, slots)
	}
	if tag := c.w.requiredTag[t.WorkloadID]; tag != "" && c.w.tagOf(t.WorkerID) != tag {
		c.fail("I13", "%s requires tag %s and is assigned to worker %s", t.WorkloadID, tag, t.WorkerID)
	}
}

// runsOn checks that a worker has no more runs than slots.
func (c *checker) runsOn(id domain.WorkerID, runs int) {
	if runs > slots {
		c.fail("I6", "%s has %d runs, and %d slots", id, runs, slots)
	}
}

// skips notes that a run continues from an older checkpoint than the newest, so it has done less than
// the number of the newest says. Only a damaged one may be skipped.
func (c *checker) skips(t *domain.Transition, newest int64) {
	if c.w.damaged[t.WorkloadID] != newest {
		c.fail("I9", "checkpoint %d of %s was skipped, and is sound", newest, t.WorkloadID)
	}
	if c.skipped[t.WorkloadID] != newest {
		c.skipped[t.WorkloadID] = newest
		c.inherited[t.WorkloadID] += t.CheckpointSequence - newest
	}
}

// restored checks that a run continues from the newest checkpoint (I9).
func (c *checker) restored(run domain.RunID, step int) {
	if s := c.state[run.WorkloadID]; s.Generation == run.Generation && s.Status.Held() &&
		int64(step) != c.inherited[run.WorkloadID]+s.CheckpointSequence {
		c.fail("I9", "%s at generation %d continues from step %d; its newest checkpoint is %d, after %d inherited steps",
			run.WorkloadID, run.Generation, step, s.CheckpointSequence, c.inherited[run.WorkloadID])
	}
}

// counts compares the stored counts of a customer with a recount of its workloads (I15). A deletion
// removes finished workloads, whose counts go with the customer.
func (c *checker) counts(ctx context.Context, a *account) {
	now := c.w.Now()
	q := domain.StatisticsQuery{
		Whose: domain.Whose{Customer: a.id},
		From:  domain.DayOf(now).Add(-48 * time.Hour), Until: domain.DayOf(now).Add(48 * time.Hour),
		GroupBy: domain.GroupByType,
	}
	read := func() (d domain.Delta) {
		u, err := c.w.stores.Statistics.Usage(ctx, a.id)
		types, err2 := c.w.stores.Statistics.Statistics(ctx, q)
		if err = errors.Join(err, err2); err != nil {
			c.fail("I15", "the counts cannot be read: %v", err)
		}
		d.Unfinished = u.Unfinished
		for _, s := range types {
			if a.deleting {
				break
			}
			d.Activity.Add(s.Activity)
		}
		return d
	}
	for {
		counted, recount := read(), domain.Delta{}
		ws := c.w.listed(ctx, a)
		for i := range ws {
			d := domain.CountChange(&domain.State{}, &ws[i], domain.Consumption{})
			recount.Unfinished.Add(d.Unfinished)
			if !a.deleting {
				recount.Activity.Add(d.Activity)
			}
		}
		if again := read(); again != counted {
			continue // the counts changed during the recount, by a commit whose answer was lost
		}
		if counted != recount {
			c.fail("I15", "the counts of %s are %+v, a recount gives %+v", a.id, counted, recount)
		}
		return
	}
}

// contents checks what is stored, and compares it with the commits that the checker has seen.
func (c *checker) contents() {
	ctx := context.Background()
	c.w.learn(ctx)
	for _, a := range c.w.accounts {
		if a.gone {
			c.nothingLeft(ctx, a)
		} else {
			c.counts(ctx, a)
		}
	}
	for _, id := range c.w.acknowledged {
		owner := c.w.owners[id]
		if owner.gone {
			continue
		}
		found, err := c.w.stores.Workloads.GetAny(ctx, id)
		if err == nil && len(found) == 0 && owner.deleting && (c.removed[id] || c.w.backend.Opaque) {
			continue
		}
		if err != nil || len(found) == 0 {
			c.fail("I3", "%s is gone: %v", id, err)
			continue
		}
		trail, err := c.w.stores.Audit.Workload(ctx, owner.id, id, 0, 10_000)
		if err != nil {
			c.fail("I7", "the trail of %s cannot be read: %v", id, err)
		}
		c.broken = append(c.broken, invariants.Trail(&found[0], trail)...)
		for _, e := range trail {
			if tag := c.w.requiredTag[id]; e.Type == domain.AuditScheduled && tag != "" && c.w.tagOf(e.WorkerID) != tag {
				c.fail("I13", "%s requires tag %s and was assigned to worker %s", id, tag, e.WorkerID)
			}
		}
		if c.w.backend.Opaque {
			continue
		}
		if found[0].Status != c.state[id].Status || found[0].Generation != c.state[id].Generation {
			c.fail("I4", "%s is stored as %s g%d, but %s g%d was committed", id, found[0].Status, found[0].Generation,
				c.state[id].Status, c.state[id].Generation)
		}
		if len(trail) != c.audited[id] {
			c.fail("I7", "%s has %d audit events for %d transitions", id, len(trail), c.audited[id])
		}
	}
}
