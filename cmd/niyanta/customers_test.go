package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestCustomer_CreatedAndUpdated_HasItsLimits(t *testing.T) {
	_, admin, _ := shells(t)
	var cust niyanta.Customer
	admin.json(&cust, "customer", "create", "Acme", "--id", "cust_acme", "--tier", "standard",
		"--max-running", "7", "--rate", "2.5")
	standard := cust.Limits
	assert.Equal(t, 7, cust.Limits.MaxConcurrentWorkloads)
	assert.InDelta(t, 2.5, cust.Limits.RateLimitPerSec, 0)

	admin.json(&cust, "customer", "update", "cust_acme", "--name", "Acme Ltd", "--max-queued", "123",
		"--preemptible=false")
	assert.Equal(t, "Acme Ltd", cust.Name)
	assert.Equal(t, 123, cust.Limits.MaxQueueDepth)
	assert.Equal(t, 7, cust.Limits.MaxConcurrentWorkloads, "a limit without a flag stays")
	assert.False(t, cust.Preemptible)
	admin.json(&cust, "customer", "update", "cust_acme", "--max-queued", "tier", "--tier", "enterprise")
	assert.Equal(t, niyanta.TierEnterprise, cust.Tier)
	assert.Greater(t, cust.Limits.MaxQueueDepth, standard.MaxQueueDepth, "the new tier's")
	assert.Equal(t, 7, cust.Limits.MaxConcurrentWorkloads)

	out, errs, code := admin.run("", "customer", "suspend", "cust_acme")
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, "cust_acme")
	for _, wrong := range [][]string{
		{"customer", "update", "cust_acme"}, {"customer", "update", "cust_acme", "--rate", "fast"},
		{"customer", "update", "cust_acme", "--max-running", "-1"}, {"customer", "create", "B", "--burst", "0"},
	} {
		_, errs, code := admin.run("", wrong...)
		assert.Equal(t, exitUsage, code, "%v: %s", wrong, errs)
	}
}

func TestCustomerDelete_WithUnfinishedWork_NeedsForceAndWaits(t *testing.T) {
	_, admin, _ := shells(t)
	admin.json(&niyanta.Customer{}, "customer", "create", "Acme", "--id", "cust_acme")
	var key niyanta.NewKey
	admin.json(&key, "key", "create", "cust_acme")
	own := shell{t, admin.url, key.Key}
	_, errs, code := own.run("", "workload", "submit", "sleep", "--run-at", "2099-01-01T00:00:00Z")
	require.Equal(t, exitDone, code, errs)

	_, errs, code = admin.run("", "customer", "delete", "cust_acme")
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "unfinished")
	_, _, code = own.run("", "workload", "list")
	assert.Equal(t, exitDone, code, "nothing has changed")
	out, errs, code := admin.run("", "customer", "delete", "cust_acme", "--force", "--wait")
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, "deleting")
	assert.Contains(t, errs, "deleted cust_acme")
	for _, gone := range [][]string{{"customer", "get", "cust_acme"}, {"customer", "delete", "cust_acme"}} {
		_, errs, code := admin.run("", gone...)
		assert.Equal(t, exitError, code)
		assert.Contains(t, errs, "not found")
	}
	_, errs, code = admin.run("", "customer", "create", "Acme", "--id", "cust_acme")
	assert.Equal(t, exitError, code, "no id is given out again")
	assert.Contains(t, errs, "never given out again")
}
