package workloads

import (
	"encoding/base64"
	"encoding/json"
	"unicode/utf8"

	"github.com/niyanta/niyanta/core/domain"
)

// What programs and endpoints return is kept exactly: JSON as JSON, and text as a string. What a
// store or a reader would change or refuse becomes a domain.EncodedResult. None of it makes a
// successful run fail.

// contentTypeBytes is the content type of what is neither JSON nor text.
const contentTypeBytes = "application/octet-stream"

// keepJSON returns a JSON text that fits in limit and can be part of a stored result, or else its
// bytes in encoded form.
func keepJSON(b []byte, contentType string, limit int) json.RawMessage {
	// It becomes part of an object, one level deeper.
	if e, _, flawed := domain.DecodeResult(domain.CleanResult(domain.JSON(`[` + string(b) + `]`))); flawed {
		return encode(b, contentType, e.Reason, limit)
	}
	if len(b) > limit {
		return encode(b, contentType, domain.FlawTooLarge, limit)
	}
	return b
}

// keepText returns text as a JSON string, or else its bytes in encoded form.
func keepText(b []byte, contentType string) json.RawMessage {
	whole := base64.StdEncoding.EncodedLen(len(b))
	switch {
	case !utf8.Valid(b):
		return encode(b, contentType, domain.FlawInvalidUTF8, whole)
	case containsNUL(b):
		return encode(b, contentType, domain.FlawNUL, whole)
	}
	quoted, err := json.Marshal(string(b))
	if err != nil || len(quoted) > 2*len(b)+2 { // escapes take up to six times the room
		return encode(b, contentType, domain.FlawTooLarge, whole)
	}
	return quoted
}

func containsNUL(b []byte) bool {
	for _, c := range b {
		if c == 0 {
			return true
		}
	}
	return false
}

// encode returns the first bytes of b in base64, as many as fit in limit.
func encode(b []byte, contentType string, flaw domain.Flaw, limit int) json.RawMessage {
	e := domain.EncodedResult{Encoding: "base64", ContentType: contentType, Reason: flaw, Size: len(b)}
	if room := limit / 4 * 3; len(b) > room {
		b, e.Truncated = b[:room], true
	}
	e.Data = base64.StdEncoding.EncodeToString(b)
	out, err := json.Marshal(e)
	if err != nil {
		return nil // strings and numbers are always encoded
	}
	return out
}

// wholeRunes removes the partial characters that cutting left at the beginning or the end of a
// text. It leaves bytes that are not UTF-8 alone.
func wholeRunes(b []byte, cutFront, cutBack bool) []byte {
	whole := b
	for n := 0; cutFront && n < utf8.UTFMax-1 && len(whole) > 0 && !utf8.RuneStart(whole[0]); n++ {
		whole = whole[1:]
	}
	if cutBack {
		for n := 1; n <= utf8.UTFMax && n <= len(whole); n++ {
			if last := whole[len(whole)-n:]; utf8.RuneStart(last[0]) {
				if !utf8.FullRune(last) {
					whole = whole[:len(whole)-n]
				}
				break
			}
		}
	}
	if !utf8.Valid(whole) {
		return b
	}
	return whole
}
