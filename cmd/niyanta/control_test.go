package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestControl_OfSeveralWorkloads_ChangesTheSelectedOnes(t *testing.T) {
	sh, _, _ := shells(t)
	submit := func(args ...string) string {
		var a niyanta.SubmitAnswer
		sh.json(&a, append([]string{"workload", "submit", "nobodys"}, args...)...)
		return a.WorkloadID
	}
	one, two, three := submit("--label", "batch=a"), submit("--label", "batch=a"), submit("--label", "batch=b")
	statuses := func() string {
		var list niyanta.WorkloadList
		sh.json(&list, "workload", "list", "--order", "asc")
		var all []string
		for _, w := range list.Workloads {
			all = append(all, string(w.Status))
		}
		return strings.Join(all, " ")
	}

	out, errs, code := sh.run("", "workload", "cancel", "--label", "batch=a", "--dry-run")
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, errs, "2 of 2 workloads would be cancelled")
	assert.Contains(t, out, one)
	assert.NotContains(t, out, three)
	assert.Equal(t, "PENDING PENDING PENDING", statuses())

	out, errs, code = sh.run("", "workload", "cancel", "--label", "batch=a", "-o", "jsonl")
	require.Equal(t, exitDone, code, errs)
	assert.Len(t, strings.Split(strings.TrimSpace(out), "\n"), 2)
	assert.Equal(t, "CANCELLED CANCELLED PENDING", statuses())

	out, errs, code = sh.run("", "workload", "cancel", two, three)
	assert.Equal(t, exitError, code, "one of them could not be")
	assert.Contains(t, errs, "1 of 2 workloads cancelled")
	assert.Contains(t, out, "CANCELLED cannot be cancelled")
	_, errs, code = sh.run("", "workload", "cancel", three)
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "INVALID_STATE")

	var a niyanta.RetryAnswer
	sh.json(&a, "workload", "retry", one, "--from-scratch", "--reason", "again")
	assert.Equal(t, one, a.RetryOf)
	var report bulkReport
	sh.json(&report, "workload", "retry", "--label", "batch=a", "--status", "cancelled")
	assert.Equal(t, 2, report.Applied)
	require.Len(t, report.Results, 2)
	assert.NotNil(t, report.Results[0].RetryID)
	sh.json(&report, "workload", "cancel", "--all")
	assert.Equal(t, 3, report.Applied)

	for want, args := range map[string][]string{
		"say ids, or select": {"workload", "cancel"},
		"not both":           {"workload", "cancel", one, "--all"},
		"by its id":          {"workload", "retry", "--all", "--from-checkpoint", "3"},
		"from-scratch":       {"workload", "retry", one, "--from-checkpoint", "3", "--from-scratch"},
		"--label":            {"workload", "pause", "--label", "x"},
		"RFC 3339":           {"workload", "list", "--created-after", "yesterday"},
	} {
		_, errs, code := sh.run("", args...)
		assert.NotEqual(t, exitDone, code, "%v", args)
		assert.Contains(t, strings.ToLower(errs), strings.ToLower(want), "%v", args)
	}
}

func TestCompletion_OfSeveralIDs_LeavesOutThoseGiven(t *testing.T) {
	sh, _, c := shells(t)
	one, two := c.submitAs(sh.key, "nobodys", `{}`), c.submitAs(sh.key, "nobodys", `{}`)
	assert.NotContains(t, sh.offered(two, "workload", "cancel", one, ""), one)
}
