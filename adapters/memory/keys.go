package memory

import (
	"cmp"
	"context"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type keys struct{ s *Store }

// Create implements ports.KeyStore.
func (k keys) Create(ctx context.Context, key domain.APIKey, by domain.Admin) (domain.APIKey, error) {
	if err := ctx.Err(); err != nil {
		return domain.APIKey{}, err
	}
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	if key.CustomerID != "" && k.s.customers[key.CustomerID] == nil {
		return domain.APIKey{}, domain.NotFound("customer")
	}
	if key.CustomerID != "" {
		if err := k.s.customers[key.CustomerID].CheckKept(); err != nil {
			return domain.APIKey{}, err
		}
	}
	for prefix, other := range k.s.keys {
		if prefix == key.Prefix || other.ID == key.ID {
			return domain.APIKey{}, domain.ErrKeyExists()
		}
	}
	issued, act, err := key.Issue(by, k.s.now())
	if err != nil {
		return domain.APIKey{}, err
	}
	k.s.actLocked(act)
	k.s.keys[issued.Prefix] = &issued
	return issued, nil
}

// ByPrefix implements ports.KeyStore.
func (k keys) ByPrefix(ctx context.Context, prefixes ...string) ([]ports.FoundKey, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	var found []ports.FoundKey
	for _, prefix := range slices.Compact(slices.Sorted(slices.Values(prefixes))) {
		if key := k.s.keys[prefix]; key != nil {
			found = append(found, ports.FoundKey{APIKey: *key, Usable: key.UsableFor(k.s.now())})
		}
	}
	return found, nil
}

// List implements ports.KeyStore.
func (k keys) List(ctx context.Context, customer domain.CustomerID) ([]domain.APIKey, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	var out []domain.APIKey
	for _, key := range k.s.keys {
		if key.CustomerID == customer {
			out = append(out, *key)
		}
	}
	slices.SortFunc(out, func(a, b domain.APIKey) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}

// Revoke implements ports.KeyStore.
func (k keys) Revoke(ctx context.Context, customer domain.CustomerID, id domain.KeyID, by domain.Admin) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	k.s.mu.Lock()
	defer k.s.mu.Unlock()
	for _, key := range k.s.keys {
		if key.ID == id && key.CustomerID == customer {
			revoked, act := key.Revoke(by, k.s.now())
			k.s.actLocked(act)
			*key = revoked
			return nil
		}
	}
	return domain.NotFound("key")
}
