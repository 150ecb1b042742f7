package servers

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/stretchr/testify/require"
)

// Issuer is an OpenID Connect provider that issues what a test asks for. It serves a discovery
// document and its keys.
type Issuer struct {
	// URL is its name.
	URL string

	mu     sync.Mutex
	keys   []jose.JSONWebKey // with their private parts
	n      int               // keys made so far
	away   bool
	looks  int
	server *httptest.Server
}

// StartIssuer starts a provider with an RSA key. It ends with the test.
func StartIssuer(tb testing.TB) *Issuer {
	tb.Helper()
	i := &Issuer{}
	i.server = httptest.NewServer(http.HandlerFunc(i.serve))
	i.URL = i.server.URL
	tb.Cleanup(i.server.Close)
	i.Rotate(tb, jose.RS256)
	return i
}

func (i *Issuer) serve(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.away {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	var answer any
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		answer = map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"HS256", "none", "RS256"}}
	case "/keys":
		i.looks++
		set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
			{Key: []byte("a symmetric key, published by mistake"), KeyID: "oct"},
		}}
		for n := range i.keys {
			set.Keys = append(set.Keys, i.keys[n].Public())
		}
		answer = set
	default:
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a client that is gone needs no answer
}

// SetAway has the provider answer with errors, or serve again.
func (i *Issuer) SetAway(away bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.away = away
}

// Looks returns how often its keys were read.
func (i *Issuer) Looks() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.looks
}

// Rotate adds a key for an algorithm, with which it signs from now on.
func (i *Issuer) Rotate(tb testing.TB, algorithm jose.SignatureAlgorithm) {
	tb.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	i.n++
	i.keys = append(i.keys, jose.JSONWebKey{Key: privateKey(tb, algorithm), KeyID: fmt.Sprint("k", i.n),
		Algorithm: string(algorithm), Use: "sig"})
}

// Withdraw removes all keys but the newest one.
func (i *Issuer) Withdraw() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = i.keys[len(i.keys)-1:]
}

func privateKey(tb testing.TB, algorithm jose.SignatureAlgorithm) any {
	tb.Helper()
	var key any
	var err error
	switch algorithm {
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.ES384:
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	require.NoError(tb, err)
	return key
}

// Key returns the newest key, with its private part.
func (i *Issuer) Key() jose.JSONWebKey {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[len(i.keys)-1]
}

// Claims returns what a token for an audience says: a subject, and an hour of validity.
func (i *Issuer) Claims(audience string, more map[string]any) map[string]any {
	now := time.Now()
	claims := map[string]any{
		"iss": i.URL, "aud": audience, "sub": "ada", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, more)
	return claims
}

// Token returns a token with the newest key. A claim that is nil is left out.
func (i *Issuer) Token(tb testing.TB, claims map[string]any) string {
	tb.Helper()
	key := i.Key()
	return Sign(tb, jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key}, claims)
}

// Sign returns a token that a key has signed. A claim that is nil is left out.
func Sign(tb testing.TB, key jose.SigningKey, claims map[string]any) string {
	tb.Helper()
	claims = maps.Clone(claims)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	signer, err := jose.NewSigner(key, (&jose.SignerOptions{}).WithType("JWT"))
	require.NoError(tb, err)
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	require.NoError(tb, err)
	return token
}
