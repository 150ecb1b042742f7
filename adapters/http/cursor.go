package http

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"

	"github.com/niyanta/niyanta/core/domain"
)

// defaultPage is the number of items on a page when the request does not say.
const defaultPage = 50

// cursors encodes and signs positions in lists. A cursor is bound to the customer and the filter it
// was made for. One from another customer or another filter, or one that was changed, is refused.
type cursors struct{ key []byte }

func (c cursors) mac(payload []byte, bound string) []byte {
	h := hmac.New(sha256.New, c.key)
	_, _ = h.Write(payload) // a hash never fails to write
	_, _ = h.Write([]byte("\x00" + bound))
	return h.Sum(nil)[:16]
}

// encode returns the cursor for position v.
func (c cursors) encode(v any, bound string) (string, error) {
	payload, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(c.mac(payload, bound), payload...)), nil
}

// decode reads a position. It returns CodeInvalidInput naming cursor.
func (c cursors) decode(s string, v any, bound string) error {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(raw) < 16 || !hmac.Equal(raw[:16], c.mac(raw[16:], bound)) || json.Unmarshal(raw[16:], v) != nil {
		return domain.Invalid("cursor", "is not a cursor of this list with these filters")
	}
	return nil
}
