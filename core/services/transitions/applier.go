package transitions

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Deps are what an Applier stands on.
type Deps struct {
	Workloads ports.WorkloadStore
	Notifier  ports.Notifier
	Observer  ports.Observer
	Clock     ports.Clock
}

// Applier executes batches of transitions and spreads the news. Safe for concurrent use.
type Applier struct{ deps Deps }

// New returns an Applier.
func New(deps Deps) *Applier { return &Applier{deps: deps} }

// Apply executes the batch; see ports.WorkloadStore.Apply. A batch that the store cannot take as a
// whole is executed one by one.
func (a *Applier) Apply(ctx context.Context, b domain.Batch) ([]domain.Result, error) {
	if len(b.Transitions) == 0 {
		return nil, nil
	}
	began := a.deps.Clock.Now()
	results, err := a.deps.Workloads.Apply(ctx, b)
	if untakeable(err) && len(b.Transitions) > 1 {
		return a.oneByOne(ctx, b)
	}
	if err != nil {
		return nil, err
	}
	a.Announce(ctx, b, results, a.deps.Clock.Now().Sub(began))
	return results, nil
}

// Each executes transitions that no epoch guards, and answers each in its place: what the store
// cannot take is refused, also when it stands alone.
func (a *Applier) Each(ctx context.Context, ts []domain.Transition) ([]domain.Result, error) {
	b := domain.Batch{Transitions: ts}
	results, err := a.Apply(ctx, b)
	if untakeable(err) {
		return a.oneByOne(ctx, b)
	}
	return results, err
}

// untakeable reports whether the store refused what a batch holds, so that trying the same again is
// pointless.
func untakeable(err error) bool {
	return domain.IsCode(err, domain.CodeInternal) || domain.IsCode(err, domain.CodeInvalidInput)
}

// oneByOne executes a batch that the store cannot execute as a whole, so that one bad row costs the
// others nothing: no sweep and no worker is wedged by it. What the store cannot execute even alone
// is refused, and counted; but an outcome lands, if need be with its text and result in the
// plainest form.
func (a *Applier) oneByOne(ctx context.Context, b domain.Batch) ([]domain.Result, error) {
	results := make([]domain.Result, len(b.Transitions))
	for i, t := range b.Transitions {
		single := domain.Batch{Epoch: b.Epoch, Transitions: []domain.Transition{t}}
		began := a.deps.Clock.Now()
		r, err := a.deps.Workloads.Apply(ctx, single)
		if untakeable(err) && t.Reported() {
			single.Transitions[0] = t.Plain()
			r, err = a.deps.Workloads.Apply(ctx, single)
		}
		switch {
		case untakeable(err):
			a.deps.Observer.Count("transition_failed", 1)
			results[i] = domain.Result{
				Outcome: domain.OutcomeRefused, WorkloadID: t.WorkloadID, Reason: "the store cannot execute it",
			}
			a.deps.Observer.Transitioned(single, results[i:i+1], a.deps.Clock.Now().Sub(began))
		case err != nil:
			return nil, err
		default:
			results[i] = r[0]
			a.Announce(ctx, single, r, a.deps.Clock.Now().Sub(began))
		}
	}
	return results, nil
}

// One executes a single transition.
func (a *Applier) One(ctx context.Context, t domain.Transition) (domain.Result, error) {
	results, err := a.Apply(ctx, domain.Batch{Transitions: []domain.Transition{t}})
	if err != nil {
		return domain.Result{}, err
	}
	return results[0], nil
}

// Announce spreads the news of a batch that was executed elsewhere (a checkpoint's transition is
// executed by the checkpoint store). took is how long that took.
func (a *Applier) Announce(ctx context.Context, b domain.Batch, results []domain.Result, took time.Duration) {
	a.deps.Observer.Transitioned(b, results, took)
	wake := ""
	updates := make([]ports.Update, 0, len(results))
	for i := range results {
		t, r := &b.Transitions[i], &results[i]
		if r.Hands == domain.HandsFree {
			wake = string(t.Event)
		}
		if t.Event == domain.EventLinger || t.Event == domain.EventLetGo {
			continue // nothing has happened to the workload
		}
		if r.Outcome != domain.OutcomeApplied {
			continue
		}
		updates = append(updates, ports.Update{
			WorkloadID: r.WorkloadID, CustomerID: r.CustomerID, Event: t.Event, Status: r.State.Status,
			Generation: r.State.Generation, ProgressPercent: r.State.ProgressPercent, At: r.State.UpdatedAt,
		})
		if cmd, ok := stopCommand(t, r); ok {
			a.deps.Notifier.Command(ctx, r.FromWorkerID, cmd)
		}
		if r.State.Status.Waiting() || r.From.Held() && !r.State.Status.Held() {
			wake = string(t.Event)
		}
	}
	a.deps.Notifier.Updated(ctx, updates...)
	if wake != "" {
		a.deps.Notifier.Wake(ctx, wake)
	}
}

// stopCommand is what the worker that held the workload must be told, when it was not the worker
// that reported.
func stopCommand(t *domain.Transition, r *domain.Result) (ports.Command, bool) {
	if !r.From.Held() {
		return ports.Command{}, false
	}
	cmd := ports.Command{
		SessionID: r.FromSessionID, WorkloadID: r.WorkloadID, Generation: r.State.Generation, Reason: t.Reason,
	}
	switch t.Event {
	case domain.EventCancel:
		cmd.Kind = ports.CommandCancel
	case domain.EventRequestPause:
		cmd.Kind = ports.CommandPause
	case domain.EventLose, domain.EventTimeout, domain.EventUnassign:
		cmd.Kind = ports.CommandDrop
	default:
		return ports.Command{}, false
	}
	return cmd, true
}
