package telemetry_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func TestMetrics_WhenSomethingHappens_CountIt(t *testing.T) {
	m := telemetry.NewMetrics()
	m.Leads(func() bool { return true })
	m.ListCustomers("cust_a", "cust_idle")
	at, delay := time.Unix(100, 0), time.Minute
	m.Submitted(domain.TierFree, []ports.SubmitResult{{Status: domain.Admitted}, {Status: domain.AdmissionQueueFull}}, 0)
	ended := func(event domain.Event, from, to domain.Status, change func(*domain.Transition)) {
		tr := domain.Transition{Event: event}
		if change != nil {
			change(&tr)
		}
		m.Transitioned(domain.Batch{Transitions: []domain.Transition{tr}}, []domain.Result{{
			Outcome: domain.OutcomeApplied, Type: "t", From: from,
			State: domain.State{Status: to, Generation: 1, StartedAt: at, FinishedAt: at.Add(3 * time.Second)},
		}}, 0)
	}
	ended(domain.EventAssign, domain.StatusPending, domain.StatusScheduled, nil)
	ended(domain.EventComplete, domain.StatusRunning, domain.StatusCompleted, nil)
	ended(domain.EventFail, domain.StatusRunning, domain.StatusPending, func(t *domain.Transition) {
		t.Failure = &domain.Failure{Type: "made up by a workload"}
	})
	ended(domain.EventTimeout, domain.StatusRunning, domain.StatusPending, nil)
	ended(domain.EventLose, domain.StatusRunning, domain.StatusRedistributing, func(t *domain.Transition) {
		t.Loss = domain.LossDied
	})
	ended(domain.EventLose, domain.StatusScheduled, domain.StatusRedistributing, func(t *domain.Transition) {
		t.Loss = domain.LossDied
	})
	ended(domain.EventRelease, domain.StatusRunning, domain.StatusRedistributing, nil)
	ended(domain.EventRelease, domain.StatusRunning, domain.StatusRedistributing, func(t *domain.Transition) {
		t.RetryAfter = &delay
	})
	m.Transitioned(domain.Batch{Transitions: []domain.Transition{{Event: domain.EventStart}}},
		[]domain.Result{{Outcome: domain.OutcomeFenced}}, 0)
	m.Checkpointed(ports.CheckpointAttempt{Size: 2000, Took: time.Second,
		Result: domain.Result{Outcome: domain.OutcomeApplied}})
	m.Checkpointed(ports.CheckpointAttempt{Size: 9 << 20, Err: domain.NewError(domain.CodeTooLarge, "no")})
	m.Checkpointed(ports.CheckpointAttempt{Err: errors.New("no database")})
	m.Throttled(domain.TierPremium, "rate")
	m.Throttled("", "in_flight")
	m.Cycle(ports.SchedulingCycle{
		Placed: 5, Refused: 2, Preempted: 3, Slots: 8, FreeSlots: 2, EndingRuns: 1,
		Resources: []domain.ResourceUsage{
			{Resource: "cpu_cores", Allocated: 2.5, Free: 5.5}, {Resource: "gpus", Model: "A10", Allocated: 0.5, Free: 1.5},
		},
		Workers: map[domain.WorkerStatus]int{domain.WorkerHealthy: 2},
		Queue: &ports.QueueView{Lanes: 7, OldestWait: time.Minute,
			PassedOver: map[domain.Obstacle]int{domain.ObstacleFull: 6}},
		Placements: []ports.Placement{
			{Tier: domain.TierPremium, Waited: 2 * time.Second, First: true, Preferred: true, Matched: true},
			{Tier: domain.TierFree, Waited: time.Hour},
		},
	})
	m.Queue([]domain.CustomerQueue{
		{CustomerID: "cust_a", TierQueue: domain.TierQueue{Tier: domain.TierFree, Waiting: 4, Delayed: 2, Blocked: 1,
			Running: 3, OldestWait: time.Minute}},
		{CustomerID: "cust_b", TierQueue: domain.TierQueue{Tier: domain.TierPremium, Waiting: 5}},
	})
	m.Pools([]domain.PoolScale{{Name: "cpu", Waiting: 7, Workers: 2, DesiredWorkers: 5}})
	m.Count("worker_expired", 4)
	text := scrape(m)
	for _, want := range []string{
		`niyanta_scaling_waiting{worker_pool="cpu"} 7`,
		`niyanta_scaling_workers{worker_pool="cpu"} 2`,
		`niyanta_scaling_desired_workers{worker_pool="cpu"} 5`,
		`niyanta_workload_submissions_total{result="accepted",tier="free"} 1`,
		`niyanta_workload_submissions_total{result="queue_full",tier="free"} 1`,
		`niyanta_workload_submissions_total{result="accepted",tier="premium"} 0`,
		`niyanta_workload_duration_seconds_sum{result="completed",workload_type="t"} 3`,
		`niyanta_workload_executions_total{result="completed",workload_type="t"} 1`,
		`niyanta_workload_executions_total{result="timed_out",workload_type="t"} 1`,
		`niyanta_workload_executions_total{result="lost",workload_type="t"} 1`,
		`niyanta_workload_executions_total{result="released",workload_type="t"} 2`,
		`niyanta_workload_wait_seconds_sum{tier="premium"} 2`,
		`niyanta_retries_total{reason="other"} 1`,
		`niyanta_retries_total{reason="timeout"} 1`,
		`niyanta_redistributions_total{reason="worker_died"} 2`,
		`niyanta_redistributions_total{reason="drained"} 1`,
		`niyanta_redistributions_total{reason="preempted"} 1`,
		`niyanta_checkpoints_total{result="saved"} 1`,
		`niyanta_checkpoints_total{result="refused"} 1`,
		`niyanta_checkpoints_total{result="failed"} 1`,
		`niyanta_checkpoint_bytes_sum{result="saved"} 2000`,
		`niyanta_checkpoint_duration_seconds_sum{result="saved"} 1`,
		`niyanta_throttled_requests_total{reason="rate",tier="premium"} 1`,
		`niyanta_throttled_requests_total{reason="in_flight",tier="other"} 1`,
		`niyanta_transitions_total{event="assign",outcome="applied"} 1`,
		`niyanta_transitions_total{event="start",outcome="fenced"} 1`,
		`niyanta_scheduler_queue_depth{state="waiting",tier="free"} 4`,
		`niyanta_scheduler_queue_depth{state="delayed",tier="free"} 2`,
		`niyanta_scheduler_queue_depth{state="blocked",tier="free"} 1`,
		`niyanta_scheduler_queue_depth{state="waiting",tier="enterprise"} 0`,
		`niyanta_queue_depth_total 9`,
		`niyanta_queue_oldest_seconds 60`,
		`niyanta_scheduler_oldest_wait_seconds{tier="free"} 60`,
		`niyanta_running_total{tier="free"} 3`,
		`niyanta_customer_queue_depth{customer_id="cust_a",state="waiting"} 4`,
		`niyanta_customer_running{customer_id="cust_idle"} 0`,
		`niyanta_worker_pool_size{status="HEALTHY"} 2`,
		`niyanta_worker_pool_size{status="DEAD"} 0`,
		`niyanta_worker_capacity_total 8`,
		`niyanta_worker_capacity_used 6`,
		`niyanta_worker_utilization_percent 75`,
		`niyanta_worker_ending_runs 1`,
		`niyanta_worker_resource_allocated{model="",resource="cpu_cores"} 2.5`,
		`niyanta_worker_resource_allocated{model="A10",resource="gpus"} 0.5`,
		`niyanta_worker_resource_free{model="A10",resource="gpus"} 1.5`,
		`niyanta_scheduler_lanes_passed_over{obstacle="full"} 6`,
		`niyanta_scheduler_lanes_passed_over{obstacle="unplaceable"} 0`,
		`niyanta_scheduler_preferences_total{matched="true"} 1`,
		`niyanta_scheduler_preemption_requests_total 3`,
		`niyanta_scheduler_placed_total 5`,
		`niyanta_scheduler_lanes 7`,
		`niyanta_leader 1`,
		`niyanta_events_total{event="worker_expired"} 4`,
	} {
		assert.Contains(t, text, want+"\n")
	}
	assert.NotContains(t, text, "cust_b", "only the customers of the list have series")
	m.Cycle(ports.SchedulingCycle{}) // one that did not look at the queue
	assert.Contains(t, scrape(m), "niyanta_scheduler_lanes 7\n")
}

func TestMetrics_OfResources_AreBoundedAndForgetWhatIsGone(t *testing.T) {
	m := telemetry.NewMetrics()
	m.Leads(func() bool { return true })
	var all []domain.ResourceUsage
	for i := range 300 {
		all = append(all, domain.ResourceUsage{Resource: fmt.Sprintf("r%03d", i), Allocated: 1, Free: 2})
	}
	m.Cycle(ports.SchedulingCycle{Resources: all})
	text := scrape(m)
	assert.Equal(t, 201, strings.Count(text, "\nniyanta_worker_resource_free{"))
	assert.Contains(t, text, `niyanta_worker_resource_allocated{model="",resource="other"} 100`)
	assert.Contains(t, text, `niyanta_worker_resource_free{model="",resource="other"} 200`)
	m.Cycle(ports.SchedulingCycle{Resources: all[:1]})
	text = scrape(m)
	assert.Equal(t, 1, strings.Count(text, "\nniyanta_worker_resource_free{"))
	assert.Equal(t, 1, strings.Count(text, "\nniyanta_worker_resource_allocated{"))
}

func TestMetrics_OnACoordinatorThatLeadsNoMore_LackWhatOnlyALeaderKnows(t *testing.T) {
	m := telemetry.NewMetrics()
	var leads atomic.Bool
	ofLeader := map[string]bool{}
	for _, d := range telemetry.Definitions() {
		if d.Place == "leader" && d.When == "" {
			ofLeader[d.Name] = true
		}
	}
	absent := func(what string) {
		t.Helper()
		for line := range strings.Lines(scrape(m)) {
			name, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			name, _, _ = strings.Cut(name, "{")
			assert.False(t, ofLeader[name], "%s: %s", what, line)
		}
		assert.Contains(t, scrape(m), "niyanta_leader 0\n", what)
	}
	says := func() {
		m.Cycle(ports.SchedulingCycle{
			Queue: &ports.QueueView{}, Resources: []domain.ResourceUsage{{Resource: "gpus", Model: "A10", Free: 1}},
		})
		m.Queue(nil)
	}
	absent("before it is told what leading is")
	m.Leads(leads.Load)
	absent("one that has never led")
	leads.Store(true)
	m.Leader(true, 1)
	says()
	for name := range ofLeader {
		assert.Contains(t, scrape(m), "\n"+name, "the leader says it")
	}
	leads.Store(false) // its lease has lapsed, and it has not noticed
	absent("one that was frozen")
	m.Leader(false, 1)
	says() // a cycle that was under way
	absent("one that stepped down")
	m.Leader(true, 3)
	leads.Store(true)
	text := scrape(m)
	assert.Contains(t, text, "niyanta_leader 1\n")
	assert.NotContains(t, text, "\nniyanta_queue_depth_total", "what it said in an earlier leadership is stale")
}

func TestSeries_With10000CustomersAnd5000Types_StayBounded(t *testing.T) {
	m := telemetry.NewMetrics()
	m.Leads(func() bool { return true })
	hit := func(customers int) {
		queues := make([]domain.CustomerQueue, customers)
		for i := range customers {
			customer, tier := domain.CustomerID(fmt.Sprint("cust_", i)), domain.Tiers()[i%4]
			typ := fmt.Sprint("type-", i%5_000)
			queues[i] = domain.CustomerQueue{CustomerID: customer, TierQueue: domain.TierQueue{Tier: tier, Waiting: 1}}
			m.Submitted(tier, []ports.SubmitResult{{Workload: domain.Workload{Spec: domain.Spec{CustomerID: customer,
				Type: typ}}}}, 0)
			for event := range map[domain.Event]bool{domain.EventComplete: true, domain.EventFail: true} {
				m.Transitioned(
					domain.Batch{Transitions: []domain.Transition{{Event: event, WorkloadID: domain.WorkloadID(customer),
						Failure: &domain.Failure{Type: typ}}}},
					[]domain.Result{{Outcome: domain.OutcomeApplied, CustomerID: customer, Type: typ,
						From: domain.StatusRunning, State: domain.State{Status: domain.StatusCompleted,
							StartedAt: time.Unix(1, 0), FinishedAt: time.Unix(2, 0)}}}, 0)
			}
			m.Throttled(tier, "rate")
		}
		m.Queue(queues)
	}
	hit(100)
	before := strings.Count(scrape(m), "\nniyanta_")
	hit(10_000)
	text := scrape(m)
	assert.Equal(t, before, strings.Count(text, "\nniyanta_"))
	assert.Equal(t, 51, strings.Count(text, `niyanta_workload_executions_total{result="completed"`),
		"50 types, and one series for all others")
	assert.Contains(t, text, `niyanta_workload_executions_total{result="completed",workload_type="other"} 9950`)
	assert.NotContains(t, text, "cust_")
	assert.Less(t, before, 3_000)
}

// TestSeries_WhateverClientsSend_StayBounded calls everything that takes a label with 20,000
// invented values.
func TestSeries_WhateverClientsSend_StayBounded(t *testing.T) {
	m := telemetry.NewMetrics()
	m.Leads(func() bool { return true })
	routes := []string{"/v1/workloads", "/v1/workloads/{id}", "other"}
	hit := func(from, to int) {
		for i := from; i < to; i++ {
			name := fmt.Sprint("invented-", i)
			m.Request(name, routes[i%3], 200, time.Millisecond)
			m.Request("GET", name, 200, time.Millisecond)
			m.Request("GET", routes[0], i, time.Millisecond)
			m.Count(name, 1)
			m.Submitted(domain.Tier(name), []ports.SubmitResult{{Status: domain.Admission(i),
				Workload: domain.Workload{Spec: domain.Spec{Type: name}}}}, 0)
			m.Transitioned(domain.Batch{Transitions: []domain.Transition{{Event: domain.Event(name), Reason: name}}},
				[]domain.Result{{Outcome: domain.Outcome(name), Type: name, Reason: name}}, 0)
			m.Cycle(ports.SchedulingCycle{
				Placements: []ports.Placement{{Tier: domain.Tier(name), First: true}},
				Workers:    map[domain.WorkerStatus]int{domain.WorkerStatus(name): 1},
				Queue:      &ports.QueueView{Lanes: 1, PassedOver: map[domain.Obstacle]int{domain.Obstacle(name): 1}},
			})
			m.Throttled(domain.Tier(name), name)
			m.Checkpointed(ports.CheckpointAttempt{
				Result: domain.Result{Outcome: domain.Outcome(name)}, Err: errors.New(name),
			})
			m.Queue([]domain.CustomerQueue{{CustomerID: domain.CustomerID(name),
				TierQueue: domain.TierQueue{Tier: domain.Tier(name), Waiting: 1}}})
			m.Leader(i%2 == 0, int64(i))
		}
	}
	series := func() int { return strings.Count(scrape(m), "\nniyanta_") }
	hit(0, 1_000)
	before := series()
	hit(1_000, 21_000)
	assert.Equal(t, before, series())
	assert.Less(t, before, 10_000)
	text := scrape(m)
	assert.Contains(t, text, `method="other"`)
	assert.NotContains(t, text, "invented-20999")
	m.Request("GET", "/v1/workloads", 204, time.Millisecond)
	assert.Contains(t, scrape(m), `niyanta_http_request_seconds_count{method="GET",route="/v1/workloads",status="2xx"}`)
}

func scrape(m *telemetry.Metrics) string {
	rec := httptest.NewRecorder()
	m.Handler().ServeHTTP(rec, httptest.NewRequest("GET", "/metrics", nil))
	return rec.Body.String()
}
