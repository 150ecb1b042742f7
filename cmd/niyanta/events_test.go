package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestEvents_OfAWorkload_ArePrintedUntilItIsFinal(t *testing.T) {
	customer, _, _ := shells(t)
	var made niyanta.Workload
	customer.json(&made, "workload", "submit", "sleep", "--input", `{"duration_ms": 1}`)

	out, errs, code := customer.run("", "events", made.WorkloadID, "-o", "jsonl")
	require.Equal(t, exitDone, code, errs)
	var types []string
	for line := range strings.Lines(out) {
		var e niyanta.Event
		require.NoError(t, json.Unmarshal([]byte(line), &e), line)
		assert.Equal(t, made.WorkloadID, e.WorkloadID)
		types = append(types, string(e.Type))
	}
	require.NotEmpty(t, types)
	assert.Equal(t, "completed", types[len(types)-1])

	out, errs, code = customer.run("", "events", made.WorkloadID)
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, "COMPLETED")

	_, errs, code = customer.run("", "events", "-o", "json")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "jsonl")
	_, _, code = customer.run("", "events", made.WorkloadID, "--after", "x")
	assert.Equal(t, exitUsage, code)
	_, _, code = customer.run("", "events", "wl_missing")
	assert.Equal(t, exitError, code)
}
