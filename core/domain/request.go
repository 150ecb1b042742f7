package domain

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
)

// RequestID identifies an API request by its idempotency key and by what it asks for. Requests with
// the same key that ask for something else are other requests.
func RequestID(key string, asked ...string) string {
	h := sha256.New()
	for _, part := range append([]string{key}, asked...) {
		_, _ = h.Write([]byte(strconv.Itoa(len(part)) + ":" + part)) // a hash never fails to write
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}
