package tenancy_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/tenancy"
)

// watchedKeyStore counts how often it is asked.
type watchedKeyStore struct {
	ports.KeyStore
	asked int
}

func (k *watchedKeyStore) ByPrefix(ctx context.Context, prefixes ...string) ([]ports.FoundKey, error) {
	k.asked++
	return k.KeyStore.ByPrefix(ctx, prefixes...)
}

// provider verifies each token as it says. It counts how often it is asked.
type provider struct {
	says  domain.Identity
	err   error
	asked int
}

func (p *provider) Verify(context.Context, string) (domain.Identity, error) {
	p.asked++
	return p.says, p.err
}

// aToken has the form of one.
const aToken = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2ln"

func withProvider(t *testing.T, v ports.TokenVerifier) (*place, *tenancy.Service, *watchedKeyStore) {
	t.Helper()
	p := newPlace(t)
	keys := &watchedKeyStore{KeyStore: p.store.Keys}
	return p, tenancy.New(tenancy.Config{AdminKey: "admin", Roles: domain.OwnRoleNames()}, tenancy.Deps{
		Customers: p.store.Customers, Keys: keys, Tickets: p.store.Tickets, Tokens: v,
		Limiter: memory.NewRateLimiter(p.clock), Notifier: memory.NewNotifier(), Clock: p.clock, IDs: system.IDs{},
	}), keys
}

func TestAuthenticate_OfATokenOrAKey_AsksOnlyWhoKnowsIt(t *testing.T) {
	v := &provider{}
	p, s, keys := withProvider(t, v)
	v.says = domain.Identity{Subject: "ada", Name: "Ada", CustomerID: "cust_a", Roles: []string{"customer"},
		ExpiresAt: p.clock.Now().Add(time.Hour)}
	who, err := s.Authenticate(t.Context(), aToken)
	require.NoError(t, err)
	assert.Equal(t, domain.Principal{Role: domain.RoleCustomer, CustomerID: "cust_a", KeyID: "oidc:ada", KeyName: "Ada",
		TokenExpires: v.says.ExpiresAt}, who)
	assert.Equal(t, domain.Actor{Kind: domain.ActorUser, ID: "oidc:ada"}, who.Actor())
	assert.Zero(t, keys.asked)
	v.err = domain.NewError(domain.CodeUnauthorized, "why")
	_, err = s.Authenticate(t.Context(), aToken)
	_, wrongKey := s.Authenticate(t.Context(), "nyt_cust_a_"+strings.Repeat("0", 32))
	assert.Equal(t, wrongKey, err, "the same answer, whatever is wrong")
	assert.Equal(t, 1, keys.asked)
	asked := v.asked
	for _, key := range []string{"admin", "nyt_admin_" + strings.Repeat("0", 32), "a.b.c", "eyJ.b", "eyJ.b.c.d.e"} {
		_, _ = s.Authenticate(t.Context(), key) // only who is asked counts
	}
	assert.Equal(t, asked, v.asked)
	v.err = domain.Unavailable(time.Second, "away")
	_, err = s.Authenticate(t.Context(), aToken)
	assert.Equal(t, domain.CodeUnavailable, domain.CodeOf(err))
	_, none, _ := withProvider(t, nil)
	_, err = none.Authenticate(t.Context(), aToken)
	assert.Equal(t, wrongKey, err, "without a provider")
}

func TestAuthenticate_OfATokenThatSaysTooLittle_Refuses(t *testing.T) {
	v := &provider{}
	p, s, _ := withProvider(t, v)
	good := domain.Identity{Subject: "ada", CustomerID: "cust_a", Roles: []string{"viewer"},
		ExpiresAt: p.clock.Now().Add(time.Hour)}
	for name, change := range map[string]func(*domain.Identity){
		"no role":                  func(i *domain.Identity) { i.Roles = nil },
		"an unknown role":          func(i *domain.Identity) { i.Roles = []string{"root", "Admin", "viewer "} },
		"a worker":                 func(i *domain.Identity) { i.Roles = []string{"worker"} },
		"no subject":               func(i *domain.Identity) { i.Subject = "" },
		"a subject with a newline": func(i *domain.Identity) { i.Subject = "ada\nlevel=ERROR" },
		"a long subject":           func(i *domain.Identity) { i.Subject = strings.Repeat("x", 256) },
		"no customer":              func(i *domain.Identity) { i.CustomerID = "" },
		"no customer's id":         func(i *domain.Identity) { i.CustomerID = "../cust_a" },
		"an unknown customer":      func(i *domain.Identity) { i.CustomerID = "cust_b" },
		"no expiry":                func(i *domain.Identity) { i.ExpiresAt = time.Time{} },
		"expired":                  func(i *domain.Identity) { i.ExpiresAt = p.clock.Now() },
	} {
		v.says = good
		change(&v.says)
		_, err := s.Authenticate(t.Context(), aToken)
		assert.Equal(t, domain.CodeUnauthorized, domain.CodeOf(err), name)
	}
	v.says = good
	v.says.Roles = []string{"viewer", "admin"}
	who, err := s.Authenticate(t.Context(), aToken)
	require.NoError(t, err)
	assert.Equal(t, domain.RoleAdmin, who.Role, "of several, the first of the configured list")
	assert.Empty(t, who.CustomerID, "administrators belong to no customer, whatever the token says")
}

func TestRecheck_OfAToken_EndsWithItAndWithItsCustomer(t *testing.T) {
	v := &provider{}
	p, s, _ := withProvider(t, v)
	v.says = domain.Identity{Subject: "ada", CustomerID: "cust_a", Roles: []string{"viewer"},
		ExpiresAt: p.clock.Now().Add(time.Hour)}
	who, err := s.Authenticate(t.Context(), aToken)
	require.NoError(t, err)
	again, err := s.Recheck(t.Context(), who)
	require.NoError(t, err)
	assert.Equal(t, who, again)
	_, err = s.SuspendCustomer(t.Context(), "cust_a", domain.Admin{KeyID: "admin"})
	require.NoError(t, err)
	assert.Equal(t, domain.CodeForbidden, domain.CodeOf(s.CheckActive(t.Context(), who)))
	_, err = s.Recheck(t.Context(), who)
	require.NoError(t, err, "a suspended customer may still read")
	_, err = s.DeleteCustomer(t.Context(), "cust_a", true, domain.Admin{KeyID: "admin"})
	require.NoError(t, err)
	_, err = s.Recheck(t.Context(), who)
	assert.Equal(t, domain.CodeUnauthorized, domain.CodeOf(err))
	_, err = s.Authenticate(t.Context(), aToken)
	assert.Equal(t, domain.CodeUnauthorized, domain.CodeOf(err))

	v.says.Roles = []string{"admin"}
	boss, err := s.Authenticate(t.Context(), aToken)
	require.NoError(t, err)
	boss.CustomerID, boss.Admin = "cust_a", &domain.Admin{KeyID: boss.KeyID}
	_, err = s.Recheck(t.Context(), boss)
	require.NoError(t, err, "an administrator may look at a customer that is being deleted")
	p.clock.now = p.clock.now.Add(time.Hour)
	_, err = s.Recheck(t.Context(), boss)
	assert.Equal(t, domain.CodeUnauthorized, domain.CodeOf(err), "it has expired")
}

func TestRedeemTicket_OfAToken_NeedsItsBearerAndEndsWithIt(t *testing.T) {
	v := &provider{}
	p, s, _ := withProvider(t, v)
	v.says = domain.Identity{Subject: "ada", CustomerID: "cust_a", Roles: []string{"viewer"},
		ExpiresAt: p.clock.Now().Add(10 * time.Second)}
	who, err := s.Authenticate(t.Context(), aToken)
	require.NoError(t, err)
	redeem := func(bearer *domain.Principal) (domain.Principal, error) {
		t.Helper()
		ticket, _, err := s.CreateTicket(t.Context(), who)
		require.NoError(t, err)
		return s.RedeemTicket(t.Context(), ticket, domain.SocketTicketLifetime, bearer)
	}
	got, err := redeem(&who)
	require.NoError(t, err)
	assert.Equal(t, who, got)
	other, without := who, who
	other.KeyID, without.TokenExpires = "oidc:eve", time.Time{}
	for name, bearer := range map[string]*domain.Principal{"nobody": nil, "another": &other, "a key's": &without} {
		_, err = redeem(bearer)
		assert.Equal(t, domain.CodeUnauthorized, domain.CodeOf(err), name)
	}
	p.clock.now = p.clock.now.Add(10 * time.Second)
	_, err = redeem(&who)
	assert.Equal(t, domain.CodeUnauthorized, domain.CodeOf(err), "the token has expired")
}
