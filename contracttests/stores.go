package contracttests

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/dear"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// StoreHarness hooks a storage into the suites.
type StoreHarness struct {
	// Open returns a new handle on the same storage with each call.
	Open func() ports.Stores
	// Advance moves the store's clock.
	Advance func(d time.Duration)
	// Sizes returns the number of stored items by kind, for example rows by table.
	Sizes func(t T) map[string]int
	// Traces returns the number of items by kind that the storage has of a customer and these
	// workloads of it. Kinds of which it has none are listed with 0. What stays of a deleted customer
	// is left out.
	Traces func(t T, customer domain.CustomerID, workloads []domain.WorkloadID) map[string]int
	// Close releases the resources of a sequence of the model test, before the test ends. It may be
	// nil.
	Close func()
}

// RunStores runs the suites of all store ports.
func RunStores(t *testing.T, adapter string, open func(t *testing.T) StoreHarness) {
	t.Helper()
	for _, s := range StoreSuites() {
		t.Run(s.Port, func(t *testing.T) { Run(t, s.Port, adapter, s.Cases, open) })
	}
}

// RunSomeStores runs each nth case of every suite, or all if dear tests run whole.
func RunSomeStores(t *testing.T, adapter string, n int, open func(t *testing.T) StoreHarness) {
	t.Helper()
	for _, s := range StoreSuites() {
		t.Run(s.Port, func(t *testing.T) { Run(t, s.Port, adapter, dear.Some(t, n, s.Cases), open) })
	}
}

// StoreSuite is the suite of one store port.
type StoreSuite struct {
	Port  string
	Cases []Case[StoreHarness]
}

// StoreSuites lists the suites of all store ports.
func StoreSuites() []StoreSuite {
	return []StoreSuite{
		{"WorkloadStore", slices.Concat(submitCases(), restoreCases(), applyCases(), assignCases(),
			listCases())},
		{"QueueStore", slices.Concat(queueCases(), endingCases(), laneCases(), suspectCases(), resourceCases(),
			backfillCases())},
		{"InsightStore", insightCases()},
		{"StatisticsStore", slices.Concat(statisticsCases(), seriesCases(), mixCases())},
		{"WorkerStore", append(workerCases(), registrationCases()...)},
		{"FleetStore", fleetCases()},
		{"RetentionStore", slices.Concat(retentionCases(), archiveCases(), archiveMonthCases(), yearCases())},
		{"CheckpointStore", checkpointCases()},
		{"UploadStore", uploadCases()},
		{"Tenancy", tenancyCases()},
		{"Records", recordCases()},
		{"EventStore", eventCases()},
		{"AdminAuditStore", adminAuditCases()},
		{"ErasureStore", erasureCases()},
		{"AnswerStore", answerCases()},
		{"TicketStore", ticketCases()},
		{"LeaderLease", leaderCases()},
		{"All", append(allCases(), ownershipCases()...)},
		{"Sessions", sessionCases()},
	}
}

// fixture is a storage with customers and a leader. Its methods do the common steps of cases.
type fixture struct {
	T
	ports.Stores
	h     StoreHarness
	epoch int64
	n     int
}

const (
	lease  = 20 * time.Second
	ttl    = time.Hour // of the leader lease: longer than a case that is not about it
	acme   = domain.CustomerID("cust_acme")
	rival  = domain.CustomerID("cust_rival")
	holder = "leader"
)

var (
	coordinator = domain.Actor{Kind: domain.ActorCoordinator, ID: holder}
	admin       = domain.Admin{
		KeyID: "key_ada", KeyName: "Ada", Address: "192.0.2.7", ForwardedFor: "198.51.100.1", RequestID: "req_1",
	}
)

// given returns a fixture with two customers and a leader.
func given(t T, h StoreHarness) *fixture {
	t.Helper()
	f := &fixture{T: t, Stores: h.Open(), h: h}
	for _, id := range []domain.CustomerID{acme, rival} {
		_, err := f.Customers.Create(t.Context(), domain.Customer{ID: id, Name: "C", Tier: domain.TierPremium}, admin)
		require.NoError(t, err)
	}
	l, held, err := f.Leader.Acquire(t.Context(), holder, ttl)
	require.NoError(t, err)
	require.True(t, held)
	f.epoch = l.Epoch
	return f
}

// worker registers a worker that offers type "t".
func (f *fixture) worker(name string, slots int) domain.Worker {
	f.Helper()
	w, err := f.Workers.Register(f.Context(), registration(name, name+"-session", slots), lease)
	require.NoError(f, err)
	return w
}

func registration(name, session string, slots int) domain.Registration {
	return domain.Registration{
		WorkerID: domain.WorkerID(name), SessionID: domain.SessionID(session),
		Capabilities: []string{"t"}, Slots: slots,
	}
}

// takeOver returns the registration of a process that takes over the id of another one.
func takeOver(name, session string, slots int) domain.Registration {
	r := registration(name, session, slots)
	r.TakeOver = true
	return r
}

// submission returns a valid submission with a fresh id.
func (f *fixture) submission(customer domain.CustomerID) domain.Submission {
	f.n++
	return domain.Submission{Spec: domain.Spec{
		ID: domain.WorkloadID(fmt.Sprintf("wl_%04d", f.n)), CustomerID: customer, Type: "t",
		Input: `{"n":1}`, Priority: 10, Run: domain.DefaultRunConfig(),
		Origin: domain.Origin{RequestID: "req_1", Trace: domain.SpanRef{TraceID: [16]byte{1}, SpanID: [8]byte{2}}},
	}, Actor: domain.Actor{Kind: domain.ActorUser, ID: "key_1"}}
}

// submit stores a workload of acme, with changes to its submission.
func (f *fixture) submit(change ...func(*domain.Submission)) domain.Workload {
	f.Helper()
	s := f.submission(acme)
	for _, c := range change {
		c(&s)
	}
	rs, err := f.Workloads.Submit(f.Context(), []domain.Submission{s})
	require.NoError(f, err)
	require.Equal(f, domain.Admitted, rs[0].Status)
	return rs[0].Workload
}

// get reads a workload of any customer.
func (f *fixture) get(id domain.WorkloadID) domain.Workload {
	f.Helper()
	ws, err := f.Workloads.GetAny(f.Context(), id)
	require.NoError(f, err)
	require.Len(f, ws, 1)
	return ws[0]
}

// apply applies transitions as one batch, under the leader's epoch if they need it.
func (f *fixture) apply(ts ...domain.Transition) []domain.Result {
	f.Helper()
	b := domain.Batch{Transitions: ts}
	if b.NeedsEpoch() {
		b.Epoch = f.epoch
	}
	rs, err := f.Workloads.Apply(f.Context(), b)
	require.NoError(f, err)
	require.Len(f, rs, len(ts))
	return rs
}

// must applies one transition, which must succeed.
func (f *fixture) must(t domain.Transition) domain.State {
	f.Helper()
	r := f.apply(t)[0]
	require.Equal(f, domain.OutcomeApplied, r.Outcome, "%s: %s", t.Event, r.Reason)
	return r.State
}

func assign(w domain.Workload, to domain.Worker) domain.Transition {
	return domain.Transition{
		WorkloadID: w.ID, Event: domain.EventAssign, Generation: w.Generation + 1,
		WorkerID: to.ID, SessionID: to.SessionID, Actor: coordinator,
	}
}

// report returns the transition of a worker's report on a workload at a generation.
func report(w domain.Workload, by domain.Worker, e domain.Event, generation int64) domain.Transition {
	t := domain.Transition{
		WorkloadID: w.ID, Event: e, Generation: generation, SessionID: by.SessionID,
		Actor: domain.Actor{Kind: domain.ActorWorker, ID: string(by.ID)},
	}
	switch e {
	case domain.EventFail:
		t.Failure, t.Jitter = &domain.Failure{Type: "error", Message: "boom"}, 0.5
	case domain.EventComplete:
		t.Result = `{"done":true}`
	case domain.EventCheckpoint:
		t.CheckpointSequence = w.CheckpointSequence + 1
	default:
	}
	return t
}

// wrote returns the transition of a report that carries log lines.
func wrote(w domain.Workload, by domain.Worker, lines ...domain.LogLine) domain.Transition {
	t := report(w, by, domain.EventLog, 1)
	t.Lines = lines
	return t
}

// running returns a workload that runs on the worker at generation 1.
func (f *fixture) running(on domain.Worker, change ...func(*domain.Submission)) domain.Workload {
	f.Helper()
	w := f.submit(change...)
	f.must(assign(w, on))
	f.must(report(w, on, domain.EventStart, 1))
	return f.get(w.ID)
}

func lose(w domain.Workload, loss domain.Loss) domain.Transition {
	return domain.Transition{
		WorkloadID: w.ID, Event: domain.EventLose, Generation: w.Generation, SessionID: w.SessionID,
		Loss: loss, Actor: coordinator,
	}
}

func cancel(w domain.Workload) domain.Transition {
	return domain.Transition{WorkloadID: w.ID, CustomerID: w.CustomerID, Event: domain.EventCancel}
}

// trail returns the types of a workload's audit events.
func (f *fixture) trail(w domain.Workload) []domain.AuditType {
	f.Helper()
	es, err := f.Audit.Workload(f.Context(), w.CustomerID, w.ID, 0, 1000)
	require.NoError(f, err)
	types := make([]domain.AuditType, len(es))
	last := domain.Status("")
	for i, e := range es {
		types[i] = e.Type
		require.Equal(f, last, e.From, "each audit event begins where the one before ended")
		last = e.To
	}
	require.Equal(f, f.get(w.ID).Status, last, "the audit ends in the current state")
	return types
}

// requireCode requires that err carries the code.
func requireCode(t T, err error, code domain.Code) {
	t.Helper()
	require.Error(t, err)
	require.Equal(t, code, domain.CodeOf(err), "%v", err)
}
