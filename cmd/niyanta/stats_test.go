package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestStats_OfAFleet_ShowsFinishedAndWaitingWorkloads(t *testing.T) {
	sh, admin, f := shells(t)
	_, errs, code := sh.run("", "workload", "submit", "sleep", "--input", `{"duration_ms":1}`, "--wait")
	require.Equal(t, exitDone, code, errs)
	_, errs, code = sh.run("", "workload", "submit", "nobodys", "--input", `{}`)
	require.Equal(t, exitDone, code, errs)

	var s niyanta.CustomerStats
	sh.json(&s, "stats", "--by", "workload_type")
	assert.Equal(t, 1, s.Summary.CompletedWorkloads)
	require.NotNil(t, s.ByWorkloadType)
	require.Len(t, *s.ByWorkloadType, 1)
	assert.Equal(t, "sleep", (*s.ByWorkloadType)[0].WorkloadType)
	for _, by := range []string{"day", "hour", "workload_type"} {
		out, errs, code := sh.run("", "stats", "--by", by)
		require.Equal(t, exitDone, code, errs)
		assert.Contains(t, out, "completed")
		assert.Contains(t, out, "GROUP")
		assert.Contains(t, out, "0.00 %")
	}
	_, errs, code = sh.run("", "stats", "--from", "yesterday")
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "start_date")

	var q niyanta.QueueDepth
	sh.json(&q, "stats", "queue")
	assert.Equal(t, 1, q.QueueDepth)
	assert.Nil(t, q.ByTier)
	admin.json(&q, "stats", "queue")
	assert.NotNil(t, q.ByTier)
	out, errs, code := admin.run("", "stats", "queue")
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, "type nobodys")
	assert.Contains(t, out, "tier ")

	// The leader tells of the waits within seconds.
	f.eventually(func() bool {
		admin.json(&q, "stats", "queue")
		return q.ByTier != nil && slices.ContainsFunc(*q.ByTier, func(d niyanta.TierDepth) bool {
			return d.Tier == "enterprise" && d.Waited != nil && d.Waited.Placed == 1
		})
	}, "the waits of what was placed")
	out, errs, code = admin.run("", "stats", "queue")
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, "WAITED P50")
	assert.Regexp(t, `tier enterprise +1 +0 +\S+ +([0-9.]+m?s +){2}[0-9.]+m?s`, out)
	out, errs, code = sh.run("", "stats", "queue")
	require.Equal(t, exitDone, code, errs)
	assert.NotContains(t, out, "WAITED", "a customer is told nothing of the others")

	f.eventually(func() bool {
		out, errs, code = sh.run("", "stats", "queue")
		return code == exitDone && strings.Contains(out, "No worker can run 1 of type nobodys: niyanta workload explain wl_")
	}, "what no worker can run")
	_, command, _ := strings.Cut(strings.TrimSpace(out), "nobodys: niyanta ")
	out, errs, code = sh.run("", strings.Fields(command)...)
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, "nobodys")
}

func TestStatsQueue_OfATier_SaysHowLongThePlacedHadWaited(t *testing.T) {
	q := niyanta.QueueDepth{
		QueueDepth: 3, RunningWorkloads: 1,
		ByTier: &[]niyanta.TierDepth{
			{Tier: "free", QueueDepth: 3, OldestWaitSeconds: new(90.4)},
			{Tier: "standard", RunningWorkloads: 1,
				Waited: &niyanta.Waited{P50Seconds: 0.0123, P95Seconds: 2.34, P99Seconds: 754.4, Placed: 7}},
		},
		ByWorkloadType: []niyanta.TypeDepth{{WorkloadType: "sleep", QueueDepth: 3, RunningWorkloads: 1}},
	}
	var b strings.Builder
	require.NoError(t, printTable(&b, depthsAndWaits, depthsOf(&q)))
	var lines [][]string
	for l := range strings.Lines(b.String()) {
		lines = append(lines, strings.Fields(l))
	}
	assert.Equal(t, [][]string{
		{"OF", "QUEUED", "RUNNING", "OLDEST", "WAITS", "WAITED", "P50", "P95", "P99"},
		{"all", "3", "1", "-", "-", "-", "-"},
		{"tier", "free", "3", "0", "1m30s", "-", "-", "-"},
		{"tier", "standard", "0", "1", "-", "12ms", "2.3s", "12m34s"},
		{"type", "sleep", "3", "1", "-", "-", "-", "-"},
	}, lines)
}
