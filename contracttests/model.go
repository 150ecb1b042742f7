package contracttests

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// RunModel runs random sequences of commands on a reference and on the adapter. Results, errors and
// stored data must be equal. Times are not compared, because the two have different clocks. It
// returns how often each command was run.
func RunModel(
	t *testing.T, adapter string, reference, subject func(t *testing.T) StoreHarness,
) (commands map[string]int) {
	t.Helper()
	commands = map[string]int{}
	t.Run("Model/"+adapter, func(t *testing.T) {
		rapid.Check(t, func(rt *rapid.T) {
			m := &model{t: rt, compared: map[domain.WorkloadID]string{}}
			for _, open := range []func(*testing.T) StoreHarness{reference, subject} {
				h := open(t)
				if h.Close != nil {
					defer h.Close()
				}
				f := given(caseT{t, rt}, h)
				_, err := f.Customers.Create(f.Context(),
					domain.Customer{ID: timekeeper, Name: "T", Tier: domain.TierFree}, admin)
				require.NoError(f, err)
				m.sides = append(m.sides, f)
			}
			m.session(rt)
			actions := map[string]func(*rapid.T){
				"submit": m.submit, "assign": m.assign, "report": m.report, "save": m.save, "control": m.control,
				"lose": m.lose, "batch": m.batch, "wait": m.wait, "limit": m.limit, "tier": m.tier, "fold": m.fold,
				"purge": m.purge, "list": m.list, "suspend": m.suspend, "delete": m.delete, "erase": m.erase,
				"session": m.session, "end": m.end,
			}
			for name, do := range actions {
				actions[name] = func(rt *rapid.T) { commands[name]++; do(rt) }
			}
			actions[""] = m.compareChanged
			rt.Repeat(actions)
			m.compareAll()
		})
	})
	return commands
}

// caseT is a T whose failures fail the drawn sequence, and whose cleanups run with the test.
type caseT struct {
	*testing.T
	rt *rapid.T
}

func (c caseT) Errorf(format string, args ...any) { c.rt.Errorf(format, args...) }
func (c caseT) FailNow()                          { c.rt.FailNow() }

// model is the state of one sequence.
type model struct {
	t       *rapid.T
	sides   []*fixture // the reference and the adapter
	ids     []domain.WorkloadID
	workers []domain.Worker
	n       int // ids made so far
	// compared holds what of each workload is compared after each command, as it was when all of it
	// was compared last.
	compared map[domain.WorkloadID]string
}

// both runs f on both sides. The results must be equal.
func (m *model) both(what string, f func(f *fixture) any) {
	want, got := f(m.sides[0]), f(m.sides[1])
	require.Equal(m.t, want, got, what)
}

func (m *model) submit(t *rapid.T) {
	batch := make([]domain.Submission, rapid.IntRange(1, 4).Draw(t, "items"))
	for i := range batch {
		m.n++
		s := domain.Submission{Spec: domain.Spec{
			ID:         domain.WorkloadID(fmt.Sprintf("wl_%04d", m.n)),
			CustomerID: rapid.SampledFrom([]domain.CustomerID{acme, rival, "cust_nobody"}).Draw(t, "customer"),
			Type:       rapid.SampledFrom([]string{"t", "u"}).Draw(t, "type"), Input: `{"n":1}`,
			Run: domain.DefaultRunConfig(),
		}}
		s.Run.MaxRetries = 2
		s.Priority = rapid.IntRange(0, 3).Draw(t, "priority")
		if n := rapid.IntRange(0, 2).Draw(t, "label"); n > 0 {
			s.Labels = map[string]string{"x": fmt.Sprint(n)}
		}
		if rapid.Bool().Draw(t, "keyed") {
			s.IdempotencyKey, s.Digest = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key"),
				[32]byte{rapid.Byte().Draw(t, "digest") % 2}
		}
		if original := m.current(m.draw(t)); original.Status.Final() && rapid.Bool().Draw(t, "again") {
			restore := &domain.Restore{Sequence: rapid.Int64Range(0, 2).Draw(t, "from")}
			if again, err := original.RunAgain(s.ID, restore); err == nil {
				again.IdempotencyKey, again.Digest = s.IdempotencyKey, s.Digest
				s = again
			}
		}
		batch[i] = s
	}
	m.both("submit", func(f *fixture) any {
		rs, err := f.Workloads.Submit(f.Context(), batch)
		require.NoError(f, err)
		out := make([]string, len(rs))
		for i, r := range rs {
			out[i] = fmt.Sprint(r.Status, r.Workload.ID, r.Workload.Status, r.Workload.Lane, r.Workload.RetryOf,
				r.Workload.CheckpointSequence)
		}
		return out
	})
	for _, s := range batch {
		m.ids = append(m.ids, s.ID)
	}
}

func (m *model) draw(t *rapid.T) domain.WorkloadID {
	if len(m.ids) == 0 {
		return "wl_none"
	}
	return rapid.SampledFrom(m.ids).Draw(t, "workload")
}

// apply applies transitions to both sides.
func (m *model) apply(ts ...domain.Transition) {
	m.both("apply", func(f *fixture) any {
		b := domain.Batch{Transitions: ts}
		if b.NeedsEpoch() {
			b.Epoch = f.epoch
		}
		rs, err := f.Workloads.Apply(f.Context(), b)
		require.NoError(f, err)
		out := make([]any, len(rs))
		for i, r := range rs {
			out[i] = []any{
				r.Outcome, r.Reason, r.WorkloadID, r.CustomerID, r.Type, r.From, r.FromSessionID, timeless(r.State),
			}
		}
		return out
	})
}

func (m *model) current(id domain.WorkloadID) domain.Workload {
	ws, err := m.sides[0].Workloads.GetAny(m.sides[0].Context(), id)
	require.NoError(m.t, err)
	if len(ws) == 0 {
		return domain.Workload{Spec: domain.Spec{ID: id}}
	}
	return ws[0]
}

func (m *model) transition(t *rapid.T, events ...domain.Event) domain.Transition {
	w := m.current(m.draw(t))
	tr := domain.Transition{
		WorkloadID: w.ID, Event: rapid.SampledFrom(events).Draw(t, "event"), Generation: w.Generation,
		SessionID: w.SessionID, CheckpointSequence: w.CheckpointSequence + 1, Jitter: 0.5, Result: `{"ok":true}`,
		Loss: domain.LossExpired, Actor: domain.Actor{Kind: domain.ActorWorker, ID: "w"},
		CustomerID: rapid.SampledFrom(
			[]domain.CustomerID{w.CustomerID, w.CustomerID, w.CustomerID, "", rival}).Draw(t, "for"),
	}
	if rapid.IntRange(0, 4).Draw(t, "stale") == 0 {
		tr.Generation--
	}
	if len(m.workers) > 0 && (tr.Event == domain.EventLinger || tr.Event == domain.EventLetGo) {
		of := rapid.SampledFrom(m.workers).Draw(t, "worker")
		tr.WorkerID, tr.SessionID = of.ID, of.SessionID
	}
	tr.StillRunning = rapid.IntRange(0, 3).Draw(t, "still running") == 0
	if tr.Event == domain.EventFail {
		tr.Failure = &domain.Failure{Type: "error", Message: "boom", Permanent: rapid.Bool().Draw(t, "permanent")}
	}
	return tr
}

func (m *model) assignment(t *rapid.T) domain.Transition {
	w := m.current(m.draw(t))
	tr := domain.Transition{
		WorkloadID: w.ID, Event: domain.EventAssign, Generation: w.Generation + 1, Actor: coordinator,
	}
	if len(m.workers) > 0 {
		to := rapid.SampledFrom(m.workers).Draw(t, "worker")
		tr.WorkerID, tr.SessionID = to.ID, to.SessionID
	}
	return tr
}

func (m *model) assign(t *rapid.T) { m.apply(m.assignment(t)) }

var workerEvents = []domain.Event{
	domain.EventStart, domain.EventStart, domain.EventComplete, domain.EventFail, domain.EventDecline,
	domain.EventPaused, domain.EventRelease, domain.EventLog, domain.EventSkipCheckpoint, domain.EventLinger,
	domain.EventLetGo,
}

func (m *model) report(t *rapid.T) { m.apply(m.transition(t, workerEvents...)) }

// save saves a checkpoint. One in five is damaged.
func (m *model) save(t *rapid.T) {
	tr := m.transition(t, domain.EventCheckpoint)
	data := []byte(fmt.Sprint("state ", m.n))
	c := domain.Checkpoint{Size: len(data), Checksum: sha256.Sum256(data)}
	if rapid.IntRange(0, 4).Draw(t, "damaged") == 0 {
		c.Checksum[0]++
	}
	m.n++
	m.both("save", func(f *fixture) any {
		r, err := f.Checkpoints.Save(f.Context(), tr, c, data)
		return []any{r.Outcome, timeless(r.State), err}
	})
}

func (m *model) control(t *rapid.T) {
	tr := m.transition(t, domain.EventCancel, domain.EventRequestPause, domain.EventRequestPause, domain.EventResume)
	tr.Request = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "request")
	m.apply(tr)
}

func (m *model) lose(t *rapid.T) {
	m.apply(m.transition(t, domain.EventLose, domain.EventTimeout, domain.EventUnassign))
}

// batch applies a batch of unrelated transitions, or of several transitions of one workload.
func (m *model) batch(t *rapid.T) {
	ts := make([]domain.Transition, rapid.IntRange(2, 6).Draw(t, "transitions"))
	chained := rapid.Bool().Draw(t, "chained")
	for i := range ts {
		switch {
		case chained && i > 0:
			ts[i] = m.transition(t, append(workerEvents, domain.EventCancel, domain.EventLose, domain.EventUnassign,
				domain.EventAssign)...)
			ts[i].WorkloadID, ts[i].SessionID, ts[i].WorkerID, ts[i].Generation = ts[0].WorkloadID, ts[0].SessionID,
				ts[0].WorkerID, ts[0].Generation
			if ts[i].Event == domain.EventAssign {
				ts[i].Generation++
			}
		case chained || rapid.Bool().Draw(t, "assign"):
			ts[i] = m.assignment(t)
		default:
			ts[i] = m.transition(t, append(workerEvents, domain.EventCancel, domain.EventLose)...)
		}
	}
	if slices.ContainsFunc(ts, func(t domain.Transition) bool { return t.Event == domain.EventAssign }) {
		ts = slices.DeleteFunc(ts, func(t domain.Transition) bool { // see domain.Batch.Check
			return t.Event == domain.EventLinger || t.Event == domain.EventLetGo
		})
	}
	m.apply(ts...)
}

func (m *model) wait(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{time.Minute, 10 * time.Minute, 25 * time.Hour}).Draw(t, "time")
	for _, f := range m.sides {
		f.h.Advance(d)
	}
}

func (m *model) limit(t *rapid.T) {
	l := domain.Limits{
		MaxConcurrent: rapid.IntRange(1, 4).Draw(t, "running"), MaxQueueDepth: rapid.IntRange(1, 12).Draw(t, "queued"),
	}
	m.update(acme, domain.CustomerPatch{Limits: domain.LimitsPatch{
		MaxConcurrent: domain.To(l.MaxConcurrent), MaxQueueDepth: domain.To(l.MaxQueueDepth),
	}})
}

// update changes a customer, which may be one that is being deleted or gone.
func (m *model) update(id domain.CustomerID, p domain.CustomerPatch) {
	m.both("update", func(f *fixture) any {
		c, err := f.Customers.Update(f.Context(), id, p, admin)
		return []any{domain.CodeOf(err), c.Tier, c.Overrides, c.Suspended()}
	})
}

func (m *model) customer(t *rapid.T) domain.CustomerID {
	return rapid.SampledFrom([]domain.CustomerID{acme, rival}).Draw(t, "customer")
}

// suspend suspends a customer, or reactivates it.
func (m *model) suspend(t *rapid.T) {
	m.update(m.customer(t), domain.CustomerPatch{Suspended: new(rapid.IntRange(0, 2).Draw(t, "suspended") == 0)})
}

// delete begins the deletion of a customer, and tries to use an id again. It spares one of the
// customers most of the time, so that the rest of the sequence has something to work on.
func (m *model) delete(t *rapid.T) {
	id := rapid.SampledFrom([]domain.CustomerID{rival, rival, rival, rival, acme}).Draw(t, "customer")
	force := rapid.Bool().Draw(t, "force")
	m.both("delete", func(f *fixture) any {
		c, err := f.Customers.Delete(f.Context(), id, force, admin)
		_, again := f.Customers.Create(f.Context(), domain.Customer{ID: id, Name: "C", Tier: domain.TierFree}, admin)
		return []any{domain.CodeOf(err), c.ID, c.Deleting(), domain.CodeOf(again)}
	})
}

// erase makes a step of each deletion, or all steps that are possible now. Which workloads a small
// batch removes is not said, so that a single step is a large one.
func (m *model) erase(t *rapid.T) {
	whole, stale := rapid.Bool().Draw(t, "whole"), rapid.IntRange(0, 4).Draw(t, "stale") == 0
	m.both("erase", func(f *fixture) any {
		var out []any
		epoch, limit := f.epoch, 1000
		if whole {
			limit = 2
		}
		if stale {
			epoch--
		}
		ids, err := f.Erasure.Deleting(f.Context(), "", 10)
		require.NoError(f, err)
		for _, id := range ids {
			unfinished, err := f.Erasure.Unfinished(f.Context(), id, 1000)
			require.NoError(f, err)
			slices.Sort(unfinished)
			for _, w := range unfinished {
				rs, err := f.Workloads.Apply(f.Context(), domain.Batch{Transitions: []domain.Transition{
					{WorkloadID: w, CustomerID: id, Event: domain.EventCancel, Actor: coordinator},
				}})
				require.NoError(f, err)
				out = append(out, w, rs[0].Outcome)
			}
			for n := 0; ; n++ {
				require.Less(f, n, 1000)
				e, err := f.Erasure.Erase(f.Context(), epoch, id, limit, admin)
				if err != nil || !e.More || !whole {
					left, err2 := f.Erasure.Remaining(f.Context(), id, 1000)
					require.NoError(f, err2)
					out = append(out, domain.CodeOf(err), e, left)
					break
				}
			}
		}
		return out
	})
}

// tier moves a customer to another tier, and its workloads with it.
func (m *model) tier(t *rapid.T) {
	tier := rapid.SampledFrom(domain.Tiers()).Draw(t, "tier")
	m.update(m.customer(t), domain.CustomerPatch{Tier: &tier})
}

// fold folds some of the count deltas. That changes nothing that compare reads.
func (m *model) fold(t *rapid.T) {
	limit := rapid.IntRange(1, 4).Draw(t, "deltas")
	for _, f := range m.sides {
		f.fold(limit)
	}
}

// purge removes old data. The periods are so short that a sequence has data to remove.
func (m *model) purge(t *rapid.T) {
	what := rapid.SampledFrom([]domain.Kept{
		domain.KeptWorkloads, domain.KeptLogs, domain.KeptIdempotencyKeys, domain.KeptWorkers, domain.KeptSessions,
		domain.KeptLanes,
	}).Draw(t, "what")
	age := max(time.Hour, domain.Retention{}.Of(what)) // keys have a period of their own
	for _, f := range m.sides {
		f.purge(what, age)
	}
}

// list compares a list, page by page, and its total.
func (m *model) list(t *rapid.T) {
	q := ports.WorkloadQuery{
		Customer: m.customer(t),
		Statuses: rapid.SliceOfN(rapid.SampledFrom(domain.Statuses()), 0, 3).Draw(t, "statuses"),
		Type:     rapid.SampledFrom([]string{"", "t", "u", "none"}).Draw(t, "type"),
		OrderBy: rapid.SampledFrom(
			[]ports.OrderBy{ports.OrderCreatedAt, ports.OrderPriority, ports.OrderUpdatedAt}).Draw(t, "order"),
		Ascending: rapid.Bool().Draw(t, "ascending"), Limit: rapid.IntRange(1, 5).Draw(t, "limit"),
		Offset: rapid.IntRange(0, 3).Draw(t, "offset"),
	}
	if rapid.Bool().Draw(t, "labelled") {
		q.Labels = map[string]string{"x": rapid.SampledFrom([]string{"0", "1", "2"}).Draw(t, "label")}
	}
	m.both(fmt.Sprintf("list %+v", q), func(f *fixture) any {
		total := f.count(q)
		var ids []string
		for p, q := f.list(q), q; ; p = f.list(q) {
			for _, w := range p.Items {
				ids = append(ids, string(w.ID))
			}
			q.Offset, q.After = 0, p.Next
			if p.Next == nil {
				break
			}
		}
		require.Len(f, ids, max(total-q.Offset, 0))
		if q.OrderBy == ports.OrderUpdatedAt { // times differ between the sides, so orders do
			require.Len(f, slices.Compact(slices.Sorted(slices.Values(ids))), len(ids))
			return total
		}
		return ids
	})
}

func (m *model) session(t *rapid.T) {
	m.n++
	r := registration(fmt.Sprint("w", rapid.IntRange(1, 3).Draw(t, "worker")), fmt.Sprint("session", m.n), 2)
	if n := rapid.IntRange(0, 4).Draw(t, "process"); n > 0 {
		r.ProcessID, r.CertificateDigest = fmt.Sprint("proc_", n), domain.CertificateDigest(secret)
	}
	r.TakeOver = rapid.Bool().Draw(t, "take over")
	m.both("register", func(f *fixture) any {
		w, err := f.Workers.Register(f.Context(), r, 1000*time.Hour)
		return []any{domain.CodeOf(err), w.ID, w.SessionID, w.Status, w.Slots}
	})
	m.workers = append(m.workers, domain.Worker{ID: r.WorkerID, SessionID: r.SessionID})
}

// end ends sessions, by a deregistration or by a certificate.
func (m *model) end(t *rapid.T) {
	e := domain.SessionEnd{ProcessID: fmt.Sprint("proc_", rapid.IntRange(1, 4).Draw(t, "process")), Secret: secret}
	switch {
	case len(m.workers) > 0 && rapid.Bool().Draw(t, "own word"):
		w := rapid.SampledFrom(m.workers).Draw(t, "session")
		e = domain.SessionEnd{WorkerID: w.ID, SessionID: w.SessionID}
	case rapid.IntRange(0, 3).Draw(t, "secret") == 0:
		e.Secret = wrongSecret
	}
	m.both("end", func(f *fixture) any {
		ended, err := f.Workers.End(f.Context(), e)
		out := []any{domain.CodeOf(err)}
		for _, w := range ended {
			out = append(out, w.ID, w.SessionID, w.Status)
		}
		return out
	})
}
