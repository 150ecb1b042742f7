package domain_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/niyanta/niyanta/core/domain"
)

func TestWorkerPattern_Matches(t *testing.T) {
	for _, c := range []struct {
		pattern, id string
		want        bool
	}{
		{"", "w", false}, {"", "", false}, {"w", "w", true}, {"w", "w1", false}, {"w", "", false},
		{"*", "w", true}, {"*", "", true}, {"rack7-*", "rack7-", true}, {"rack7-*", "rack7-1", true},
		{"rack7-*", "rack70-1", false}, {"rack7-*", "x-rack7-1", false}, {"*-gpu", "a-gpu", true},
		{"*-gpu", "a-gpu-1", false}, {"a*a", "a", false}, {"a*a", "aa", true}, {"a*b*c", "aXbYc", true},
		{"a*b*c", "acb", false}, {"a*bb*b", "abb", false}, {"a**c", "ac", true}, {"Rack*", "rack1", false},
	} {
		assert.Equal(t, c.want, domain.WorkerPattern(c.pattern).Matches(domain.WorkerID(c.id)), "%+v", c)
	}
}

// matches is the plainest way to say what a pattern matches.
func matches(pattern, id string) bool {
	switch {
	case pattern == "":
		return id == ""
	case pattern[0] == '*':
		return matches(pattern[1:], id) || id != "" && matches(pattern, id[1:])
	}
	return id != "" && id[0] == pattern[0] && matches(pattern[1:], id[1:])
}

func TestWorkerPattern_Matches_AsItsDefinitionSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*]{1,8}`).Draw(t, "pattern")
		id := rapid.StringMatching(`[ab]{0,8}`).Draw(t, "id")
		require.Equal(t, matches(pattern, id), domain.WorkerPattern(pattern).Matches(domain.WorkerID(id)))
	})
}

func TestAPIKey_Validate(t *testing.T) {
	long := strings.Repeat("x", 201)
	for field, bad := range map[string][]domain.APIKey{
		"role": {
			{CustomerID: "cust_a", Role: domain.RoleAdmin}, {CustomerID: "cust_a"},
			{CustomerID: "cust_a", Role: domain.RoleWorker, WorkerIDs: "*"},
			{Role: domain.RoleCustomer, Name: "n"}, {Role: domain.RoleViewer, Name: "n"}, {Name: "n"},
		},
		"name": {
			{CustomerID: "cust_a", Role: domain.RoleViewer, Name: long}, {Role: domain.RoleAdmin},
			{Role: domain.RoleAdmin, Name: " "}, {Role: domain.RoleScaler, Name: "a\x00"},
		},
		"worker_ids": {
			{Role: domain.RoleWorker, Name: "n"}, {Role: domain.RoleWorker, Name: "n", WorkerIDs: "a.b"},
			{Role: domain.RoleAdmin, Name: "n", WorkerIDs: "*"}, {Role: domain.RoleScaler, Name: "n", WorkerIDs: "a"},
		},
		"expires_at": {{Role: domain.RoleAdmin, Name: "n", ExpiresAt: time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)}},
	} {
		for i, k := range bad {
			err := k.Validate()
			require.Error(t, err, fmt.Sprint(field, i))
			assert.Contains(t, err.Error(), field, i)
		}
	}
	for _, k := range []domain.APIKey{
		{CustomerID: "cust_a", Role: domain.RoleCustomer}, {CustomerID: "cust_a", Role: domain.RoleViewer, Name: "CI"},
		{Role: domain.RoleAdmin, Name: "Ada"}, {Role: domain.RoleScaler, Name: "keda"},
		{Role: domain.RoleWorker, Name: "w", WorkerIDs: "*"},
	} {
		assert.NoError(t, k.Validate())
	}
}

func TestKeyPrefix_OfAnOperatorKey_NamesNoCustomer(t *testing.T) {
	for _, role := range []domain.Role{domain.RoleAdmin, domain.RoleScaler, domain.RoleWorker} {
		key := domain.APIKey{Role: role}.Format([20]byte{1})
		prefix, customer, ok := domain.KeyPrefix(key)
		require.True(t, ok)
		assert.Empty(t, customer)
		assert.True(t, strings.HasPrefix(prefix, "nyt_"+string(role)+"_"), prefix)
	}
	for _, owner := range []string{"", "customer", "viewer", "acme"} {
		_, _, ok := domain.KeyPrefix("nyt_" + owner + "_" + strings.Repeat("0", 32))
		assert.False(t, ok, owner)
	}
}

func TestPrincipal_SeesAll_ByItsRoleOnly(t *testing.T) {
	for _, c := range []struct {
		p    domain.Principal
		want bool
	}{
		{domain.Principal{Role: domain.RoleAdmin}, true}, {domain.Principal{Role: domain.RoleScaler}, true},
		{domain.Principal{Role: domain.RoleAdmin, CustomerID: "cust_a", Admin: &domain.Admin{}}, false},
		{domain.Principal{Role: domain.RoleCustomer}, false}, {domain.Principal{Role: domain.RoleViewer}, false},
		{domain.Principal{Role: domain.RoleWorker}, false}, {domain.Principal{}, false},
	} {
		assert.Equal(t, c.want, c.p.SeesAll(), "%+v", c.p)
	}
}
