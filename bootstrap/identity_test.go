package bootstrap

import (
	"bufio"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// federated is a development server that accepts the tokens of a provider.
type federated struct {
	*api
	issuer *servers.Issuer
}

func newFederated(t *testing.T) *federated {
	t.Helper()
	i := servers.StartIssuer(t)
	d := devAt(t, "NIYANTA_OIDC_ISSUER="+i.URL, "NIYANTA_OIDC_AUDIENCE=niyanta", "NIYANTA_OIDC_ROLE_CLAIM=groups",
		"NIYANTA_OIDC_ROLES=niyanta/admins=admin,users=customer,guests=viewer,keda=scaler")
	f := &federated{newAPIOf(t, d), i}
	require.Eventually(t, func() bool { return i.Looks() > 0 }, 30*time.Second, 5*time.Millisecond)
	return f
}

// token returns a token of the customer cust_dev, with other claims.
func (f *federated) token(group string, claims map[string]any) string {
	f.Helper()
	all := map[string]any{
		"groups": []string{"everybody", group}, "customer_id": string(DevCustomer), "email": "ada@example.com",
	}
	maps.Copy(all, claims)
	return f.issuer.Token(f, f.issuer.Claims("niyanta", all))
}

// refusedSocket asks for a WebSocket, which must be refused.
func (f *federated) refusedSocket(why, path string) {
	f.Helper()
	c, ans := f.dial(f.dev.App.URL(), path, http.Header{})
	require.Nil(f, c, why)
	require.Equal(f, 401, ans.status, "%s: %s", why, ans.body)
}

func TestTokens_OfAProvider_WorkAsKeysOfTheirRoleDo(t *testing.T) {
	f := newFederated(t)
	user := f.token("users", nil)
	submitted := f.call("POST", "/v1/workloads", user, sleepBody(1))
	require.Equal(t, 202, submitted.status, submitted.body)
	id := submitted.field("workload_id").(string)
	audit := f.call("GET", "/v1/workloads/"+id+"/audit", user, nil)
	require.Equal(t, 200, audit.status, audit.body)
	assert.Contains(t, audit.body, `"actor_id":"oidc:ada"`)
	guest := f.token("guests", map[string]any{"sub": "eve"})
	require.Equal(t, 200, f.call("GET", "/v1/workloads/"+id, guest, nil).status)
	f.refused(f.call("POST", "/v1/workloads", guest, sleepBody(1)), 403, "FORBIDDEN", "")
	f.refused(f.call("GET", "/v1/admin/customers", user, nil), 403, "FORBIDDEN", "")
	require.Equal(t, 200, f.call("GET", "/v1/scaling", f.token("keda", map[string]any{"customer_id": nil}), nil).status)

	boss := f.token("niyanta/admins", map[string]any{"customer_id": nil})
	made := f.call("POST", "/v1/admin/customers", boss,
		map[string]any{"customer_id": "cust_b", "name": "B", "tier": "free"})
	require.Equal(t, 201, made.status, made.body)
	events := f.call("GET", "/v1/admin/audit?actor_id=oidc:ada", f.dev.AdminKey, nil)
	require.Equal(t, 200, events.status, events.body)
	assert.Contains(t, events.body, `"actor_id":"oidc:ada","actor_name":"ada@example.com"`)
	assert.Contains(t, events.body, `"target_id":"cust_b"`)
	other := f.token("users", map[string]any{"customer_id": "cust_b"})
	require.Equal(t, 404, f.call("GET", "/v1/workloads/"+id, other, nil).status, "another customer's")
}

func TestTokens_ThatAreRefused_GetTheAnswerOfAWrongKey(t *testing.T) {
	f := newFederated(t)
	wrong := f.call("GET", "/v1/workloads", "nyt_cust_dev_"+strings.Repeat("0", 32), nil)
	require.Equal(t, 401, wrong.status)
	for name, token := range map[string]string{
		"an unknown group":    f.token("strangers", nil),
		"no customer":         f.token("users", map[string]any{"customer_id": nil}),
		"an unknown customer": f.token("users", map[string]any{"customer_id": "cust_none"}),
		"another audience":    f.token("users", map[string]any{"aud": "other"}),
		"expired":             f.token("users", map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}),
		"no token at all":     "eyJ.eyJ.sig",
	} {
		ans := f.call("GET", "/v1/workloads", token, nil)
		assert.Equal(t, 401, ans.status, name)
		assert.Equal(t, wrong.field("error.message"), ans.field("error.message"), name)
		assert.Equal(t, wrong.field("error.code"), ans.field("error.code"), name)
	}
}

func TestTokens_OfASuspendedOrDeletedCustomer_AreRefusedAsItsKeysAre(t *testing.T) {
	f := newFederated(t)
	user := f.token("users", nil)
	path := "/v1/admin/customers/" + string(DevCustomer)
	require.Equal(t, 200, f.call("POST", path+"/suspend", f.dev.AdminKey, nil).status)
	for _, credential := range []string{user, f.dev.CustomerKey} {
		f.refused(f.call("POST", "/v1/workloads", credential, sleepBody(1)), 403, "FORBIDDEN", "")
		require.Equal(t, 200, f.call("GET", "/v1/workloads", credential, nil).status)
	}
	require.Equal(t, 202, f.call("DELETE", path+"?force=true", f.dev.AdminKey, nil).status)
	for _, credential := range []string{user, f.dev.CustomerKey} {
		require.Equal(t, 401, f.call("GET", "/v1/workloads", credential, nil).status)
	}
}

func TestTokens_WhileTheProviderIsAway_GoOnAndKeysDoToo(t *testing.T) {
	f := newFederated(t)
	user := f.token("users", nil)
	require.Equal(t, 200, f.call("GET", "/v1/workloads", user, nil).status)
	ready := func() string { return f.call("GET", "/ready", "", nil).body }
	require.Eventually(t, func() bool {
		return strings.Contains(ready(), `"identity_provider":"connected"`)
	}, 30*time.Second, 20*time.Millisecond, ready())
	f.issuer.SetAway(true)
	require.Error(t, f.dev.App.backends.Identity.Verifier.Refresh(t.Context()))
	require.Eventually(t, func() bool {
		return strings.Contains(ready(), `"identity_provider":"disconnected"`) && strings.Contains(ready(), `"degraded"`)
	}, 30*time.Second, 20*time.Millisecond, ready())
	require.Equal(t, 200, f.call("GET", "/v1/workloads", user, nil).status, "with the keys that it had")
	require.Equal(t, 200, f.call("GET", "/v1/workloads", f.dev.CustomerKey, nil).status)
	f.issuer.Rotate(t, jose.ES256)
	require.Equal(t, 401, f.call("GET", "/v1/workloads", f.token("users", nil), nil).status)
}

func TestTokens_WhenOneExpires_ItsStreamAndItsSessionEnd(t *testing.T) {
	t.Parallel() // it mostly waits
	f := newFederated(t)
	// All that follows must be open before then.
	until := time.Now().Add(12 * time.Second)
	token := f.token("users", map[string]any{"exp": until.Add(-30 * time.Second).Unix()}) // the leeway
	in := f.call("POST", "/v1/session", token, nil)
	require.Equal(t, 200, in.status, in.body)
	ends, err := time.Parse(time.RFC3339Nano, in.field("expires_at").(string))
	require.NoError(t, err)
	assert.WithinDuration(t, until, ends, 2*time.Second)
	ticket := f.ticket(token)
	late := f.ticket(token)
	id := f.submit(map[string]any{
		"workload_type": "sleep", "input_params": map[string]any{}, "run_at": "2099-01-01T00:00:00Z",
	})
	socket := f.socket(socketPath(id), "")
	socket.say(`{"token":"` + token + `"}`)
	socket.read(1)
	byTicket := f.socket(socketPath(id)+"?ticket="+ticket, "")
	byTicket.read(1)
	link := f.call("POST", "/v1/session/links", token, nil)
	require.Equal(t, 201, link.status, link.body)

	req := f.request(http.MethodGet, "/v1/events", token, nil)
	resp, err := f.client.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	require.Equal(t, 200, resp.StatusCode)
	watch := testfiles.StartStopwatch(t)
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
	}
	ended := time.Now()
	assert.False(t, ended.Before(ends), "the stream ends with the token")
	assert.Less(t, ended.Sub(ends)-watch.Stalled(), 3*time.Second, "the stream ends with the token")
	socket.rest(4401, 30*time.Second)
	byTicket.rest(4401, 30*time.Second)
	f.refusedSocket("its token has expired", socketPath(id)+"?ticket="+late)
	require.Equal(t, 401, f.call("POST", "/v1/session", link.field("code").(string), nil).status)
	require.Equal(t, 401, f.call("GET", "/v1/workloads", token, nil).status)
	req = f.request(http.MethodGet, "/v1/workloads", "", nil)
	cookie, _, _ := strings.Cut(in.header.Get("Set-Cookie"), ";")
	req.Header.Set("Cookie", cookie)
	require.Equal(t, 401, f.do(req).status, "and so does the session")
}

func TestTickets_OfTokens_CountOnceAndGiveNobodyMore(t *testing.T) {
	f := newFederated(t)
	id := f.submit(map[string]any{
		"workload_type": "sleep", "input_params": map[string]any{}, "run_at": "2099-01-01T00:00:00Z",
	})
	open := func(ticket string) string { return socketPath(id) + "?ticket=" + ticket }
	user, guest := f.token("users", nil), f.token("guests", nil) // of the same subject
	mine, theirs, byKey := f.ticket(user), f.ticket(guest), f.ticket(f.dev.CustomerKey)
	require.NotContains(t, mine, user)
	ticket := func(t string) string { first, _, _ := strings.Cut(t, "."); return first }
	bearer := func(t string) string { _, second, _ := strings.Cut(t, "."); return second }
	for name, forged := range map[string]string{
		"without its bearer":           ticket(mine),
		"with another bearer":          ticket(f.ticket(guest)) + "." + bearer(mine),
		"of a key, with a bearer":      ticket(f.ticket(f.dev.CustomerKey)) + "." + bearer(mine),
		"of a key, with what is none":  byKey + ".AAAA",
		"with a bearer that is broken": ticket(theirs) + "." + bearer(theirs)[1:],
		"with two bearers":             f.ticket(user) + "." + bearer(mine),
	} {
		f.refusedSocket(name, open(forged))
	}
	once := f.ticket(user)
	f.socket(open(once), "").read(1)
	f.refusedSocket("a second time", open(once))

	link := f.call("POST", "/v1/session/links", guest, nil)
	require.Equal(t, 201, link.status, link.body)
	in := f.call("POST", "/v1/session", link.field("code").(string), nil)
	require.Equal(t, 200, in.status, in.body)
	assert.Equal(t, "viewer", in.field("role"))
	require.Equal(t, 401, f.call("POST", "/v1/session", link.field("code").(string), nil).status, "a link counts once")
	large := f.token("users", map[string]any{"photo": strings.Repeat("x", 4000)})
	f.refused(f.call("POST", "/v1/session/links", large, nil), 400, "INVALID_INPUT", "Authorization")
}

func TestSession_OfATokenThatIsLarge_IsRefused(t *testing.T) {
	f := newFederated(t)
	in := f.call("POST", "/v1/session", f.token("users", map[string]any{"photo": strings.Repeat("x", 4000)}), nil)
	f.refused(in, 400, "INVALID_INPUT", "Authorization")
}

func TestConfig_OfTheIdentityProvider_RefusesWhatIsUnsafe(t *testing.T) {
	const issuer, audience = "NIYANTA_OIDC_ISSUER=https://login.example.com", "NIYANTA_OIDC_AUDIENCE=niyanta"
	assert.Empty(t, problems(RoleDev, issuer, audience))
	for _, c := range []struct {
		environment []string
		want        string
	}{
		{[]string{issuer}, "NIYANTA_OIDC_AUDIENCE: is required"},
		{[]string{audience}, "NIYANTA_OIDC_AUDIENCE: is set, but NIYANTA_OIDC_ISSUER is not"},
		{[]string{"NIYANTA_OIDC_ISSUER=http://login.example.com", audience}, "must begin with https://"},
		{[]string{"NIYANTA_OIDC_ISSUER=login.example.com", audience}, "must be the provider's URL"},
		{[]string{issuer, audience, "NIYANTA_OIDC_ROLES=admins"}, "NIYANTA_OIDC_ROLES: must look like name=role"},
		{[]string{issuer, audience, "NIYANTA_OIDC_ROLES=a=root"}, `"root" is no role`},
		{[]string{issuer, audience, "NIYANTA_OIDC_ROLES=a=worker"}, "workers have keys"},
		{[]string{issuer, audience, "NIYANTA_OIDC_ROLE_CLAIM=a..b"}, "NIYANTA_OIDC_ROLE_CLAIM: must be the name of a claim"},
		{[]string{"NIYANTA_ADMIN_KEY=eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2ln"},
			"must not have the form of a JSON web token"},
	} {
		assert.Contains(t, problems(RoleDev, c.environment...), c.want, "%v", c.environment)
	}
}
