package domain_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

func TestCustomer_Change_TellsWhatWasAndWhatIs(t *testing.T) {
	c, act := domain.Customer{
		ID: "cust_a", Name: "A", Tier: domain.TierFree, Overrides: domain.Limits{Burst: 9},
	}.Onboard(operator, epoch0)
	assert.Equal(t, domain.AdminEvent{
		At: epoch0, By: operator, Action: domain.ActionCustomerCreated, CustomerID: "cust_a",
		Target: domain.Target{Kind: domain.TargetCustomer, ID: "cust_a"},
		After: `{"customer_id":"cust_a","name":"A","tier":"free","limits":{"burst":9},"preemptible":true,` +
			`"suspended_at":null}`,
	}, act)
	for _, step := range []struct {
		patch  domain.CustomerPatch
		action domain.AdminAction
		field  string
		want   string
	}{
		{domain.CustomerPatch{Tier: new(domain.TierPremium)}, domain.ActionCustomerUpdated, "tier", `"premium"`},
		{domain.CustomerPatch{Limits: domain.LimitsPatch{Burst: domain.To(0)}}, domain.ActionCustomerUpdated,
			"limits", `{}`},
		{domain.CustomerPatch{Suspended: new(true)}, domain.ActionCustomerSuspended, "suspended_at",
			`"` + epoch0.Add(time.Hour).Format(time.RFC3339) + `"`},
		{domain.CustomerPatch{Suspended: new(false)}, domain.ActionCustomerReactivated, "suspended_at", `null`},
	} {
		before := act.After
		var err error
		c, act, err = c.Change(step.patch, operator, epoch0.Add(time.Hour))
		require.NoError(t, err)
		assert.Equal(t, step.action, act.Action)
		assert.Equal(t, before, act.Before)
		var after map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(act.After), &after))
		assert.Equal(t, step.want, string(after[step.field]))
	}
	_, act, err := c.Change(domain.CustomerPatch{Name: new("")}, operator, epoch0)
	assert.True(t, domain.IsCode(err, domain.CodeInvalidInput))
	assert.Empty(t, act, "what is refused is not recorded")
}

func TestAPIKey_InTheAudit_HasNoSecret(t *testing.T) {
	k, act, err := domain.APIKey{
		ID: "key_1", CustomerID: "cust_a", Role: domain.RoleViewer, Name: "CI", Prefix: "nyt_cust_a_12345678",
		Digest: [32]byte{1, 2, 3}, ExpiresAt: epoch0.Add(time.Hour),
	}.Issue(operator, epoch0)
	require.NoError(t, err)
	assert.Equal(t, domain.CustomerID("cust_a"), act.CustomerID)
	assert.Empty(t, act.Before)
	assert.Equal(t, domain.JSON(`{"key_id":"key_1","customer_id":"cust_a","role":"viewer","name":"CI",`+
		`"expires_at":"`+epoch0.Add(time.Hour).Format(time.RFC3339)+`","revoked_at":null}`), act.After)
	_, revoked := k.Revoke(operator, epoch0)
	assert.Equal(t, act.After, revoked.Before)
	assert.NotEqual(t, revoked.Before, revoked.After)
}
