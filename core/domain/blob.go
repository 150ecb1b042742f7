package domain

import (
	"strings"
	"time"
)

// Blob describes a value in a storage for large values.
type Blob struct {
	Key  string
	Size int64
	// ModifiedAt is when the value was stored, by the storage's clock.
	ModifiedAt time.Time
}

// BlobID identifies the value of one upload. It is never used again.
type BlobID string

// Key returns the key of the value.
func (id BlobID) Key() string { return "checkpoints/" + string(id) }

// Upload is a value of a customer in a storage for large values, or one that is about to be written.
type Upload struct {
	ID         BlobID
	CustomerID CustomerID
	WorkloadID WorkloadID
	BeganAt    time.Time
}

// NoUpload returns the error of a reference to an upload that is not recorded.
func NoUpload() *Error {
	return NewError(CodeConflict, "the upload of this value is not known any more: it has to be sent again")
}

// The times of uploads.
const (
	// UploadTimeout is how long a writer may take. It gives up then.
	UploadTimeout = 12 * time.Hour
	// UploadAge is the age at which an upload that nothing refers to is garbage even if it was never
	// committed. It is much longer than UploadTimeout.
	UploadAge = 24 * time.Hour
	// GarbageAgain is the time after which garbage is deleted a second time: a process that was
	// suspended may have written it meanwhile.
	GarbageAgain = 24 * time.Hour
)

// MaxBlobKey is the longest key of a blob, in bytes.
const MaxBlobKey = 512

// ValidateBlobKey accepts a key of a blob: names that "/" separates, at most MaxBlobKey bytes in all.
// A name has 1 to 200 characters of letters, digits, ".", "_", "=" and "-", and does not begin with
// ".". So no key leaves the folder that a storage keeps its files in.
func ValidateBlobKey(key string) error {
	if len(key) > MaxBlobKey {
		return Invalid("key", "must have at most %d bytes", MaxBlobKey)
	}
	for name := range strings.SplitSeq(key, "/") {
		if name == "" || len(name) > 200 || name[0] == '.' || !only(name, isAlnum, '.', '_', '=', '-') {
			return Invalid("key", `must be names of 1 to 200 letters, digits, ".", "_", "=" and "-" that do not `+
				`begin with "." and that "/" separates, not %q`, key)
		}
	}
	return nil
}

// ValidateBlobPrefix accepts the beginning of a key of a blob, the empty one included.
func ValidateBlobPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	if whole, ok := strings.CutSuffix(prefix, "/"); ok {
		prefix = whole
	}
	return ValidateBlobKey(prefix)
}
