package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func TestLogger_WhateverARecordHolds_WritesOneLineOfJSON(t *testing.T) {
	var out bytes.Buffer
	log := telemetry.NewLogger(&out, slog.LevelInfo, "json").With("worker_id", "w\n{\"level\":\"fatal\"}")
	nasty := "a\nb\r{\"level\":\"error\"}\x00\x1b[31m\u2028\"'"
	log.Info(nasty, "name", nasty, nasty, 1, "error", errors.New(nasty))
	log.Debug("below the level")
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	require.Len(t, lines, 1)
	var rec map[string]any
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &rec))
	assert.Equal(t, "info", rec["level"])
	assert.Equal(t, nasty, rec["message"])
	assert.NotContains(t, out.String(), "\x1b")
}

func TestMetrics_WhenSomethingHappens_CountIt(t *testing.T) {
	m := telemetry.NewMetrics()
	at := time.Unix(100, 0)
	m.Submitted([]ports.SubmitResult{{Status: domain.Admitted}, {Status: domain.AdmissionQueueFull}})
	m.Transitioned(
		domain.Batch{Transitions: []domain.Transition{{Event: domain.EventAssign}, {Event: domain.EventComplete},
			{Event: domain.EventStart}}},
		[]domain.Result{
			{Outcome: domain.OutcomeApplied, State: domain.State{Generation: 1}},
			{Outcome: domain.OutcomeApplied, State: domain.State{StartedAt: at, FinishedAt: at.Add(3 * time.Second)}},
			{Outcome: domain.OutcomeFenced},
		})
	m.Cycle(ports.SchedulingCycle{
		Placed: 5, Refused: 2, Preempted: 3, Queue: &ports.QueueView{Lanes: 7, OldestWait: time.Minute,
			PassedOver: map[domain.Obstacle]int{domain.ObstacleFull: 6}},
		Placements: []ports.Placement{
			{Tier: domain.TierPremium, Waited: 2 * time.Second, First: true, Preferred: true, Matched: true},
			{Tier: domain.TierFree, Waited: time.Hour},
		},
	})
	m.Cycle(ports.SchedulingCycle{}) // one that did not look at the queue
	m.Leader(true, 9)
	m.Count("worker_expired", 4)
	text := scrape(m)
	for _, want := range []string{
		`niyanta_submissions_total{result="accepted"} 1`,
		`niyanta_submissions_total{result="queue_full"} 1`,
		`niyanta_transitions_total{event="assign",outcome="applied"} 1`,
		`niyanta_transitions_total{event="start",outcome="fenced"} 1`,
		`niyanta_queue_wait_seconds_sum{tier="premium"} 2`,
		`niyanta_scheduler_lanes_passed_over{obstacle="full"} 6`,
		`niyanta_scheduler_lanes_passed_over{obstacle="unplaceable"} 0`,
		`niyanta_scheduler_preferences_total{matched="true"} 1`,
		`niyanta_scheduler_preemption_requests_total 3`,
		`niyanta_queue_oldest_wait_seconds 60`,
		`niyanta_run_seconds_sum 3`,
		`niyanta_scheduler_placed_total 5`,
		`niyanta_scheduler_lanes 7`,
		`niyanta_leader 1`,
		`niyanta_leader_epoch 9`,
		`niyanta_events_total{event="worker_expired"} 4`,
	} {
		assert.Contains(t, text, want+"\n")
	}
	m.Leader(false, 9)
	assert.Contains(t, scrape(m), "niyanta_leader 0\n")
}

func TestSeries_WithMoreCustomersAndWorkloads_StayBounded(t *testing.T) {
	m := telemetry.NewMetrics()
	hit := func(n int) {
		for i := range n {
			id := fmt.Sprint(i)
			m.Submitted([]ports.SubmitResult{{Workload: domain.Workload{Spec: domain.Spec{CustomerID: domain.CustomerID(id)}}}})
			m.Transitioned(domain.Batch{Transitions: []domain.Transition{{Event: domain.EventStart,
				WorkloadID: domain.WorkloadID(id)}}},
				[]domain.Result{{Outcome: domain.OutcomeApplied, CustomerID: domain.CustomerID(id), Type: id}})
		}
	}
	hit(1)
	before := strings.Count(scrape(m), "\nniyanta_")
	hit(10_000)
	assert.Equal(t, before, strings.Count(scrape(m), "\nniyanta_"))
}

// TestSeries_WhateverClientsSend_StayBounded calls everything that takes a label with 20,000
// invented values.
func TestSeries_WhateverClientsSend_StayBounded(t *testing.T) {
	m := telemetry.NewMetrics()
	routes := []string{"/v1/workloads", "/v1/workloads/{id}", "other"}
	hit := func(from, to int) {
		for i := from; i < to; i++ {
			name := fmt.Sprint("invented-", i)
			m.Request(name, routes[i%3], 200, time.Millisecond)
			m.Request("GET", name, 200, time.Millisecond)
			m.Request("GET", routes[0], i, time.Millisecond)
			m.Count(name, 1)
			m.Submitted([]ports.SubmitResult{{Status: domain.Admission(i),
				Workload: domain.Workload{Spec: domain.Spec{Type: name}}}})
			m.Transitioned(domain.Batch{Transitions: []domain.Transition{{Event: domain.Event(name), Reason: name}}},
				[]domain.Result{{Outcome: domain.Outcome(name), Type: name, Reason: name}})
			m.Cycle(ports.SchedulingCycle{
				Placements: []ports.Placement{{Tier: domain.Tier(name), First: true}},
				Workers:    map[domain.WorkerStatus]int{domain.WorkerStatus(name): 1},
				Queue:      &ports.QueueView{Lanes: 1, PassedOver: map[domain.Obstacle]int{domain.Obstacle(name): 1}},
			})
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
