package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestAudit_AfterActions_ListsThem(t *testing.T) {
	_, admin, _ := shells(t)
	var made struct {
		Key   string
		KeyID string `json:"key_id"`
	}
	admin.json(&made, "key", "create", "--role", "admin", "--name", "Ada")
	admin.offered(made.KeyID+"\tadmin Ada", "key", "revoke", "")
	ada := shell{t, admin.url, made.Key}
	var cust niyanta.Customer
	ada.json(&cust, "customer", "create", "Acme", "--id", "cust_acme")
	ada.json(&cust, "customer", "update", "cust_acme", "--max-queued", "77")

	var list struct{ Events []niyanta.AdminEvent }
	ada.json(&list, "audit", "--actor", made.KeyID, "--order", "asc")
	require.Len(t, list.Events, 2)
	assert.Equal(t, "customer.updated", list.Events[1].EventType)
	assert.Equal(t, "Ada", list.Events[1].ActorName)
	assert.Contains(t, string(list.Events[1].After), "77")
	assert.NotContains(t, string(list.Events[1].Before), "77")
	out, errs, code := ada.run("", "audit", "--customer", "cust_acme", "--limit", "1")
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, "customer.updated", "the newest")
	assert.Len(t, strings.Split(strings.TrimSpace(out), "\n"), 2, "a header and one event")
	_, _, code = ada.run("", "audit", "--since", "yesterday")
	assert.Equal(t, exitUsage, code)
}
