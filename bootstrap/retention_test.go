package bootstrap

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestRetention_OfACustomer_IsSetShownAndReset(t *testing.T) {
	a := newAPI(t, 0)
	ans := a.call("POST", "/v1/admin/customers", a.dev.AdminKey, map[string]any{
		"customer_id": "cust_x", "name": "X", "tier": "free", "retention": map[string]any{"workload_days": 30},
	})
	require.Equal(t, 201, ans.status, ans.body)
	assert.Equal(t, map[string]any{"workload_days": 30.0}, ans.field("retention"))
	patch := func(retention map[string]any) answer {
		return a.call("PATCH", "/v1/admin/customers/cust_x", a.dev.AdminKey, map[string]any{"retention": retention})
	}
	ans = patch(map[string]any{"log_days": 7})
	require.Equal(t, 200, ans.status, ans.body)
	assert.Equal(t, map[string]any{"workload_days": 30.0, "log_days": 7.0}, ans.field("retention"))
	for field, days := range map[string]any{"workload_days": 0, "log_days": 3651} {
		a.refused(patch(map[string]any{field: days}), 400, "INVALID_INPUT", "retention."+field)
	}
	require.Equal(t, 200, patch(map[string]any{"workload_days": nil, "log_days": nil}).status)
	ans = a.call("GET", "/v1/admin/customers/cust_x", a.dev.AdminKey, nil)
	require.Equal(t, 200, ans.status)
	assert.Nil(t, ans.field("retention"), "the installation's")
}
