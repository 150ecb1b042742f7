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

// Usable reports whether the key may authenticate at that time.
func (k APIKey) Usable(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
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
// not have the form of a key.
func KeyPrefix(s string) (prefix string, customer CustomerID, ok bool) {
	body, found := strings.CutPrefix(s, keyScheme)
	if !found || len(s) > 256 {
		return "", "", false
	}
	cut := strings.LastIndexByte(body, '_')
	if cut < 0 || len(body)-cut-1 != keySecretLength {
		return "", "", false
	}
	return s[:len(keyScheme)+cut+1+keyLookupLength], CustomerID(body[:cut]), true
}
