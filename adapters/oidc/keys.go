package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	// askTimeout bounds one look at the provider's documents.
	askTimeout = 5 * time.Second
	// askInterval is the shortest time between two looks that tokens cause. Whoever sends tokens
	// with made-up key ids causes no more.
	askInterval = 10 * time.Second
	// documentLimit is the size of the largest document of a provider, in bytes.
	documentLimit = 1 << 20
	// keyLimit bounds the keys of a provider.
	keyLimit = 100
	// minRSABits is the size of the smallest RSA key.
	minRSABits = 2048
)

var (
	errNoKeys     = errors.New("the provider's keys are not known yet")
	errUnknownKey = errors.New("the token is not signed by a key of the provider")
)

// algorithms are those that a signature may have. Without symmetric ones, nobody can pass a public
// key for a secret.
func algorithms() []string {
	return []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}
}

// keys are the provider's. Safe for concurrent use.
type keys struct {
	issuer string
	client *http.Client
	now    func() time.Time

	asking sync.Mutex // one looks at a time
	mu     sync.Mutex
	known  []jose.JSONWebKey // nil: never read
	// asked is when a look last began, answered when one last ended.
	asked, answered time.Time
	failed          error // of the last look
}

// verifySignature returns the payload of a token that a key of the provider has signed.
func (k *keys) verifySignature(ctx context.Context, token string) ([]byte, error) {
	var accepted []jose.SignatureAlgorithm
	for _, a := range algorithms() {
		accepted = append(accepted, jose.SignatureAlgorithm(a))
	}
	jws, err := jose.ParseSignedCompact(token, accepted)
	if err != nil {
		return nil, err
	}
	payload, err := k.verify(jws)
	if errors.Is(err, errUnknownKey) || errors.Is(err, errNoKeys) {
		if k.askAgain(ctx) {
			payload, err = k.verify(jws)
		}
	}
	return payload, err
}

// verify checks a signature with the keys that are known: with the one that the token names, or
// with each if it names none.
func (k *keys) verify(jws *jose.JSONWebSignature) ([]byte, error) {
	k.mu.Lock()
	known := k.known
	k.mu.Unlock()
	if known == nil {
		return nil, errNoKeys
	}
	header := jws.Signatures[0].Header
	err := errUnknownKey
	for i := range known {
		key := &known[i]
		if header.KeyID != "" && key.KeyID != header.KeyID || key.Algorithm != "" && key.Algorithm != header.Algorithm {
			continue
		}
		payload, verr := jws.Verify(key.Key)
		if verr == nil {
			return payload, nil
		}
		if header.KeyID != "" {
			err = verr
		}
	}
	return nil, err
}

// askAgain looks at the provider's keys unless that was done a short time ago. It reports whether
// it is worth to verify again.
func (k *keys) askAgain(ctx context.Context) bool {
	began := k.now()
	k.asking.Lock()
	defer k.asking.Unlock()
	k.mu.Lock()
	asked, answered := k.asked, k.answered
	k.mu.Unlock()
	if !answered.Before(began) {
		return true // a look of another one has ended meanwhile, such as the first one of this process
	}
	if k.now().Sub(asked) < askInterval {
		return false
	}
	return k.lookLocked(ctx) == nil
}

// look reads the provider's keys. If that fails, those from before stay in use.
func (k *keys) look(ctx context.Context) error {
	k.asking.Lock()
	defer k.asking.Unlock()
	return k.lookLocked(ctx)
}

func (k *keys) lookLocked(ctx context.Context) error {
	k.mu.Lock()
	k.asked = k.now()
	k.mu.Unlock()
	// The keys are for all tokens: that the sender of one has left ends nothing.
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	found, err := k.read(bounded)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failed, k.answered = err, k.now()
	if err == nil {
		k.known = found
	}
	return err
}

// state returns why the last look failed.
func (k *keys) state() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known == nil && k.failed == nil {
		return errNoKeys
	}
	return k.failed
}

// read reads the provider's documents.
func (k *keys) read(ctx context.Context) ([]jose.JSONWebKey, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, k.client), k.issuer)
	if err != nil {
		return nil, fmt.Errorf("the discovery document: %w", err)
	}
	var document struct {
		KeysURL string `json:"jwks_uri"`
	}
	if err := provider.Claims(&document); err != nil {
		return nil, fmt.Errorf("the discovery document: %w", err)
	}
	set, err := k.readKeys(ctx, document.KeysURL)
	if err != nil {
		return nil, fmt.Errorf("the keys: %w", err)
	}
	var usable []jose.JSONWebKey
	for i := range set.Keys {
		if isUsable(&set.Keys[i]) {
			usable = append(usable, set.Keys[i])
		}
	}
	if len(usable) == 0 || len(usable) > keyLimit {
		return nil, fmt.Errorf("the keys: %d can be used, of %d; 1 to %d may", len(usable), len(set.Keys), keyLimit)
	}
	return usable, nil
}

func (k *keys) readKeys(ctx context.Context, url string) (set jose.JSONWebKeySet, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return set, err
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return set, err
	}
	defer func() { _ = resp.Body.Close() }() // read to its end
	if resp.StatusCode != http.StatusOK {
		return set, fmt.Errorf("%s answers %s", url, resp.Status)
	}
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, documentLimit)).Decode(&raw); err != nil {
		return set, err
	}
	for _, one := range raw.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(one) == nil { // a key of a new kind does not spoil the others
			set.Keys = append(set.Keys, key)
		}
	}
	return set, nil
}

// isUsable reports whether a key can verify a signature of an accepted algorithm.
func isUsable(key *jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" || !key.IsPublic() || !key.Valid() {
		return false
	}
	switch of := key.Key.(type) {
	case *rsa.PublicKey:
		return of.N.BitLen() >= minRSABits
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}
