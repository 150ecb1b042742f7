package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// shell runs command lines against one coordinator.
type shell struct {
	t        *testing.T
	url, key string
}

// run returns what a command line printed and its exit code.
func (s shell) run(stdin string, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	var out, errs bytes.Buffer
	code = run(append(args, "--url", s.url, "--api-key", s.key), strings.NewReader(stdin), &out, &errs)
	return out.String(), errs.String(), code
}

// json runs a command that must succeed, and decodes its output.
func (s shell) json(v any, args ...string) {
	s.t.Helper()
	out, errs, code := s.run("", append(args, "-o", "json")...)
	require.Equal(s.t, exitDone, code, errs)
	require.NoError(s.t, json.Unmarshal([]byte(out), v), out)
}

func shells(t *testing.T) (customer, admin shell, c *fleet) {
	t.Helper()
	c = newFleet(t)
	cust, err := c.admin.CreateCustomer(t.Context(), niyanta.CustomerInput{Name: "CLI", Tier: "enterprise"})
	require.NoError(t, err)
	key, err := c.admin.CreateKey(t.Context(), cust.CustomerID, niyanta.KeyInput{Role: "customer"})
	require.NoError(t, err)
	c.worker("w1")
	return shell{t, c.url, key.Key}, shell{t, c.url, c.adminKey}, c
}

func TestSubmit_WithWait_ExitsWithTheOutcome(t *testing.T) {
	sh, _, _ := shells(t)
	out, errs, code := sh.run("", "workload", "submit", "sleep", "--input", `{"duration_ms":20,"steps":2}`, "--wait")
	require.Equal(t, exitDone, code, errs)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var last niyanta.Workload
	for _, l := range lines {
		require.NoError(t, json.Unmarshal([]byte(l), &last), "one JSON object per line: %s", l)
	}
	assert.Equal(t, niyanta.Status("COMPLETED"), last.Status)
	assert.Contains(t, errs, "submitted "+last.WorkloadID)

	_, errs, code = sh.run(`{"command":["sh","-c","echo out; exit 65"]}`, "workload", "submit", "exec", "--input",
		"-", "--wait")
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, errs, "exit status 65")

	file := filepath.Join(t.TempDir(), "in.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"duration_ms":60000}`), 0o600))
	errs = sh.untilItSays("submitted", "workload", "submit", "sleep", "--input", "@"+file, "--wait", "--wait-timeout")
	id := strings.TrimSpace(strings.TrimPrefix(strings.Split(errs, "\n")[0], "submitted "))
	out, errs, code = sh.run("", "workload", "cancel", id)
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, "CANCELLED")
	_, errs, code = sh.run("", "workload", "watch", id)
	assert.Equal(t, exitCancelled, code, errs)
}

func TestWorkload_EachCommand_ReadsOrControls(t *testing.T) {
	sh, admin, c := shells(t)
	var sub struct {
		WorkloadID string `json:"workload_id"`
	}
	sh.json(&sub, "workload", "submit", "sleep", "--input", `{"duration_ms":60000,"steps":6000}`, "--label",
		"team=billing", "--priority", "7")
	id := sub.WorkloadID
	c.eventually(func() bool {
		w := c.getAs(sh.key, id)
		return w.Status == "RUNNING" && w.CheckpointSequence > 0
	}, "it runs")

	var list niyanta.WorkloadList
	sh.json(&list, "workload", "list", "--status", "RUNNING", "--label", "team=billing")
	require.Len(t, list.Workloads, 1)
	assert.Equal(t, id, list.Workloads[0].WorkloadID)
	out, _, code := sh.run("", "workload", "list")
	require.Equal(t, exitDone, code)
	assert.Contains(t, out, "WORKLOAD")
	assert.Contains(t, out, id)

	for _, flags := range [][]string{{"--all-customers"}, {"--customer", list.Workloads[0].CustomerID}} {
		out, errs, code := admin.run("", append([]string{"workload", "list"}, flags...)...)
		require.Equal(t, exitDone, code, errs)
		assert.Contains(t, out, "CUSTOMER")
		assert.Contains(t, out, list.Workloads[0].CustomerID)
		assert.Contains(t, out, id)
		_, errs, code = sh.run("", append([]string{"workload", "list"}, flags...)...)
		assert.Equal(t, exitError, code, "another customer's, or one's own: it is for administrators")
		assert.Contains(t, errs, "FORBIDDEN")
	}

	out, errs, code := sh.run("", "checkpoint", "request", id)
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, "RUNNING")
	var kept struct{ Checkpoints []niyanta.CheckpointInfo }
	sh.json(&kept, "checkpoint", "list", id)
	require.NotEmpty(t, kept.Checkpoints)
	assert.Positive(t, kept.Checkpoints[0].Sequence)
	out, errs, code = sh.run("", "checkpoint", "list", id)
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, kept.Checkpoints[0].Checksum)
	sh.checkpoint(id, kept.Checkpoints[len(kept.Checkpoints)-1])
	out, errs, code = sh.run("", "workload", "pause", id)
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, "PAUSED")
	out, errs, code = sh.run("", "workload", "resume", id)
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, "PENDING")

	var w niyanta.Workload
	sh.json(&w, "workload", "get", id)
	assert.Equal(t, 7, w.Priority)
	out, _, code = sh.run("", "workload", "audit", id)
	require.Equal(t, exitDone, code)
	for _, event := range []string{"workload.created", "workload.scheduled", "workload.started", "workload.paused",
		"workload.resumed"} {
		assert.Contains(t, out, event)
	}

	var workers struct{ Workers []niyanta.WorkerInfo }
	admin.json(&workers, "worker", "list")
	require.Len(t, workers.Workers, 1)
	out, errs, code = admin.run("", "worker", "drain", "w1")
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, "DRAINING")
	_, errs, code = admin.run("", "worker", "remove", "w1")
	require.Equal(t, exitDone, code, errs)
	_, errs, code = sh.run("", "workload", "cancel", id)
	require.Equal(t, exitDone, code, errs)
}

// checkpoint reads a checkpoint of a workload in each way.
func (s shell) checkpoint(id string, want niyanta.CheckpointInfo) {
	t := s.t
	t.Helper()
	sequence := fmt.Sprint(want.Sequence)
	var got, newest niyanta.CheckpointInfo
	s.json(&got, "checkpoint", "get", id, sequence)
	assert.Equal(t, want, got)
	s.json(&newest, "checkpoint", "get", id)
	assert.GreaterOrEqual(t, newest.Sequence, got.Sequence)
	shown, errs, code := s.run("", "checkpoint", "get", id, sequence, "--data", "-")
	require.Equal(t, exitDone, code, errs)
	assert.Len(t, shown, want.SizeBytes)
	assert.True(t, json.Valid([]byte(shown)), shown)
	file := filepath.Join(t.TempDir(), "state")
	out, errs, code := s.run("", "checkpoint", "get", id, sequence, "--data", file)
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, want.Checksum)
	written, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, shown, string(written))
	for _, bad := range []string{"0", "-1", "x", "9223372036854775808"} {
		_, errs, code = s.run("", "checkpoint", "get", id, "--", bad)
		assert.Equal(t, exitUsage, code, errs)
	}
	_, errs, code = s.run("", "checkpoint", "get", id, "9223372036854775807")
	assert.Equal(t, exitError, code, errs)
	assert.Contains(t, errs, "checkpoint not found")
}

func TestExplain_OfAWaitingWorkload_SaysWhy(t *testing.T) {
	sh, admin, c := shells(t)
	submit := func(args ...string) string {
		var a niyanta.SubmitAnswer
		sh.json(&a, append([]string{"workload", "submit", "sleep", "--input", `{"duration_ms":60000}`}, args...)...)
		return a.WorkloadID
	}
	explain := func(id string) string {
		out, errs, code := sh.run("", "workload", "explain", id)
		require.Equal(t, exitDone, code, errs)
		return out
	}
	waits := explain(submit("--affinity", `{"hard_affinity":{"worker_tags":{"gpu":"a100"}}}`))
	assert.Contains(t, waits, "1 worker without tag gpu=a100")
	assert.Regexp(t, `position +1\n`, waits)

	id := submit("--run-at", "2100-01-01T00:00:00Z")
	var p niyanta.Placement
	sh.json(&p, "workload", "explain", id)
	assert.True(t, p.Waiting)
	assert.Nil(t, p.Position)
	require.Len(t, p.Reasons, 1, "that a worker is free is no reason")
	assert.Equal(t, "not_before", p.Reasons[0].Code)
	assert.Contains(t, explain(id), "not before 2100-01-01T00:00:00Z")

	id = submit()
	c.eventually(func() bool { return c.getAs(sh.key, id).Status == "RUNNING" }, "it runs")
	assert.Regexp(t, `status +RUNNING\nworker +w1`, explain(id))
	_, errs, code := sh.run("", "workload", "explain", "wl_none")
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "NOT_FOUND")

	var cust niyanta.Customer
	admin.json(&cust, "customer", "create", "Firm", "--preemptible=false")
	assert.False(t, cust.Preemptible)
	admin.json(&cust, "customer", "create", "Soft")
	assert.True(t, cust.Preemptible)
}

func TestExplained_WhenPartIsKnown_PrintsThatPart(t *testing.T) {
	place, sure := 10_001, niyanta.Confidence("low")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	waiting := niyanta.Placement{WorkloadID: "wl_1", Status: "PENDING", Waiting: true,
		Reasons: []niyanta.PlacementReason{}}
	behind, unknown, next := waiting, waiting, waiting
	behind.Position, behind.PositionEstimated, behind.EstimatedStartTime, behind.Confidence,
		behind.Placeable = &place, true, &at, &sure, true
	behind.UsualWait = &niyanta.Waited{P50Seconds: 0.75, P95Seconds: 61.4, Placed: 12}
	behind.Reasons = []niyanta.PlacementReason{{Message: "2 workers full"}, {Message: "1 worker draining"}}
	unknown.Placeable = true
	one := 1
	next.Position = &one
	for _, c := range []struct {
		p    niyanta.Placement
		want [][2]string
	}{
		{behind, [][2]string{
			{"position", "about 10001"}, {"start", "about 2026-01-02 03:04:05 (confidence: low)"},
			{"usual wait", "750ms, at most 1m1s for 95 of 100 (12 placed lately)"},
			{"reasons", "2 workers full"}, {"", "1 worker draining"},
		}},
		{unknown, [][2]string{{"start", "unknown"}}},
		{next, [][2]string{{"position", "1"}, {"start", "when a worker registers that can run it"}}},
		{niyanta.Placement{WorkloadID: "wl_1", Status: "COMPLETED"}, [][2]string{{"worker", "-"}}},
	} {
		assert.Equal(t, append([][2]string{{"workload", "wl_1"}, {"status", string(c.p.Status)}}, c.want...), explained(&c.p))
	}
}

func TestSubmit_WhenTheTimeoutHasAFraction_RoundsItUp(t *testing.T) {
	for flag, want := range map[string]int{"500ms": 1, "1ns": 1, "1s": 1, "1001ms": 2, "0": 0, "0s": 0} {
		cmd := submitCommand(&cli{})
		require.NoError(t, cmd.ParseFlags([]string{"--timeout", flag, "--run-at", "2030-01-02t03:04:05z"}))
		var f submitFlags
		f.input = "{}"
		f.timeout, _ = cmd.Flags().GetDuration("timeout")
		f.runAt, _ = cmd.Flags().GetString("run-at")
		sub, err := f.submission(cmd, "sleep")
		require.NoError(t, err)
		assert.Equal(t, want, *sub.TimeoutSeconds, flag)
		assert.Equal(t, time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), *sub.RunAt)
	}
}

func TestCommandLine_WithAMistake_IsAUsageError(t *testing.T) {
	t.Setenv("NIYANTA_API_KEY", "")
	for _, args := range [][]string{
		{"dance"},
		{"workload"},
		{"workload", "submit"},
		{"workload", "submit", "sleep", "--input", "{", "--api-key", "k"},
		{"workload", "submit", "sleep", "--label", "x", "--api-key", "k"},
		{"workload", "submit", "sleep", "--run-at", "tomorrow", "--api-key", "k"},
		{"workload", "submit", "sleep", "--run-at", "9999-12-31T23:59:59-01:00", "--api-key", "k"},
		{"workload", "submit", "sleep", "--timeout", "-500ms", "--api-key", "k"},
		{"workload", "submit", "sleep", "--wait", "--wait-timeout", "-1s", "--api-key", "k"},
		{"workload", "watch", "wl_x", "--timeout", "-1s", "--api-key", "k"},
		{"workload", "logs", "wl_x", "--since", "0001-01-01T00:00:00Z", "--api-key", "k"},
		{"key", "create", "cust_x", "--expires-in", "-1h", "--api-key", "k"},
		{"key", "create", "cust_x", "--expires-in", "0s", "--api-key", "k"},
		{"workload", "list", "--nope"},
		{"workload", "list"}, // no key
		{"workload", "list", "--api-key", "k", "-o", "xml"},
		{"workload", "list", "--api-key", "k", "--url", "ftp://x"},
	} {
		var out, errs bytes.Buffer
		assert.Equal(t, exitUsage, run(args, strings.NewReader(""), &out, &errs), "%v: %s", args, errs.String())
		lines := strings.Split(strings.TrimSuffix(errs.String(), "\n"), "\n")
		assert.True(t, strings.HasPrefix(lines[len(lines)-1], "niyanta: "), "%v: %s", args, errs.String())
		assert.Empty(t, out.String(), "standard output has only results")
	}
}

func TestCommandLine_WhenABodyHasAnUnknownField_NamesIt(t *testing.T) {
	for want, args := range map[string][]string{
		"hrad":       {"workload", "submit", "sleep", "--affinity", `{"hrad":{"worker_id":"w"}}`, "--api-key", "k"},
		"worker_ids": {"workload", "submit", "sleep", "--affinity", `{"hard_affinity":{"worker_ids":"w"}}`, "--api-key", "k"},
		"max_retrys": {"config-set", "update", "wlcfg_1", "--body", `{"workload_type":"sleep","max_retrys":1}`,
			"--api-key", "k"},
		"timeout": {"config-set", "create", "--body", `{"workload_type":"sleep","timeout":1}`, "--api-key", "k"},
	} {
		var out, errs bytes.Buffer
		assert.Equal(t, exitUsage, run(args, strings.NewReader(""), &out, &errs), "%v: %s", args, errs.String())
		assert.Contains(t, errs.String(), want)
	}
}

func TestCommandLine_WhenTheServerRefuses_Fails(t *testing.T) {
	sh, _, _ := shells(t)
	_, errs, code := sh.run("", "workload", "submit", "unheard-of")
	assert.Equal(t, exitDone, code)
	assert.Contains(t, errs, `no worker offers type "unheard-of" yet`)
	_, errs, code = sh.run("", "workload", "get", "wl_none")
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "NOT_FOUND")
	_, errs, code = sh.run("", "worker", "list")
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "FORBIDDEN")
}

func TestCoordinator_WithABadConfiguration_ReportsEveryMistake(t *testing.T) {
	t.Setenv("NIYANTA_ADMIN_KEY", "short")
	t.Setenv("NIYANTA_WORKER_KEY", "")
	t.Setenv("NIYANTA_LOG_FORMAT", "xml")
	var out, errs bytes.Buffer
	assert.Equal(t, exitUsage, run([]string{"coordinator"}, strings.NewReader(""), &out, &errs))
	for _, name := range []string{"NIYANTA_ADMIN_KEY", "NIYANTA_WORKER_KEY", "NIYANTA_LOG_FORMAT"} {
		assert.Contains(t, errs.String(), name)
	}
}
