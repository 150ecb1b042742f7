package oidc_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/oidc"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
)

const audience = "niyanta"

// verifier returns a verifier for an issuer, whose clock the test moves.
func verifier(t *testing.T, issuer string, change ...func(*oidc.Options)) (v *oidc.Verifier, pass func(time.Duration)) {
	t.Helper()
	var later time.Duration
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	o := oidc.Options{
		Issuer: issuer, Audience: audience, CustomerClaim: "customer_id", RoleClaim: "role", Transport: transport,
		Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Now().Add(later) },
	}
	for _, f := range change {
		f(&o)
	}
	return oidc.New(o), func(d time.Duration) { later += d }
}

func TestVerify_OfAGoodToken_ReturnsWhatItSays(t *testing.T) {
	i := servers.StartIssuer(t)
	v, _ := verifier(t, i.URL)
	for n, algorithm := range []jose.SignatureAlgorithm{jose.RS256, jose.RS512, jose.ES256, jose.ES384, jose.EdDSA} {
		if n > 0 {
			i.Rotate(t, algorithm)
		}
		require.NoError(t, v.Refresh(t.Context()))
		claims := i.Claims(audience, map[string]any{
			"customer_id": "cust_acme", "role": []string{"x", "customer"}, "email": "ada@example.com",
		})
		got, err := v.Verify(t.Context(), i.Token(t, claims))
		require.NoError(t, err, algorithm)
		expires := time.Unix(claims["exp"].(int64), 0)
		assert.WithinDuration(t, expires.Add(30*time.Second), got.ExpiresAt, 0)
		got.ExpiresAt = time.Time{}
		assert.Equal(t, domain.Identity{Subject: "ada", Name: "ada@example.com", CustomerID: "cust_acme",
			Roles: []string{"x", "customer"}}, got)
	}
}

func TestVerify_OfClaimsWithinObjects_FindsThem(t *testing.T) {
	i := servers.StartIssuer(t)
	v, _ := verifier(t, i.URL, func(o *oidc.Options) {
		o.RoleClaim, o.CustomerClaim = "realm_access.roles", "https://niyanta.example/customer"
	})
	got, err := v.Verify(t.Context(), i.Token(t, i.Claims(audience, map[string]any{
		"realm_access": map[string]any{"roles": []any{"viewer", 7}}, "https://niyanta.example/customer": "cust_a",
	})))
	require.NoError(t, err)
	assert.Equal(t, []string{"viewer"}, got.Roles)
	assert.Equal(t, domain.CustomerID("cust_a"), got.CustomerID)
}

// forged encodes a token whose signature is what sign makes of it.
func forged(t *testing.T, header, claims map[string]any, signature string) string {
	t.Helper()
	encode := func(v map[string]any) string {
		b, err := json.Marshal(v)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return encode(header) + "." + encode(claims) + "." + signature
}

// TestVerify_OfAttacks_RefusesEach tries tokens that must not be accepted. Each has the claims of a
// good one but for what its name says.
func TestVerify_OfAttacks_RefusesEach(t *testing.T) {
	i, other := servers.StartIssuer(t), servers.StartIssuer(t)
	v, _ := verifier(t, i.URL)
	require.NoError(t, v.Refresh(t.Context()))
	key := i.Key()
	good := i.Claims(audience, map[string]any{"role": "admin"})
	with := func(name string, value any) map[string]any { return i.Claims(audience, map[string]any{name: value}) }
	now := time.Now()
	public := key.Public().Key.(*rsa.PublicKey)
	der, err := x509.MarshalPKIXPublicKey(public)
	require.NoError(t, err)
	asPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	modulus := public.N.Bytes()
	hmacOf := func(secret []byte, kid string) string {
		return servers.Sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: secret, KeyID: kid}}, good)
	}
	small, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	valid := i.Token(t, good)
	_, err = v.Verify(t.Context(), valid)
	require.NoError(t, err, "the good one")
	parts := strings.Split(valid, ".")
	otherPayload := strings.Split(forged(t, nil, with("sub", "eve"), ""), ".")[1]
	for name, token := range map[string]string{
		"alg none":                       forged(t, map[string]any{"alg": "none"}, good, ""),
		"alg None":                       forged(t, map[string]any{"alg": "None", "typ": "JWT"}, good, ""),
		"alg none with a signature":      forged(t, map[string]any{"alg": "none", "kid": key.KeyID}, good, parts[2]),
		"no alg":                         forged(t, map[string]any{"kid": key.KeyID}, good, parts[2]),
		"HS256 with the public key, PEM": hmacOf(asPEM, key.KeyID),
		"HS256 with the public key, DER": hmacOf(der, key.KeyID),
		"HS256 with the modulus":         hmacOf(modulus, key.KeyID),
		"HS256 with a published secret":  hmacOf([]byte("a symmetric key, published by mistake"), "oct"),
		"PS256": servers.Sign(t,
			jose.SigningKey{Algorithm: jose.PS256, Key: key.Key.(*rsa.PrivateKey)}, good),
		"ES256 in place of RS256": forged(t, map[string]any{"alg": "ES256", "kid": key.KeyID}, good, parts[2]),
		"another algorithm of the same key": servers.Sign(t, jose.SigningKey{Algorithm: jose.RS512,
			Key: jose.JSONWebKey{Key: key.Key, KeyID: key.KeyID}}, good),
		"another key with the same id": servers.Sign(t, jose.SigningKey{Algorithm: jose.RS256,
			Key: jose.JSONWebKey{Key: small, KeyID: key.KeyID}}, good),
		"another key with an unknown id": servers.Sign(t, jose.SigningKey{Algorithm: jose.RS256,
			Key: jose.JSONWebKey{Key: small, KeyID: "unknown"}}, good),
		"a key of its own in jwk": forged(t, map[string]any{"alg": "RS256", "jwk": map[string]any{"kty": "RSA"}}, good,
			parts[2]),
		"keys of its own in jku": forged(t, map[string]any{"alg": "RS256", "jku": other.URL + "/keys", "kid": "k1"}, good,
			parts[2]),
		"another issuer's token":    other.Token(t, other.Claims(audience, nil)),
		"another issuer's key":      other.Token(t, good),
		"another issuer":            i.Token(t, with("iss", i.URL+"/")),
		"no issuer":                 i.Token(t, with("iss", nil)),
		"another audience":          i.Token(t, with("aud", "other")),
		"several other audiences":   i.Token(t, with("aud", []string{"a", "niyanta2"})),
		"no audience":               i.Token(t, with("aud", nil)),
		"expired":                   i.Token(t, with("exp", now.Add(-31*time.Second).Unix())),
		"no expiry":                 i.Token(t, with("exp", nil)),
		"an expiry that is no time": forged(t, map[string]any{"alg": "RS256"}, with("exp", "soon"), parts[2]),
		"not before":                i.Token(t, with("nbf", now.Add(40*time.Second).Unix())),
		"issued in the future":      i.Token(t, with("iat", now.Add(40*time.Second).Unix())),
		"another payload":           parts[0] + "." + otherPayload + "." + parts[2],
		"a cut signature":           valid[:len(valid)-4],
		"no signature":              parts[0] + "." + parts[1] + ".",
		"an unknown critical header": forged(t, map[string]any{"alg": "RS256", "kid": key.KeyID, "crit": []string{"x"},
			"x": 1}, good, parts[2]),
		"two parts":      parts[0] + "." + parts[1],
		"nothing":        "",
		"NUL bytes":      "ey\x00.\x00.\x00",
		"a giant":        valid + strings.Repeat("A", domain.TokenLimit),
		"a JSON payload": `{"payload":"e30","signatures":[]}`,
	} {
		_, err := v.Verify(t.Context(), token)
		assert.True(t, domain.IsCode(err, domain.CodeUnauthorized), "%s: %v", name, err)
		assert.Equal(t, "the token is not accepted", errorMessage(err), name)
	}
	assert.LessOrEqual(t, i.Looks(), 2, "tokens with made-up keys cause few looks")
	assert.Zero(t, other.Looks(), "a token does not say where keys are")
}

func errorMessage(err error) string {
	var e *domain.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Message
}

func TestVerify_WithinTheLeeway_Accepts(t *testing.T) {
	i := servers.StartIssuer(t)
	v, _ := verifier(t, i.URL)
	now := time.Now()
	for name, claims := range map[string]map[string]any{
		"just expired":          {"exp": now.Add(-20 * time.Second).Unix()},
		"valid in a moment":     {"nbf": now.Add(20 * time.Second).Unix()},
		"issued a moment later": {"iat": now.Add(20 * time.Second).Unix()},
		"several audiences":     {"aud": []string{"other", audience}},
	} {
		_, err := v.Verify(t.Context(), i.Token(t, i.Claims(audience, claims)))
		assert.NoError(t, err, name)
	}
}

func TestVerify_WhenTheProviderRotatesItsKeys_FollowsWithoutMany(t *testing.T) {
	i := servers.StartIssuer(t)
	v, pass := verifier(t, i.URL)
	token := func() string { return i.Token(t, i.Claims(audience, nil)) }
	first := token()
	_, err := v.Verify(t.Context(), first)
	require.NoError(t, err, "the first token has the keys read")
	i.Rotate(t, jose.ES256)
	second := token()
	_, err = v.Verify(t.Context(), second)
	require.Error(t, err, "they were read a moment ago")
	pass(11 * time.Second)
	_, err = v.Verify(t.Context(), second)
	require.NoError(t, err, "an unknown key has them read again")
	_, err = v.Verify(t.Context(), first)
	require.NoError(t, err, "the earlier key still counts")
	assert.Equal(t, 2, i.Looks())
	i.Withdraw()
	require.NoError(t, v.Refresh(t.Context()))
	_, err = v.Verify(t.Context(), first)
	require.Error(t, err, "a withdrawn key does not")
	_, err = v.Verify(t.Context(), second)
	require.NoError(t, err)
}

func TestVerify_WhileTheProviderIsAway_UsesTheKeysThatItHad(t *testing.T) {
	i := servers.StartIssuer(t)
	v, pass := verifier(t, i.URL)
	i.SetAway(true)
	token := i.Token(t, i.Claims(audience, nil))
	_, err := v.Verify(t.Context(), token)
	assert.True(t, domain.IsCode(err, domain.CodeUnavailable), "there are none so far: %v", err)
	require.Error(t, v.Ping(t.Context()))
	i.SetAway(false)
	pass(11 * time.Second)
	_, err = v.Verify(t.Context(), token)
	require.NoError(t, err)
	require.NoError(t, v.Ping(t.Context()))
	i.SetAway(true)
	require.Error(t, v.Refresh(t.Context()))
	require.Error(t, v.Ping(t.Context()))
	_, err = v.Verify(t.Context(), token)
	require.NoError(t, err)
	i.Rotate(t, jose.RS256)
	pass(11 * time.Second)
	_, err = v.Verify(t.Context(), i.Token(t, i.Claims(audience, nil)))
	assert.True(t, domain.IsCode(err, domain.CodeUnauthorized), "a key that nobody knows: %v", err)
}
