package ports

import (
	"context"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// CustomerStore keeps customers. What a method changes is recorded in the same transaction as an
// action of by; see AdminAuditStore.
type CustomerStore interface {
	// Create stores a customer, its times from the store's clock, and returns it. CodeConflict when
	// the id exists or was that of a customer that was deleted: no id is given out again.
	Create(ctx context.Context, c domain.Customer, by domain.Admin) (domain.Customer, error)
	// Get returns a customer. CodeNotFound when there is none.
	Get(ctx context.Context, id domain.CustomerID) (domain.Customer, error)
	// List returns all customers behind the id after, ordered by id, at most limit.
	List(ctx context.Context, after domain.CustomerID, limit int) ([]domain.Customer, error)
	// Update applies the patch atomically and returns the result; it holds for every Submit and
	// Apply that commits afterwards. CodeNotFound, or CodeInvalidInput when the result would not be
	// valid, or CodeInvalidState while the customer is being deleted.
	Update(
		ctx context.Context, id domain.CustomerID, p domain.CustomerPatch, by domain.Admin,
	) (domain.Customer, error)
	// Delete begins the deletion of a customer, as domain.Customer.Delete says. In one transaction it
	// marks the customer, revokes its keys, and keeps its id from being given out again. Every
	// Submit, and every Create for the customer, that commits afterwards is refused, and nothing of
	// it is placed. ErasureStore removes the rest. CodeNotFound; CodeConflict with the detail
	// "unfinished". Repeated: success, nothing changes but for the event of the action.
	Delete(ctx context.Context, id domain.CustomerID, force bool, by domain.Admin) (domain.Customer, error)
	// GetMany returns these customers; unknown ones are left out.
	GetMany(ctx context.Context, ids []domain.CustomerID) (map[domain.CustomerID]domain.Customer, error)
}

// ConfigStore keeps workload configs. Every method is limited to the customer that it names.
type ConfigStore interface {
	// Create stores a config, its times from the store's clock, and returns it. CodeConflict when
	// the customer has one for the type (or the id exists). CodeNotFound when the customer does not
	// exist. CodeInvalidState while it is being deleted.
	Create(ctx context.Context, c domain.WorkloadConfig) (domain.WorkloadConfig, error)
	// Get returns a config. CodeNotFound when there is none.
	Get(ctx context.Context, customer domain.CustomerID, id domain.ConfigID) (domain.WorkloadConfig, error)
	// ForTypes returns the configs with these keys, leaving out those that do not exist.
	ForTypes(ctx context.Context, keys []domain.ConfigKey) (map[domain.ConfigKey]domain.WorkloadConfig, error)
	// List returns the customer's configs behind the type after, ordered by type, at most limit.
	List(ctx context.Context, customer domain.CustomerID, after string, limit int) ([]domain.WorkloadConfig, error)
	// Types returns the types that the customer has configs for, in order, at most limit.
	Types(ctx context.Context, customer domain.CustomerID, limit int) ([]string, error)
	// Update applies the patch atomically and returns the result: of patches at the same time none
	// is lost. CodeNotFound, or CodeInvalidInput when the result would not be valid or the type
	// would change.
	Update(
		ctx context.Context, customer domain.CustomerID, id domain.ConfigID, p domain.ConfigPatch,
	) (domain.WorkloadConfig, error)
	// Delete removes a config. CodeConflict while a workload submitted under it is not final.
	// CodeNotFound.
	Delete(ctx context.Context, customer domain.CustomerID, id domain.ConfigID) error
}

// FoundKey is a key and for how long it may be used by the store's clock: 0 when it may not,
// domain.KeyForever when it never expires.
type FoundKey struct {
	domain.APIKey
	Usable time.Duration
}

// KeyStore keeps API keys, digests only. Operator keys belong to the empty customer. What a method
// changes is recorded in the same transaction as an action of by; see AdminAuditStore.
type KeyStore interface {
	// Create stores a key, CreatedAt from the store's clock, and returns it. CodeConflict when id
	// or prefix exists; CodeNotFound when the customer does not exist; CodeInvalidInput naming
	// expires_at when that is set and not in the future by the store's clock; CodeInvalidState while
	// the customer is being deleted.
	Create(ctx context.Context, k domain.APIKey, by domain.Admin) (domain.APIKey, error)
	// ByPrefix returns the keys with those lookup prefixes in one read, in any order, revoked and
	// expired ones included. A prefix that no key has is left out.
	ByPrefix(ctx context.Context, prefixes ...string) ([]FoundKey, error)
	// List returns the keys of a customer, or the operator keys if it is empty; oldest first,
	// revoked ones included.
	List(ctx context.Context, customer domain.CustomerID) ([]domain.APIKey, error)
	// Revoke ends a key of that customer, or an operator key, at the store's time. Revoking again
	// is a success. CodeNotFound.
	Revoke(ctx context.Context, customer domain.CustomerID, id domain.KeyID, by domain.Admin) error
}
