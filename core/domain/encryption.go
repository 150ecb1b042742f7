package domain

import "errors"

// EncryptionKeyID names a key of the key service of a storage for large values. It is not the key
// itself. Empty: there is none. It is shown to administrators and to its customer, and never logged.
type EncryptionKeyID string

// MaxEncryptionKeyID is the length of the longest id of a key, in bytes.
const MaxEncryptionKeyID = 2048

// Validate accepts the empty id, and up to MaxEncryptionKeyID printable ASCII characters. field names
// it in the error. The error does not repeat the id.
func (k EncryptionKeyID) Validate(field string) error {
	if len(k) > MaxEncryptionKeyID {
		return Invalid(field, "must have at most %d characters", MaxEncryptionKeyID)
	}
	for i := range len(k) {
		if k[i] <= ' ' || k[i] > '~' {
			return Invalid(field, "must have printable ASCII characters only, and no spaces")
		}
	}
	return nil
}

// encryptionReason is the detail "reason" of ErrNotEncrypted.
const encryptionReason = "encryption_key"

// ErrNotEncrypted returns the error of a value that is not stored because the storage does not encrypt
// it with the key that it needs. why must not name the key. It is CodeUnavailable: once the key can be
// used, or another one is set, the same call succeeds.
func ErrNotEncrypted(why string, cause error) error {
	e := Unavailable(0, "the value is not stored, because it cannot be encrypted: %s", why).
		With("reason", encryptionReason)
	e.Cause = cause
	return e
}

// IsNotEncrypted reports whether err is ErrNotEncrypted, also as a client has received it.
func IsNotEncrypted(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == CodeUnavailable && e.Details["reason"] == encryptionReason
}
