package tenancy

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// errUnauthorized is one answer for no key, a bad one, an expired one, a revoked one.
func errUnauthorized() error {
	return domain.NewError(domain.CodeUnauthorized, "a valid API key is required")
}

func digests(keys ...string) [][32]byte {
	var out [][32]byte
	for _, k := range keys {
		if k != "" {
			out = append(out, sha256.Sum256([]byte(k)))
		}
	}
	return out
}

// matches compares with every digest in constant time.
func matches(digest [32]byte, known [][32]byte) bool {
	found := 0
	for i := range known {
		found |= subtle.ConstantTimeCompare(digest[:], known[i][:])
	}
	return found == 1
}

// Authenticate tells who a key belongs to. Everything that is not a usable key gets the same CodeUnauthorized.
// A revocation takes effect within keyFor.
func (s *Service) Authenticate(ctx context.Context, key string) (domain.Principal, error) {
	if key == "" || len(key) > 512 {
		return domain.Principal{}, errUnauthorized()
	}
	digest := sha256.Sum256([]byte(key))
	switch {
	case matches(digest, s.admin):
		return domain.Principal{Role: domain.RoleAdmin, KeyID: "admin"}, nil
	case matches(digest, s.workers):
		return domain.Principal{Role: domain.RoleWorker, KeyID: "worker"}, nil
	}
	prefix, customer, ok := domain.KeyPrefix(key)
	if !ok {
		return domain.Principal{}, errUnauthorized()
	}
	k, err := s.cache.key(prefix, func() (domain.APIKey, error) { return s.Keys.ByPrefix(ctx, prefix) })
	switch {
	case domain.IsCode(err, domain.CodeNotFound):
		return domain.Principal{}, errUnauthorized()
	case err != nil:
		return domain.Principal{}, err
	}
	if subtle.ConstantTimeCompare(digest[:], k.Digest[:]) != 1 || k.CustomerID != customer || !k.Usable(s.Clock.Now()) {
		return domain.Principal{}, errUnauthorized()
	}
	return domain.Principal{Role: k.Role, CustomerID: k.CustomerID, KeyID: k.ID}, nil
}

// CreateKey makes a key for a customer; the secret is returned once and stored nowhere.
// expiresAt zero: never. CodeInvalidInput, CodeNotFound.
func (s *Service) CreateKey(ctx context.Context, customer domain.CustomerID, role domain.Role, expiresAt time.Time) (domain.APIKey, string, error) {
	if role != domain.RoleCustomer && role != domain.RoleViewer {
		return domain.APIKey{}, "", domain.Invalid("role", "must be customer or viewer")
	}
	if !expiresAt.IsZero() && !expiresAt.After(s.Clock.Now()) {
		return domain.APIKey{}, "", domain.Invalid("expires_at", "must be in the future")
	}
	var random [20]byte
	s.IDs.Random(random[:])
	secret := domain.FormatKey(customer, random)
	k, err := s.ImportKey(ctx, customer, role, secret, expiresAt)
	return k, secret, err
}

// ImportKey stores a key whose secret was chosen elsewhere (the development server's). It must have the form of a key of
// that customer.
func (s *Service) ImportKey(ctx context.Context, customer domain.CustomerID, role domain.Role, secret string, expiresAt time.Time) (domain.APIKey, error) {
	prefix, owner, ok := domain.KeyPrefix(secret)
	if !ok || owner != customer {
		return domain.APIKey{}, domain.Invalid("key", "must look like nyt_%s_ and 32 characters", customer)
	}
	return s.Keys.Create(ctx, domain.APIKey{
		ID: domain.KeyID(s.IDs.New(domain.PrefixKey)), CustomerID: customer, Role: role,
		Prefix: prefix, Digest: sha256.Sum256([]byte(secret)), ExpiresAt: expiresAt,
	})
}

// ListKeys returns a customer's keys. CodeNotFound when there is no such customer.
func (s *Service) ListKeys(ctx context.Context, customer domain.CustomerID) ([]domain.APIKey, error) {
	if _, err := s.Customers.Get(ctx, customer); err != nil {
		return nil, err
	}
	return s.Keys.List(ctx, customer)
}

// RevokeKey ends a key, here at once and in other processes within keyFor. CodeNotFound.
func (s *Service) RevokeKey(ctx context.Context, customer domain.CustomerID, id domain.KeyID) error {
	if err := s.Keys.Revoke(ctx, customer, id); err != nil {
		return err
	}
	s.cache.forgetKeys()
	return nil
}

const (
	// keyFor is how long a key is taken from memory; it bounds how late a revocation takes effect elsewhere.
	keyFor = 4 * time.Second
	// cacheMax bounds the cache; beyond it everything is forgotten and read again.
	cacheMax = 50_000
)

// keyCache remembers keys and limits for a few seconds, so that a busy API does not read them for every request.
// Misses are not remembered: a stranger cannot fill it.
type keyCache struct {
	clock ports.Clock
	mu    sync.Mutex
	keys  map[string]cached[domain.APIKey]
	rates map[domain.CustomerID]cached[domain.Limits]
}

type cached[T any] struct {
	value T
	until time.Time
}

func (c *keyCache) key(prefix string, load func() (domain.APIKey, error)) (domain.APIKey, error) {
	return lookup(c, &c.keys, prefix, keyFor, load)
}

func (c *keyCache) limits(id domain.CustomerID, load func() (domain.Limits, error)) (domain.Limits, error) {
	return lookup(c, &c.rates, id, limitsFor, load)
}

func (c *keyCache) forgetKeys() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys = nil
}

func lookup[K comparable, T any](c *keyCache, m *map[K]cached[T], k K, ttl time.Duration, load func() (T, error)) (T, error) {
	now := c.clock.Now()
	c.mu.Lock()
	hit, ok := (*m)[k]
	c.mu.Unlock()
	if ok && now.Before(hit.until) {
		return hit.value, nil
	}
	v, err := load()
	if err != nil {
		return v, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if *m == nil || len(*m) >= cacheMax {
		*m = map[K]cached[T]{}
	}
	(*m)[k] = cached[T]{v, now.Add(ttl)}
	return v, nil
}
