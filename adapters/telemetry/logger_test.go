package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func TestLogger_WhateverARecordHolds_WritesOneLineOfJSON(t *testing.T) {
	var out bytes.Buffer
	log := NewLogger(&out, slog.LevelInfo, "json").With("worker_id", "w\n{\"level\":\"fatal\"}")
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

func TestLogger_OnAConsole_WritesOneLineWithoutControlCharacters(t *testing.T) {
	nasty := "a\nERR forged\r\x00\x1b[31m\u2028\u0085\u009b31m\u202e\"'"
	var out bytes.Buffer
	log := NewLogger(&out, slog.LevelInfo, FormatConsole).With("worker_id", nasty)
	log.Info(nasty, "name", nasty, nasty, 1, "error", errors.New(nasty), "list", []string{nasty},
		slog.Group(nasty, "k", nasty))
	text := out.String()
	assert.Equal(t, 1, strings.Count(text, "\n"), text)
	assert.True(t, printable(strings.TrimSuffix(text, "\n")), "%q", text)
	assert.Contains(t, text, "INF")
	out.Reset()
	log.Info("a plain message", "workload_id", "wl_1")
	assert.Contains(t, out.String(), "INF a plain message ", "is not quoted")
	assert.Contains(t, out.String(), " workload_id=wl_1")
}

func TestLogger_WhenLinesOfInfoAreTooMany_LeavesSomeOutAndSaysHowMany(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(100, 0)
	log := slog.New(newSampling(slog.NewTextHandler(&out, nil), func() time.Time { return now }))
	for i := range 250 {
		log.With("n", i).Info("changed")
		log.Warn("warned")
	}
	log.WithGroup("g").Info("other")
	assert.Equal(t, linesPerSecond, strings.Count(out.String(), "msg=changed"))
	assert.Equal(t, 250, strings.Count(out.String(), "msg=warned"), "what is wrong is never left out")
	assert.Equal(t, 1, strings.Count(out.String(), "msg=other"), "another message has its own count")
	out.Reset()
	now = now.Add(time.Second)
	log.Info("changed")
	log.Info("changed")
	assert.Equal(t, 1, strings.Count(out.String(), "left_out=150\n"), out.String())
	assert.Equal(t, 2, strings.Count(out.String(), "msg=changed"))
	for i := range 2 * messagesLimit {
		log.Info(fmt.Sprint("message ", i))
	}
	s, is := log.Handler().(sampling)
	require.True(t, is)
	assert.LessOrEqual(t, len(s.rates.messages), messagesLimit)
}

// TestStateLog_OfALife_HasALineForEachChangeAndNoneOfItsData writes the life of a workload.
func TestStateLog_OfALife_HasALineForEachChangeAndNoneOfItsData(t *testing.T) {
	var out bytes.Buffer
	log := NewStateLog(NewMetrics(), NewLogger(&out, slog.LevelInfo, FormatJSON))
	const id = domain.WorkloadID("wl_06h0r71uvds0t3f5d7e71d0bhg")
	origin := domain.Origin{RequestID: "req_1"}
	spec := domain.Spec{ID: id, CustomerID: "cust_a", Type: "t", Origin: origin, Input: `{"secret":1}`,
		Labels: map[string]string{"secret": "secret"}}
	log.Submitted(domain.TierFree, []ports.SubmitResult{
		{Status: domain.Admitted, Workload: domain.Workload{Spec: spec}}, {Status: domain.AdmissionQueueFull},
	}, 0)
	step := func(outcome domain.Outcome, from domain.Status, to domain.State, tr domain.Transition) {
		log.Transitioned(domain.Batch{Transitions: []domain.Transition{tr}}, []domain.Result{{
			Outcome: outcome, WorkloadID: id, CustomerID: "cust_a", Type: "t", Origin: origin, From: from,
			FromWorkerID: "w1", State: to,
		}}, 0)
	}
	held := domain.State{Status: domain.StatusRunning, Generation: 1, WorkerID: "w1"}
	waits := domain.State{Status: domain.StatusPending, Generation: 1}
	step(domain.OutcomeApplied, domain.StatusRunning, held, domain.Transition{Event: domain.EventProgress})
	step(domain.OutcomeFenced, domain.StatusRunning, waits, domain.Transition{Event: domain.EventLose})
	step(domain.OutcomeApplied, domain.StatusScheduled, held, domain.Transition{Event: domain.EventStart})
	step(domain.OutcomeApplied, domain.StatusRunning, waits, domain.Transition{Event: domain.EventFail, Reason: "secret",
		Message: "secret", Failure: &domain.Failure{Type: "exit_status", Message: "secret"}})
	step(domain.OutcomeApplied, domain.StatusRunning, waits, domain.Transition{
		Event: domain.EventLose, Loss: domain.LossDied,
	})
	assert.NotContains(t, out.String(), "secret")
	trace := origin.Span(id).Trace()
	var got []string
	for line := range strings.Lines(out.String()) {
		var r map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &r))
		got = append(got, fmt.Sprint(r["message"], " ", r["event"], " ", r["worker_id"], " ", r["error_type"], r["loss"]))
		assert.Equal(t, []any{"info", string(id), "cust_a", "t", "req_1", trace}, []any{
			r["level"], r["workload_id"], r["customer_id"], r["workload_type"], r["request_id"], r["trace_id"],
		}, line)
	}
	assert.Equal(t, []string{
		"workload submitted <nil> <nil> <nil> <nil>",
		"workload changed state start w1 <nil> <nil>",
		"workload changed state fail w1 exit_status<nil>",
		"workload changed state lose w1 <nil>" + string(domain.LossDied),
	}, got)
}
