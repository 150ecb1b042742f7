package http

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

func TestWorkloadOut_OfAnArchivedWorkload_SaysWhenItWasArchived(t *testing.T) {
	shown := func(w domain.Workload) map[string]any {
		out := workloadOut(&w, domain.RoleCustomer)
		b, err := json.Marshal(out)
		require.NoError(t, err)
		var fields map[string]any
		require.NoError(t, json.Unmarshal(b, &fields))
		return fields
	}
	w := domain.Workload{Spec: domain.Spec{ID: "wl_a", Input: "{}"}, State: domain.State{Status: domain.StatusCompleted}}
	live := shown(w)
	assert.NotContains(t, live, "archived_at")
	w.ArchivedAt = time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	archived := shown(w)
	assert.Equal(t, "2026-03-02T01:00:00.000Z", archived["archived_at"])
	delete(archived, "archived_at")
	assert.Equal(t, live, archived, "the same shape otherwise")
}

// TestWorkloadOut_ReasonThatAWorkerGave_IsMaskedForViewers follows a workload through what a worker
// may give a reason for, and what others may.
func TestWorkloadOut_ReasonThatAWorkerGave_IsMaskedForViewers(t *testing.T) {
	const told = "patient 17"
	held := domain.State{
		Status: domain.StatusScheduled, Generation: 1, WorkerID: "w", SessionID: "s",
		LastWorkerID: "w", StartedGeneration: 0,
	}
	worker := func(e domain.Event) domain.Transition {
		return domain.Transition{Event: e, Generation: 1, SessionID: "s", Reason: told}
	}
	others := func(e domain.Event) domain.Transition {
		return domain.Transition{Event: e, Reason: told, Generation: 1}
	}
	start := worker(domain.EventStart)
	for name, c := range map[string]struct {
		steps []domain.Transition
		seen  string
	}{
		"declined":  {[]domain.Transition{worker(domain.EventDecline)}, maskedText},
		"started":   {[]domain.Transition{start}, maskedText},
		"progress":  {[]domain.Transition{start, worker(domain.EventProgress)}, maskedText},
		"released":  {[]domain.Transition{start, worker(domain.EventRelease)}, maskedText},
		"completed": {[]domain.Transition{start, worker(domain.EventComplete)}, maskedText},
		"paused":    {[]domain.Transition{start, worker(domain.EventPaused)}, maskedText},
		"lost":      {[]domain.Transition{start, others(domain.EventLose)}, told},
		"resumed":   {[]domain.Transition{start, worker(domain.EventPaused), others(domain.EventResume)}, told},
		"cancelled": {[]domain.Transition{start, worker(domain.EventRelease), others(domain.EventCancel)}, told},
	} {
		w := domain.Workload{Spec: domain.Spec{ID: "wl_a", Input: "{}"}, State: held}
		for _, step := range c.steps {
			outcome, next, _ := domain.Decide(&w, &step, time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC))
			require.Equal(t, domain.OutcomeApplied, outcome, name)
			w.State = next
		}
		owner, viewer := workloadOut(&w, domain.RoleCustomer), workloadOut(&w, domain.RoleViewer)
		assert.Equal(t, told, *owner.StatusReason, name)
		assert.Equal(t, c.seen, *viewer.StatusReason, name)
	}
}
