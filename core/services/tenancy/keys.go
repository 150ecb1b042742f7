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

// errUnauthorized is the same for a key that is missing, wrong, expired or revoked.
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

// matches reports whether a digest is a known one. It compares all of them in constant time.
func matches(digest [32]byte, known [][32]byte) bool {
	found := 0
	for i := range known {
		found |= subtle.ConstantTimeCompare(digest[:], known[i][:])
	}
	return found == 1
}

// Authenticate returns the principal of a key or of a token. Whatever cannot be used gets the same
// CodeUnauthorized. A revocation takes effect within keyFor, an expiry at once. What has the form of a
// token is never looked up as a key, and nothing else is verified as a token.
func (s *Service) Authenticate(ctx context.Context, key string) (domain.Principal, error) {
	if domain.LooksLikeToken(key) {
		return s.authenticateToken(ctx, key)
	}
	if key == "" || len(key) > 512 {
		return domain.Principal{}, errUnauthorized()
	}
	digest := sha256.Sum256([]byte(key))
	switch {
	case matches(digest, s.admin):
		return configuredAdmin, nil
	case matches(digest, s.workers):
		return configuredWorker, nil
	}
	prefix, customer, ok := domain.KeyPrefix(key)
	if !ok {
		return domain.Principal{}, errUnauthorized()
	}
	k, err := s.key(ctx, prefix)
	if err != nil {
		return domain.Principal{}, err
	}
	if subtle.ConstantTimeCompare(digest[:], k.Digest[:]) != 1 || k.CustomerID != customer {
		return domain.Principal{}, errUnauthorized()
	}
	return principalOf(k), nil
}

func principalOf(k domain.APIKey) domain.Principal {
	return domain.Principal{
		Role: k.Role, CustomerID: k.CustomerID, KeyID: k.ID, KeyName: k.Name, KeyPrefix: k.Prefix,
		WorkerIDs: k.WorkerIDs,
	}
}

// Recheck returns a principal that was authenticated before, as Authenticate would now:
// CodeUnauthorized if its key or token cannot be used any more. It needs no secret, so that nobody
// has to keep one. Of p it needs KeyID and KeyPrefix, and for a token the rest.
func (s *Service) Recheck(ctx context.Context, p domain.Principal) (domain.Principal, error) {
	switch {
	case !p.TokenExpires.IsZero():
		return p, s.checkToken(ctx, p)
	case p.KeyPrefix == "":
		return s.configuredKey(p.KeyID)
	}
	k, err := s.key(ctx, p.KeyPrefix)
	if err == nil && k.ID != p.KeyID {
		err = errUnauthorized()
	}
	return principalOf(k), err
}

// The principals of the keys that the configuration holds.
var (
	configuredAdmin  = domain.Principal{Role: domain.RoleAdmin, KeyID: domain.KeyAdmin, KeyName: configured}
	configuredWorker = domain.Principal{
		Role: domain.RoleWorker, KeyID: domain.KeyWorker, KeyName: configured, WorkerIDs: domain.AnyWorker,
	}
)

const configured = "key of the configuration"

// configuredKey returns the principal of a key of the configuration, which is the same for as long as
// the process lives.
func (s *Service) configuredKey(id domain.KeyID) (domain.Principal, error) {
	switch {
	case id == domain.KeyAdmin && len(s.admin) > 0:
		return configuredAdmin, nil
	case id == domain.KeyWorker && len(s.workers) > 0:
		return configuredWorker, nil
	}
	return domain.Principal{}, errUnauthorized()
}

// key returns the key with a lookup prefix. CodeUnauthorized if there is none that can be used.
func (s *Service) key(ctx context.Context, prefix string) (domain.APIKey, error) {
	k, err := s.cache.key(prefix, func() (domain.APIKey, time.Duration, error) { return s.usableKey(ctx, prefix) })
	if domain.IsCode(err, domain.CodeNotFound) {
		err = errUnauthorized()
	}
	return k, err
}

// usableKey returns a key and how long it may be cached. The clock of the store decides whether the
// key has expired, because the clocks of coordinators may be wrong. CodeNotFound if the key must
// not be used.
func (s *Service) usableKey(ctx context.Context, prefix string) (domain.APIKey, time.Duration, error) {
	read, err := s.lookups.Do(ctx, prefix)
	if err != nil {
		return domain.APIKey{}, 0, err
	}
	k := read[0]
	if k.Usable <= 0 {
		return domain.APIKey{}, 0, domain.NotFound("key")
	}
	return k.APIKey, min(k.Usable, keyFor), nil
}

const (
	// lookupBatch bounds the keys that are looked up together.
	lookupBatch = 1000
	// lookupTimeout bounds such a lookup. Others wait for it, so a connection that died silently
	// must not hold it for long.
	lookupTimeout = 5 * time.Second
)

// readKeys looks up the keys that are asked for at the same time with one read, and only one read is
// in progress: anybody can ask for keys that do not exist, before he is authenticated. A key that
// does not exist is not usable.
func (s *Service) readKeys(ctx context.Context, prefixes []string) ([]ports.FoundKey, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := s.deps.Keys.ByPrefix(ctx, prefixes...)
	if err != nil {
		return nil, err
	}
	byPrefix := make(map[string]ports.FoundKey, len(found))
	for _, k := range found {
		byPrefix[k.Prefix] = k
	}
	out := make([]ports.FoundKey, len(prefixes))
	for i, prefix := range prefixes {
		out[i] = byPrefix[prefix]
	}
	return out, nil
}

// CreateKey creates a key and returns it with its secret, which is stored nowhere. k states its
// CustomerID (empty: an operator key), Role, Name, WorkerIDs and ExpiresAt (zero: never).
// CodeInvalidInput, CodeNotFound.
func (s *Service) CreateKey(
	ctx context.Context, k domain.APIKey, by domain.Admin,
) (domain.APIKey, string, error) {
	var random [20]byte
	s.deps.IDs.Random(random[:])
	secret := k.Format(random)
	k, err := s.ImportKey(ctx, k, secret, by)
	return k, secret, err
}

// ImportKey stores a key whose secret the caller chose, as the development server does. The secret
// must have the form of a key of that customer. CodeInvalidInput, CodeNotFound.
func (s *Service) ImportKey(
	ctx context.Context, k domain.APIKey, secret string, by domain.Admin,
) (domain.APIKey, error) {
	if err := k.Validate(); err != nil {
		return domain.APIKey{}, err
	}
	prefix, owner, ok := domain.KeyPrefix(secret)
	if !ok || owner != k.CustomerID {
		return domain.APIKey{}, domain.Invalid("key", "must look like nyt_%s_ and 32 letters and digits", k.CustomerID)
	}
	k.ID, k.ExpiresAt = domain.KeyID(s.deps.IDs.New(domain.PrefixKey)), domain.StoredTime(k.ExpiresAt)
	k.Prefix, k.Digest = prefix, sha256.Sum256([]byte(secret))
	return s.deps.Keys.Create(ctx, k, by)
}

// ListKeys returns a customer's keys, or the operator keys if customer is empty. CodeNotFound when
// there is no such customer.
func (s *Service) ListKeys(ctx context.Context, customer domain.CustomerID) ([]domain.APIKey, error) {
	if customer != "" {
		if _, err := s.deps.Customers.Get(ctx, customer); err != nil {
			return nil, err
		}
	}
	return s.deps.Keys.List(ctx, customer)
}

// RevokeKey revokes a customer's key, or an operator key if customer is empty: in this process at
// once, in others within keyFor. CodeNotFound.
func (s *Service) RevokeKey(
	ctx context.Context, customer domain.CustomerID, id domain.KeyID, by domain.Admin,
) error {
	if err := s.deps.Keys.Revoke(ctx, customer, id, by); err != nil {
		return err
	}
	s.cache.forget()
	return nil
}

const (
	// keyFor is how long a key is cached. It bounds how late a revocation takes effect in other
	// processes. The HTTP adapter checks the key of a request that waits at the same interval:
	// together they stay below the promised 5 s.
	keyFor = 2 * time.Second
	// cacheLimit bounds the entries of a cache. Beyond it the cache is emptied.
	cacheLimit = 50_000
)

// keyCache keeps keys and limits for a few seconds, so that a busy API does not read them for every
// request. It does not keep failed lookups: otherwise anybody could fill it.
type keyCache struct {
	clock ports.Clock
	mu    sync.Mutex
	// age counts how often the cache was emptied. A key that was read before that is not kept.
	age       int
	keys      map[string]cached[domain.APIKey]
	customers map[domain.CustomerID]cached[domain.Customer]
}

type cached[T any] struct {
	value T
	until time.Time
}

func (c *keyCache) key(prefix string, load func() (domain.APIKey, time.Duration, error)) (domain.APIKey, error) {
	return lookup(c, &c.keys, prefix, load)
}

func (c *keyCache) customer(id domain.CustomerID, load func() (domain.Customer, error)) (domain.Customer, error) {
	return lookup(c, &c.customers, id, func() (domain.Customer, time.Duration, error) {
		customer, err := load()
		return customer, customerFor, err
	})
}

// forget empties the cache.
func (c *keyCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys, c.customers = nil, nil
	c.age++
}

// lookup returns the cached value. If there is none, it loads the value and keeps it for the time
// that load returns, counted from before the call.
func lookup[K comparable, T any](
	c *keyCache, m *map[K]cached[T], k K, load func() (T, time.Duration, error),
) (T, error) {
	now := c.clock.Now()
	c.mu.Lock()
	hit, ok := (*m)[k]
	age := c.age
	c.mu.Unlock()
	if ok && now.Before(hit.until) {
		return hit.value, nil
	}
	v, ttl, err := load()
	if err != nil {
		return v, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.age != age {
		return v, nil // do not keep it: the cache was emptied meanwhile, perhaps because this key was revoked
	}
	if *m == nil || len(*m) >= cacheLimit {
		*m = map[K]cached[T]{}
	}
	(*m)[k] = cached[T]{v, now.Add(ttl)}
	return v, nil
}
