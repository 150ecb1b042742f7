package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestStats_OfAFleet_ShowsFinishedAndWaitingWorkloads(t *testing.T) {
	sh, admin, _ := shells(t)
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
}
