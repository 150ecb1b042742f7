package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type keys struct{ s *Store }

var (
	keyTable = table[domain.APIKey]{"api_keys", []column[domain.APIKey]{
		text("key_id", func(k *domain.APIKey) *domain.KeyID { return &k.ID }),
		text("customer_id", func(k *domain.APIKey) *domain.CustomerID { return &k.CustomerID }),
		text("role", func(k *domain.APIKey) *domain.Role { return &k.Role }),
		text("name", func(k *domain.APIKey) *string { return &k.Name }),
		text("worker_ids", func(k *domain.APIKey) *domain.WorkerPattern { return &k.WorkerIDs }),
		text("prefix", func(k *domain.APIKey) *string { return &k.Prefix }),
		digest("digest", func(k *domain.APIKey) *[32]byte { return &k.Digest }),
		instant("created_at", func(k *domain.APIKey) *time.Time { return &k.CreatedAt }),
		optional("expires_at", func(k *domain.APIKey) *time.Time { return &k.ExpiresAt }),
		optional("revoked_at", func(k *domain.APIKey) *time.Time { return &k.RevokedAt }),
	}}
	insertKeys = keyTable.insert()
	updateKeys = keyTable.update("key_id")
	selectKeys = "SELECT " + keyTable.names("k") + " FROM api_keys k"
)

// Create implements ports.KeyStore.
func (k keys) Create(ctx context.Context, key domain.APIKey, by domain.Admin) (domain.APIKey, error) {
	stored, err := inTx(ctx, k.s, k.s.pool, func(ctx context.Context, t *tx) (domain.APIKey, error) {
		if key.CustomerID != "" { // the lock keeps a deletion from beginning before this commits
			customer, err := t.lockCustomer(ctx, key.CustomerID, "SHARE")
			if err == nil {
				err = customer.CheckKept()
			}
			if err != nil {
				return key, err
			}
		}
		if err := t.read(ctx); err != nil {
			return key, err
		}
		issued, act, err := key.Issue(by, t.now)
		if err != nil {
			return key, err
		}
		writeRows(t, &keyTable, insertKeys, []*domain.APIKey{&issued})
		t.queueActs(act)
		return issued, t.commit(ctx)
	})
	if violated(err) != "" {
		return key, domain.ErrKeyExists()
	}
	return stored, err
}

// ByPrefix implements ports.KeyStore.
func (k keys) ByPrefix(ctx context.Context, prefixes ...string) ([]ports.FoundKey, error) {
	return query(ctx, k.s.pool, func(row pgx.CollectableRow) (found ports.FoundKey, err error) {
		var now time.Time
		err = row.Scan(keyTable.targets(&found.APIKey, &now)...)
		found.Usable = found.UsableFor(now)
		return found, err
	}, "SELECT "+keyTable.names("k")+", niyanta_now() FROM api_keys k WHERE k.prefix = ANY($1::text[])", prefixes)
}

// List implements ports.KeyStore.
func (k keys) List(ctx context.Context, customer domain.CustomerID) ([]domain.APIKey, error) {
	return query(
		ctx, k.s.pool, keyTable.scan, selectKeys+" WHERE k.customer_id = $1::text ORDER BY k.created_at, k.key_id",
		string(customer),
	)
}

// Revoke implements ports.KeyStore.
func (k keys) Revoke(ctx context.Context, customer domain.CustomerID, id domain.KeyID, by domain.Admin) error {
	_, err := updateOne(ctx, k.s, &keyTable, updateKeys, domain.NotFound("key"),
		func(key domain.APIKey, now time.Time) (domain.APIKey, domain.AdminEvent, error) {
			revoked, act := key.Revoke(by, now)
			return revoked, act, nil
		}, selectKeys+" WHERE k.key_id = $1::text AND k.customer_id = $2::text FOR NO KEY UPDATE", string(id),
		string(customer))
	return err
}
