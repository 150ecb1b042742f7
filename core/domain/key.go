package domain

import (
	"strings"
	"time"
)

// Role is what a caller may do.
type Role string

// The roles.
const (
	// RoleCustomer submits and controls its own workloads.
	RoleCustomer Role = "customer"
	// RoleViewer reads its customer's workloads, with payloads masked.
	RoleViewer Role = "viewer"
	// RoleAdmin creates customers and keys, and controls workers.
	RoleAdmin Role = "admin"
	// RoleScaler reads what an autoscaler needs.
	RoleScaler Role = "scaler"
	// RoleWorker speaks the worker protocol.
	RoleWorker Role = "worker"
)

// Ids of the keys that the configuration holds, and of what a server sets up by itself. The audit
// names them as it names stored keys.
const (
	KeyAdmin  KeyID = "admin"
	KeyWorker KeyID = "worker"
	KeySystem KeyID = "system"
)

// Principal is the sender of a request. CustomerID is empty for admins, scalers and workers.
type Principal struct {
	Role       Role
	CustomerID CustomerID
	KeyID      KeyID
	KeyName    string
	// KeyPrefix is the lookup prefix of the key; it is empty for a key of the configuration.
	KeyPrefix string
	// WorkerIDs are the ids that a worker's key is for.
	WorkerIDs WorkerPattern
	// TokenExpires is when the token of the principal is not accepted any more. It is zero for a
	// principal with a key.
	TokenExpires time.Time
	// Admin is set while an administrator acts for CustomerID.
	Admin *Admin
}

// Actor returns the principal as the audit trails name it.
func (p Principal) Actor() Actor { return Actor{Kind: ActorUser, ID: string(p.KeyID), Admin: p.Admin} }

// SeesAll reports whether the principal sees all customers at once: an administrator or a scaler,
// unless an administrator acts for one. It is decided by the role: to have no customer is to see
// nothing.
func (p Principal) SeesAll() bool {
	return p.Role == RoleScaler || p.Role == RoleAdmin && p.Admin == nil
}

// APIKey is a stored key: only its digest, never the key.
type APIKey struct {
	ID KeyID
	// CustomerID is empty for an operator key, which belongs to no customer.
	CustomerID CustomerID
	Role       Role
	// Name tells people what the key is for. Every operator key has one.
	Name string
	// WorkerIDs are the ids that a worker's key is for. Keys of other roles have none.
	WorkerIDs WorkerPattern
	// Prefix is the readable start of the key by which it is looked up.
	Prefix string
	// Digest is the SHA-256 of the whole key.
	Digest    [32]byte
	CreatedAt time.Time
	ExpiresAt time.Time // zero: never
	RevokedAt time.Time // zero: not revoked
}

// KeyForever is how long a key may be used that neither expires nor was revoked.
const KeyForever = time.Duration(1<<63 - 1)

// UsableFor returns how long the key may be used from now on: 0 if it is revoked or has expired.
func (k APIKey) UsableFor(now time.Time) time.Duration {
	switch {
	case !k.RevokedAt.IsZero():
		return 0
	case k.ExpiresAt.IsZero():
		return KeyForever
	}
	return max(k.ExpiresAt.Sub(now), 0)
}

const (
	keyScheme       = "nyt_"
	keySecretLength = 32
	// keyLookupLength is the length of the random part that belongs to the lookup prefix. It
	// distinguishes the keys of one customer and leaves 120 bits secret.
	keyLookupLength = 8
)

// Validate checks what a client may set.
func (k APIKey) Validate() error {
	if !k.ExpiresAt.IsZero() {
		if err := ValidateTime("expires_at", k.ExpiresAt); err != nil {
			return err
		}
	}
	if k.CustomerID != "" {
		if k.Role != RoleCustomer && k.Role != RoleViewer {
			return Invalid("role", "must be customer or viewer")
		}
		return validateText("name", k.Name, 0, 200)
	}
	if !k.Role.operator() {
		return Invalid("role", "must be admin, scaler or worker")
	}
	if err := validateText("name", k.Name, 1, 200); err != nil {
		return err
	}
	switch {
	case k.Role == RoleWorker:
		return k.WorkerIDs.Validate()
	case k.WorkerIDs != "":
		return Invalid("worker_ids", "is for keys of role worker only")
	}
	return nil
}

// operator reports whether keys of the role belong to no customer.
func (r Role) operator() bool { return r == RoleAdmin || r == RoleScaler || r == RoleWorker }

// Format builds the secret of a key from 20 random bytes. It names the customer, or the role of an
// operator key. A customer's id begins with PrefixCustomer, so that no role is taken for one.
func (k APIKey) Format(random [20]byte) string {
	owner := string(k.CustomerID)
	if owner == "" {
		owner = string(k.Role)
	}
	return keyScheme + owner + "_" + idEncoding.EncodeToString(random[:])
}

// KeyPrefix returns the lookup prefix of a key and the customer it claims, which is empty for an
// operator key. ok is false when s does not have the form of a key: "nyt_", a customer id or a
// role, "_" and 32 letters and digits. Nothing else is looked up, so that no store is asked for
// bytes that it cannot compare.
func KeyPrefix(s string) (prefix string, customer CustomerID, ok bool) {
	body, found := strings.CutPrefix(s, keyScheme)
	if !found || len(s) > 256 {
		return "", "", false
	}
	cut := strings.LastIndexByte(body, '_')
	if cut < 0 || len(body)-cut-1 != keySecretLength || !only(body[cut+1:], isAlnum) {
		return "", "", false
	}
	if owner := body[:cut]; !Role(owner).operator() {
		customer = CustomerID(owner)
		if ValidateCustomerID(customer) != nil {
			return "", "", false
		}
	}
	return s[:len(keyScheme)+cut+1+keyLookupLength], customer, true
}

// WorkerPattern says which worker ids a key is for: an id, in which each "*" stands for any number
// of characters.
type WorkerPattern string

// AnyWorker matches every worker id.
const AnyWorker WorkerPattern = "*"

// Validate accepts 1 to 128 characters of worker ids and "*".
func (p WorkerPattern) Validate() error {
	if p == "" || len(p) > 128 || !only(string(p), isAlnum, '-', '_', '*') {
		return Invalid("worker_ids", `must be 1 to 128 of letters, digits, "-", "_" and "*"`)
	}
	return nil
}

// Matches reports whether a key with the pattern is for that worker. An empty pattern matches none.
func (p WorkerPattern) Matches(id WorkerID) bool {
	parts := strings.Split(string(p), "*")
	rest, found := strings.CutPrefix(string(id), parts[0])
	if !found || len(parts) == 1 {
		return found && p != "" && rest == ""
	}
	last := len(parts) - 1
	for _, part := range parts[1:last] {
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest = rest[at+len(part):]
	}
	return strings.HasSuffix(rest, parts[last])
}
