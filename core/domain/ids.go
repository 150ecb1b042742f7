package domain

import (
	"encoding/base32"
	"strings"
	"unicode/utf8"
)

// Identifiers are opaque to clients: a prefix that names the kind, then a UUIDv7 in 26 characters
// of lower-case base32hex. The encoding keeps the order of the bytes, so ids sort by creation.
type (
	// WorkloadID identifies one submitted unit of work, for example "wl_06b…".
	WorkloadID string
	// CustomerID identifies a tenant. An administrator may choose it ("cust_acme").
	CustomerID string
	// ConfigID identifies a workload config.
	ConfigID string
	// KeyID identifies an API key; it is not secret.
	KeyID string
	// WorkerID identifies a worker across restarts. Workers choose it or have it generated.
	WorkerID string
	// SessionID identifies one life of a worker process.
	SessionID string
)

// RunID identifies one run of a workload: every assignment begins another generation.
type RunID struct {
	WorkloadID WorkloadID
	Generation int64
}

// Prefixes of generated ids.
const (
	PrefixWorkload = "wl_"
	PrefixCustomer = "cust_"
	PrefixConfig   = "wlcfg_"
	PrefixKey      = "key_"
	PrefixWorker   = "wrk_"
	PrefixSession  = "ses_"
)

const idAlphabet = "0123456789abcdefghijklmnopqrstuv"

const idLength = 26

var idEncoding = base32.NewEncoding(idAlphabet).WithPadding(base32.NoPadding)

// EncodeID renders a 16-byte UUID behind a prefix. The result sorts as the bytes do.
func EncodeID(prefix string, uuid [16]byte) string {
	var buf [40]byte
	n := copy(buf[:], prefix)
	idEncoding.Encode(buf[n:n+idLength], uuid[:])
	return string(buf[:n+idLength])
}

// ParseID folds the case of s and reports whether it has the form that EncodeID produces
// with that prefix.
func ParseID(prefix, s string) (string, bool) {
	s = strings.ToLower(s)
	body, ok := strings.CutPrefix(s, prefix)
	if !ok || len(body) != idLength {
		return "", false
	}
	for _, r := range body {
		if !strings.ContainsRune(idAlphabet, r) {
			return "", false
		}
	}
	return s, true
}

// ValidateCustomerID accepts what an administrator may choose as a customer id:
// "cust_" and 1 to 58 characters of a-z, 0-9, '-' and '_'.
func ValidateCustomerID(id CustomerID) error {
	body, ok := strings.CutPrefix(string(id), PrefixCustomer)
	if !ok || body == "" || len(body) > 58 || !only(body, isLowerAlnum, '-', '_') {
		return Invalid("customer_id", `must be %q followed by 1 to 58 of a-z, 0-9, "-" and "_"`, PrefixCustomer)
	}
	return nil
}

// ValidateWorkerID accepts 1 to 128 characters of letters, digits, '-' and '_'. Dots are refused
// because a worker's id is one token of its subjects on the bus.
func ValidateWorkerID(id WorkerID) error {
	if id == "" || len(id) > 128 || !only(string(id), isAlnum, '-', '_') {
		return Invalid("worker_id", `must be 1 to 128 of letters, digits, "-" and "_"`)
	}
	return nil
}

// ValidateSessionID accepts 1 to 64 characters without control characters.
func ValidateSessionID(id SessionID) error { return validateText("session_id", string(id), 1, 64) }

// StorableID reports whether a workload could have this id. A store must not be asked for any other
// id: some stores cannot take them.
func StorableID(id WorkloadID) bool {
	return id != "" && len(id) <= 200 && utf8.ValidString(string(id)) && strings.IndexByte(string(id), 0) < 0
}

func isLowerAlnum(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' }

func isAlnum(r rune) bool { return isLowerAlnum(r) || r >= 'A' && r <= 'Z' }

func only(s string, class func(rune) bool, more ...rune) bool {
	for _, r := range s {
		if !class(r) && !strings.ContainsRune(string(more), r) {
			return false
		}
	}
	return true
}
