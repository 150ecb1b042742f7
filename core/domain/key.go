package domain

import (
	"strings"
	"time"
)

// Role is what a caller may do.
type Role string

// The roles.
const (
	// RoleCustomer submits and steers its own workloads.
	RoleCustomer Role = "customer"
	// RoleViewer reads its customer's workloads, with payloads masked.
	RoleViewer Role = "viewer"
	// RoleAdmin onboards customers, makes keys, steers workers.
	RoleAdmin Role = "admin"
	// RoleWorker speaks the worker protocol.
	RoleWorker Role = "worker"
)

// Principal is who a request comes from. CustomerID is empty for admins and workers.
type Principal struct {
	Role       Role
	CustomerID CustomerID
	KeyID      KeyID
}

// APIKey is a stored key: only its digest, never the key.
type APIKey struct {
	ID         KeyID
	CustomerID CustomerID
	Role       Role
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

// UsableFor returns for how long the key may authenticate from that time on: 0 when it is revoked
// or has expired.
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
	// keyLookupLength is how much of the random part belongs to the lookup prefix: enough to tell
	// the keys of one customer apart, leaving 120 bits secret.
	keyLookupLength = 8
)

// FormatKey builds a customer's key from 20 random bytes.
func FormatKey(customer CustomerID, random [20]byte) string {
	return keyScheme + string(customer) + "_" + idEncoding.EncodeToString(random[:])
}

// KeyPrefix returns the lookup prefix of a key and the customer it claims; ok is false when s does
// not have the form of a key: "nyt_", a customer id, "_" and 32 letters and digits. Nothing else is
// looked up, so that no store is asked for bytes that it cannot compare.
func KeyPrefix(s string) (prefix string, customer CustomerID, ok bool) {
	body, found := strings.CutPrefix(s, keyScheme)
	if !found || len(s) > 256 {
		return "", "", false
	}
	cut := strings.LastIndexByte(body, '_')
	if cut < 0 || len(body)-cut-1 != keySecretLength || !only(body[cut+1:], isAlnum) {
		return "", "", false
	}
	customer = CustomerID(body[:cut])
	if ValidateCustomerID(customer) != nil {
		return "", "", false
	}
	return s[:len(keyScheme)+cut+1+keyLookupLength], customer, true
}
