package journey_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

const day = 24 * time.Hour

var user = domain.Actor{Kind: domain.ActorUser, ID: "key_1"}

// keep sets the periods that servers have by default.
func keep(s *setup) {
	s.cfg.Retention = domain.Retention{
		Workloads: 90 * day, Logs: 90 * day, Archive: 365 * day, Audit: 365 * day, AdminAudit: 365 * day,
		Statistics: 400 * day, DeadWorkers: 7 * day,
	}
}

// rest lets much time pass at once, and then what is due be removed.
func (w *world) rest(d time.Duration) {
	w.Helper()
	w.clock.now = w.clock.now.Add(d)
	for range 3 * len(domain.AllKept()) {
		w.tick()
	}
}

func TestArchivedWorkload_IsAnsweredAsBefore(t *testing.T) {
	w := newWorld(t, keep)
	on := w.worker("w", 1)
	id := w.submit(func(r *lifecycle.SubmitRequest) { r.Labels = map[string]string{"run": "nightly"} })
	w.tick()
	on.poll()
	require.Equal(t, domain.OutcomeApplied, on.report(id, domain.EventComplete))
	before := w.get(id)
	events, err := w.a.Lifecycle.ReadAudit(t.Context(), acme, id, 0, 100)
	require.NoError(t, err)

	w.rest(90*day + time.Hour)
	after := w.get(id)
	require.False(t, after.ArchivedAt.IsZero())
	after.ArchivedAt = time.Time{}
	assert.Equal(t, before, after)
	page, err := w.a.Lifecycle.List(t.Context(), ports.WorkloadQuery{Customer: acme, Limit: 10})
	require.NoError(t, err)
	assert.Empty(t, page.Items)
	again, err := w.a.Lifecycle.ReadAudit(t.Context(), acme, id, 0, 100)
	require.NoError(t, err)
	assert.Equal(t, events, again)
	lines, err := w.a.Lifecycle.ReadLogs(t.Context(), ports.LogQuery{Customer: acme, Workload: id, Limit: 10})
	require.NoError(t, err)
	assert.Empty(t, lines)
	_, err = w.a.Lifecycle.ListCheckpoints(t.Context(), acme, id)
	require.NoError(t, err)
	waited, err := w.a.Lifecycle.Wait(t.Context(), acme, id, time.Minute)
	require.NoError(t, err)
	assert.Equal(t, domain.StatusCompleted, waited.Status)
	explained, err := w.a.Insight.Explain(t.Context(), acme, id)
	require.NoError(t, err)
	assert.False(t, explained.Waiting)

	for name, control := range map[string]func() error{
		"cancel": func() error {
			_, err := w.a.Lifecycle.Cancel(t.Context(), acme, id, user, "", "")
			return err
		},
		"pause": func() error {
			_, _, err := w.a.Lifecycle.Pause(t.Context(), acme, id, user, "")
			return err
		},
		"resume": func() error {
			_, err := w.a.Lifecycle.Resume(t.Context(), acme, id, user, "")
			return err
		},
		"checkpoint": func() error {
			_, err := w.a.Lifecycle.Checkpoint(t.Context(), acme, id)
			return err
		},
	} {
		assert.Equal(t, domain.CodeInvalidState, domain.CodeOf(control()), name)
	}
	for name, read := range map[string]func() error{
		"get": func() error {
			_, err := w.a.Lifecycle.Get(t.Context(), rival, id)
			return err
		},
		"cancel": func() error {
			_, err := w.a.Lifecycle.Cancel(t.Context(), rival, id, user, "", "")
			return err
		},
		"explain": func() error {
			_, err := w.a.Insight.Explain(t.Context(), rival, id)
			return err
		},
	} {
		assert.Equal(t, domain.CodeNotFound, domain.CodeOf(read()), "%s by another customer", name)
	}

	w.rest(365*day + time.Hour)
	_, err = w.a.Lifecycle.Get(t.Context(), acme, id)
	assert.Equal(t, domain.CodeNotFound, domain.CodeOf(err), "after a year in the archive")
}

func TestRetry_OfAnArchivedWorkload_NeverStartsFromScratchUnasked(t *testing.T) {
	w := newWorld(t, keep)
	on := w.worker("w", 2)
	saved, plain := w.submit(), w.submit()
	w.tick()
	on.poll()
	_, err := w.a.Plane.SaveCheckpoint(t.Context(), on.ref, ports.CheckpointUpload{
		WorkloadID: saved, Generation: 1, Sequence: 1, Data: []byte("half"),
	})
	require.NoError(t, err)
	for _, id := range []domain.WorkloadID{saved, plain} {
		_, err := w.a.Lifecycle.Cancel(t.Context(), acme, id, user, "", "")
		require.NoError(t, err)
	}
	w.rest(90*day + time.Hour)
	w.pass(time.Minute) // the worker is declared dead, and so its runs have ended
	require.False(t, w.get(saved).ArchivedAt.IsZero())
	retry := func(id domain.WorkloadID, restore *domain.Restore) (domain.Workload, error) {
		return w.a.Lifecycle.Retry(t.Context(), customer, lifecycle.RetryRequest{Workload: id, Restore: restore})
	}
	_, err = retry(saved, &domain.Restore{})
	assert.Equal(t, domain.CodeInvalidInput, domain.CodeOf(err), "%v", err)
	again, err := retry(saved, nil)
	require.NoError(t, err)
	assert.Equal(t, saved, again.RetryOf)
	again, err = retry(plain, &domain.Restore{})
	require.NoError(t, err, "it never had a checkpoint")
	assert.Zero(t, again.CheckpointSequence)
}
