package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestKey_OfAnOperator_IsMadeListedAndRevoked(t *testing.T) {
	_, admin, _ := shells(t)
	var made struct {
		Key   string
		KeyID string `json:"key_id"`
	}
	admin.json(&made, "key", "create", "--role", "admin", "--name", "Ada", "--expires-in", "1h")
	ada := shell{t, admin.url, made.Key}
	out, errs, code := ada.run("", "key", "create", "--role", "worker", "--name", "Rack 7", "--worker-ids", "rack7-*")
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, "nyt_worker_")
	out, errs, code = ada.run("", "key", "list")
	require.Equal(t, exitDone, code, errs)
	assert.Contains(t, out, "Ada")
	assert.Contains(t, out, "rack7-*")
	_, errs, code = admin.run("", "key", "revoke", made.KeyID)
	require.Equal(t, exitDone, code, errs)
	_, errs, code = ada.run("", "key", "list")
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, "UNAUTHORIZED")
	for _, wrong := range [][]string{
		{"key", "create", "--role", "admin"}, {"key", "create", "cust_x", "--worker-ids", "w"}, {"key", "revoke"},
	} {
		_, _, code = admin.run("", wrong...)
		assert.Equal(t, exitUsage, code, "%v", wrong)
	}
}
