package domain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

const lease = 30 * time.Second

var (
	bigSecret  = strings.Repeat("s", 32)
	workerSelf = domain.Actor{Kind: domain.ActorWorker, ID: "w"}
	leaderSelf = domain.Actor{Kind: domain.ActorCoordinator}
	operator   = domain.Admin{KeyID: "key_u", KeyName: "U", Address: "192.0.2.1", RequestID: "req_1"}
)

// live is worker w in session s1 of process p1, registered at epoch0.
func live(change ...func(*domain.Worker)) *domain.Worker {
	w := &domain.Worker{
		ID: "w", SessionID: "s1", Status: domain.WorkerHealthy, Capabilities: []string{"t"}, Slots: 1, ProcessID: "p1",
		RegisteredAt: epoch0, HeartbeatAt: epoch0, LeaseUntil: epoch0.Add(lease),
	}
	for _, c := range change {
		c(w)
	}
	return w
}

func dead(w *domain.Worker)       { w.Status = domain.WorkerDead }
func draining(w *domain.Worker)   { w.Status = domain.WorkerDraining }
func supervised(w *domain.Worker) { w.CertificateDigest = domain.CertificateDigest(bigSecret) }

func types(es []domain.AuditEvent) (ts []domain.AuditType) {
	for _, e := range es {
		ts = append(ts, e.Type)
	}
	return ts
}

func TestWorker_SessionStatus(t *testing.T) {
	for _, c := range []struct {
		name string
		w    *domain.Worker
		id   domain.SessionID
		want domain.SessionStatus
	}{
		{"current", live(), "s1", domain.SessionCurrent},
		{"draining", live(draining), "s1", domain.SessionCurrent},
		{"another session is live", live(), "s0", domain.SessionReplaced},
		{"dead", live(dead), "s1", domain.SessionOver},
		{"dead, another session", live(dead), "s0", domain.SessionOver},
		{"no such worker", nil, "s1", domain.SessionOver},
	} {
		assert.Equal(t, c.want, c.w.SessionStatus(c.id), c.name)
		assert.Equal(t, c.want == domain.SessionCurrent, c.w.Holds(c.id), c.name)
	}
}

func TestRegistration_Decide(t *testing.T) {
	joined := []domain.AuditType{domain.AuditWorkerJoined}
	for _, c := range []struct {
		name   string
		worker *domain.Worker
		ended  []domain.EndedSession
		died   bool
		change func(*domain.Registration)
		at     time.Duration
		// What is expected.
		code     domain.Code
		loss     domain.Loss
		returned []domain.SessionID
		events   []domain.AuditType
	}{
		{name: "first of its id", events: joined},
		{name: "draining", change: func(r *domain.Registration) { r.Draining = true },
			events: append(joined[:1:1], domain.AuditWorkerDraining)},
		{name: "behind a dead worker", worker: live(dead), events: joined},
		{name: "repeated", worker: live(), change: func(r *domain.Registration) { r.SessionID = "s1" }},
		{name: "its session has ended", ended: []domain.EndedSession{{ID: "s2"}}, code: domain.CodeFenced},
		{name: "its process has died", died: true, code: domain.CodeFenced},
		{name: "another process, lease running", worker: live(), at: lease - 1, code: domain.CodeConflict},
		{
			name: "another process, lease over", worker: live(), at: lease, loss: domain.LossExpired,
			events: append([]domain.AuditType{domain.AuditHeartbeatMissed, domain.AuditWorkerDead}, joined...),
		},
		{name: "another process that takes over", worker: live(),
			change: func(r *domain.Registration) { r.TakeOver = true }, loss: domain.LossReplaced, events: joined},
		{name: "same process by session", worker: live(),
			change: func(r *domain.Registration) { r.PreviousSessionID = "s1" },
			loss:   domain.LossReplaced, events: joined},
		{name: "same process by id", worker: live(), change: func(r *domain.Registration) { r.ProcessID = "p1" },
			loss: domain.LossReplaced, events: joined},
		{
			name: "neither names a process", worker: live(func(w *domain.Worker) { w.ProcessID = "" }),
			change: func(r *domain.Registration) { r.ProcessID = "" }, code: domain.CodeConflict,
		},
		{
			name: "ended sessions that return", worker: live(dead),
			change: func(r *domain.Registration) { r.ProcessID, r.PreviousSessionID = "p1", "s0" },
			ended: []domain.EndedSession{
				{ID: "s0", Loss: domain.LossExpired}, {ID: "s1", ProcessID: "p1", Loss: domain.LossExpired},
				{ID: "other", ProcessID: "p9", Loss: domain.LossExpired},
				{ID: "certified", ProcessID: "p1", Loss: domain.LossDied},
				{ID: "before", ProcessID: "p1", Loss: domain.LossExpired, Returned: true},
			},
			returned: []domain.SessionID{"s0", "s1"}, events: joined,
		},
	} {
		r := domain.Registration{WorkerID: "w", SessionID: "s2", ProcessID: "p2", Capabilities: []string{"t"}, Slots: 2}
		if c.change != nil {
			c.change(&r)
		}
		now := epoch0.Add(c.at)
		got, err := r.Decide(domain.KnownSessions{Worker: c.worker, Ended: c.ended, Died: c.died}, now, lease)
		require.Equal(t, c.code, domain.CodeOf(err), c.name)
		assert.Equal(t, c.events, types(got.Events), c.name)
		assert.Equal(t, c.returned, got.Returned, c.name)
		assert.Equal(t, c.loss, got.Ended.Loss, c.name)
		assert.False(t, got.Removed, c.name)
		if c.code != "" {
			continue
		}
		assert.Equal(t, r.SessionID, got.Worker.SessionID, c.name)
		assert.Equal(t, now.Add(lease), got.Worker.LeaseUntil, c.name)
		if c.loss != "" {
			assert.Equal(t, domain.SessionID("s1"), got.Ended.ID, c.name)
		}
	}
}

func TestRegistration_WhenAnotherProcessHoldsTheID_SaysHowLongItsLeaseRuns(t *testing.T) {
	r := domain.Registration{WorkerID: "w", SessionID: "s2"}
	_, err := r.Decide(domain.KnownSessions{Worker: live()}, epoch0.Add(lease-1), lease)
	var e *domain.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, int64(1), e.Details["lease_left_ms"], "never 0: the lease still runs")
}

func TestRegistration_Decide_SharesNothingWithTheRegistration(t *testing.T) {
	r := domain.Registration{
		WorkerID: "w", SessionID: "s2", Capabilities: []string{"t"}, Tags: map[string]string{"a": "b"},
	}
	got, err := r.Decide(domain.KnownSessions{}, epoch0, lease)
	require.NoError(t, err)
	r.Capabilities[0], r.Tags["a"] = "changed", "changed"
	assert.Equal(t, []string{"t"}, got.Worker.Capabilities)
	assert.Equal(t, "b", got.Worker.Tags["a"])
}

func TestRegistration_Names(t *testing.T) {
	r := domain.Registration{SessionID: "s2", PreviousSessionID: "s1", ProcessID: "p1"}
	for _, e := range []domain.EndedSession{{ID: "s2"}, {ID: "s1"}, {ID: "x", ProcessID: "p1"}} {
		assert.True(t, r.Names(&e), "%+v", e)
	}
	assert.False(t, r.Names(&domain.EndedSession{ID: "x", ProcessID: "p2"}))
	assert.False(t, (&domain.Registration{SessionID: "s2"}).Names(&domain.EndedSession{ID: "x"}),
		"what is empty names nothing")
}

func TestWorker_Heartbeat(t *testing.T) {
	late := epoch0.Add(2 * lease)
	for _, c := range []struct {
		name     string
		w        *domain.Worker
		id       domain.SessionID
		draining bool
		status   domain.SessionStatus
		worker   domain.WorkerStatus
		events   []domain.AuditType
	}{
		{"renewed though late", live(), "s1", false, domain.SessionCurrent, domain.WorkerHealthy, nil},
		{"begins to drain", live(), "s1", true, domain.SessionCurrent, domain.WorkerDraining,
			[]domain.AuditType{domain.AuditWorkerDraining}},
		{"drains already", live(draining), "s1", true, domain.SessionCurrent, domain.WorkerDraining, nil},
		{"drained by an operator", live(draining), "s1", false, domain.SessionCurrent, domain.WorkerDraining, nil},
		{"dead", live(dead), "s1", true, domain.SessionOver, "", nil},
		{"replaced", live(), "s0", true, domain.SessionReplaced, "", nil},
		{"no such worker", nil, "s1", false, domain.SessionOver, "", nil},
	} {
		status, got := c.w.Heartbeat(c.id, c.draining, late, lease)
		assert.Equal(t, c.status, status, c.name)
		assert.Equal(t, c.worker, got.Worker.Status, c.name)
		assert.Equal(t, c.events, types(got.Events), c.name)
		if status == domain.SessionCurrent {
			assert.Equal(t, late, got.Worker.HeartbeatAt, c.name)
			assert.Equal(t, late.Add(lease), got.Worker.LeaseUntil, c.name)
		}
	}
}

func TestWorker_LeaseEnded_AtItsEnd(t *testing.T) {
	assert.False(t, live().LeaseEnded(epoch0.Add(lease-1)))
	assert.True(t, live().LeaseEnded(epoch0.Add(lease)))
}

func TestWorker_Expire_Remove_Purge(t *testing.T) {
	now := epoch0.Add(time.Hour)
	got := live(supervised).Expire(now)
	assert.Equal(t, domain.WorkerDead, got.Worker.Status)
	assert.Equal(t, domain.EndedSession{ID: "s1", WorkerID: "w", ProcessID: "p1", Loss: domain.LossExpired,
		Supervised: true, At: now}, got.Ended)
	assert.Equal(t, []domain.AuditType{domain.AuditHeartbeatMissed, domain.AuditWorkerDead}, types(got.Events))
	assert.Equal(t, leaderSelf, got.Events[1].Actor)

	got = live().Remove(operator, now)
	assert.True(t, got.Removed)
	assert.Equal(t, domain.LossRemoved, got.Ended.Loss)
	assert.Equal(t, domain.Actor{Kind: domain.ActorUser, ID: "key_u"}, got.Events[0].Actor)
	assert.Equal(t, domain.AdminEvent{
		At: now, By: operator, Action: domain.ActionWorkerRemoved, Target: domain.Target{Kind: domain.TargetWorker, ID: "w"},
		Before: `{"worker_id":"w","session_id":"s1","status":"HEALTHY"}`,
	}, got.Act)
	assert.Empty(t, live(dead).Remove(operator, now).Ended, "its session had ended before")

	assert.True(t, live(dead).Outdated(time.Hour-1, now))
	assert.False(t, live(dead).Outdated(time.Hour, now))
	assert.False(t, live().Outdated(time.Minute, now), "only what is DEAD")
	got = live(dead).Purge(now)
	assert.True(t, got.Removed)
	assert.Empty(t, got.Ended)
	assert.Equal(t, []domain.AuditType{domain.AuditWorkerRemoved}, types(got.Events))
}

func TestWorker_Drain_Undrain(t *testing.T) {
	for _, c := range []struct {
		name   string
		w      *domain.Worker
		decide func(*domain.Worker, domain.Admin, time.Time) (domain.WorkerChange, error)
		code   domain.Code
		status domain.WorkerStatus
		events []domain.AuditType
	}{
		{"drain healthy", live(), (*domain.Worker).Drain, "", domain.WorkerDraining,
			[]domain.AuditType{domain.AuditWorkerDraining}},
		{"drain draining", live(draining), (*domain.Worker).Drain, "", domain.WorkerDraining, nil},
		{"drain dead", live(dead), (*domain.Worker).Drain, domain.CodeInvalidState, domain.WorkerDead, nil},
		{"undrain draining", live(draining), (*domain.Worker).Undrain, "", domain.WorkerHealthy,
			[]domain.AuditType{domain.AuditWorkerUndrained}},
		{"undrain healthy", live(), (*domain.Worker).Undrain, "", domain.WorkerHealthy, nil},
		{"undrain dead", live(dead), (*domain.Worker).Undrain, domain.CodeInvalidState, domain.WorkerDead, nil},
	} {
		got, err := c.decide(c.w, operator, epoch0)
		assert.Equal(t, c.code, domain.CodeOf(err), c.name)
		assert.Equal(t, c.status, got.Worker.Status, c.name)
		assert.Equal(t, c.events, types(got.Events), c.name)
		assert.Empty(t, got.Ended, c.name)
		assert.Equal(t, err == nil, got.Act.Action != "", "%s: what is done is recorded, also if it was done before", c.name)
	}
}

func TestSessionEnd_Decide_ByTheHoldersWord(t *testing.T) {
	leave := domain.SessionEnd{WorkerID: "w", SessionID: "s1"}
	got, err := leave.Decide([]domain.Worker{*live(draining)}, false, epoch0)
	require.NoError(t, err)
	require.Len(t, got, 1)
	assert.True(t, got[0].Removed)
	assert.Equal(t, domain.LossLeft, got[0].Ended.Loss)
	assert.Equal(t, workerSelf, got[0].Events[0].Actor)
	for name, known := range map[string][]domain.Worker{
		"unknown": nil, "dead": {*live(dead)}, "replaced": {*live(func(w *domain.Worker) { w.SessionID = "s2" })},
	} {
		got, err := leave.Decide(known, false, epoch0)
		require.NoError(t, err, name)
		assert.Empty(t, got, name)
	}
}

func TestSessionEnd_Decide_ByCertificate(t *testing.T) {
	named := func(id domain.WorkerID) func(*domain.Worker) { return func(w *domain.Worker) { w.ID = id } }
	end := domain.SessionEnd{ProcessID: "p1", Secret: bigSecret}
	for _, c := range []struct {
		name      string
		known     []domain.Worker
		certified bool
		code      domain.Code
		ends      []domain.WorkerID
	}{
		{"every live session of the process", []domain.Worker{*live(supervised, named("b")),
			*live(supervised, named("a"))}, false, "", []domain.WorkerID{"a", "b"}},
		{"none that has ended", []domain.Worker{*live(supervised, dead)}, false, "", nil},
		{"none with another digest", []domain.Worker{*live(supervised, named("a")), *live(named("b"))}, false, "",
			[]domain.WorkerID{"a"}},
		{"a wrong secret", []domain.Worker{*live()}, false, domain.CodeForbidden, nil},
		{"an unknown process", nil, false, "", nil},
		{"repeated", []domain.Worker{*live(supervised)}, true, "", nil},
	} {
		got, err := end.Decide(c.known, c.certified, epoch0)
		assert.Equal(t, c.code, domain.CodeOf(err), c.name)
		var ends []domain.WorkerID
		for _, g := range got {
			ends = append(ends, g.Worker.ID)
			assert.Equal(t, domain.WorkerDead, g.Worker.Status, c.name)
			assert.Equal(t, domain.LossDied, g.Ended.Loss, c.name)
			assert.Equal(t, domain.ActorSystem, g.Events[0].Actor.Kind, c.name)
		}
		assert.Equal(t, c.ends, ends, c.name)
	}
}

func TestSessionEnd_Concerns(t *testing.T) {
	assert.True(t, domain.SessionEnd{WorkerID: "w", SessionID: "s9"}.Concerns(live()))
	assert.False(t, domain.SessionEnd{WorkerID: "v", SessionID: "s1"}.Concerns(live()))
	assert.True(t, domain.SessionEnd{ProcessID: "p1", Secret: bigSecret}.Concerns(live()))
	bare := live(func(w *domain.Worker) { w.ProcessID = "" })
	assert.False(t, domain.SessionEnd{WorkerID: "v"}.Concerns(bare), "no process is no process's")
}
