package domain

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// Bounds of a result.
const (
	// MaxResult is the largest result kept, in bytes of compact JSON.
	MaxResult = 1 << 20
	// MaxResultDepth is how deep the objects and arrays of a result may nest.
	MaxResultDepth = 64
)

// EncodedResult is what is kept of a result that cannot be kept as it is. A client finds it in
// place of the result.
type EncodedResult struct {
	// Encoding says how Data is encoded: always "base64".
	Encoding string `json:"encoding"`
	// ContentType is what Data is, as far as it can be told: JSON, text or anything.
	ContentType string `json:"content_type"`
	// Reason says why the result could not be kept as it is.
	Reason Flaw `json:"reason"`
	// Size is the length of the result in bytes. Truncated tells that Data is only its beginning.
	Size      int    `json:"size"`
	Truncated bool   `json:"truncated"`
	Data      string `json:"data"`
}

// Flaw is why a result cannot be kept as it is.
type Flaw string

// The flaws.
const (
	FlawNotJSON       Flaw = "not_json"
	FlawInvalidUTF8   Flaw = "invalid_utf8"
	FlawNUL           Flaw = "nul"
	FlawLoneSurrogate Flaw = "lone_surrogate"
	FlawDuplicateKey  Flaw = "duplicate_key"
	FlawTooDeep       Flaw = "too_deep"
	FlawTooLarge      Flaw = "too_large"
	FlawNotStorable   Flaw = "not_storable"
)

func (f Flaw) known() bool {
	switch f {
	case FlawNotJSON, FlawInvalidUTF8, FlawNUL, FlawLoneSurrogate, FlawDuplicateKey, FlawTooDeep, FlawTooLarge, FlawNotStorable:
		return true
	}
	return false
}

// CleanResult makes a result fit for every store and every reader. It never refuses: a run that
// succeeded has succeeded, whatever it returned. Sound JSON comes back compact, otherwise
// unchanged. What a store or a reader would change or refuse (NUL, lone surrogates, bytes that are
// not UTF-8, a key twice in one object, more than MaxResultDepth levels, what is not JSON) comes
// back as an EncodedResult that holds it exactly; what is larger than MaxResult as one that holds
// its beginning. Null comes back as no result. Cleaning twice changes nothing.
func CleanResult(result JSON) JSON { return cleanResult(result, MaxResult) }

// ShortenResult is CleanResult for a carrier that takes at most limit bytes.
func ShortenResult(result JSON, limit int) JSON {
	return cleanResult(result, min(max(limit, minResult), MaxResult))
}

// DecodeResult returns what an EncodedResult holds; ok is false for a result that is kept as it is.
func DecodeResult(result JSON) (e EncodedResult, data []byte, ok bool) {
	d := json.NewDecoder(strings.NewReader(string(result)))
	d.DisallowUnknownFields()
	if !strings.Contains(string(result), `"encoding"`) || d.Decode(&e) != nil || e.Encoding != "base64" || !e.Reason.known() {
		return EncodedResult{}, nil, false
	}
	data, err := base64.StdEncoding.DecodeString(e.Data)
	return e, data, err == nil && (e.Truncated || len(data) == e.Size)
}

const (
	// encodedResultRoom is what an EncodedResult takes beside its data.
	encodedResultRoom = 256
	// minResult is the smallest limit of a result.
	minResult = 4 << 10
)

func cleanResult(result JSON, limit int) JSON {
	if result == "" {
		return ""
	}
	compact, flaw := scanJSON(string(result))
	switch {
	case flaw == "" && compact == "null":
		return ""
	case flaw == "" && len(compact) <= limit:
		return JSON(compact)
	case flaw == "":
		if e, data, ok := DecodeResult(result); ok { // a carrier may take even less than the one before
			return e.encode(data, limit)
		}
		flaw = FlawTooLarge
	}
	return encodeResult(result, flaw, limit)
}

// encodeResult keeps the bytes of a result, or as many of the first ones as fit.
func encodeResult(result JSON, flaw Flaw, limit int) JSON {
	e := EncodedResult{Encoding: "base64", ContentType: "application/json", Reason: flaw, Size: len(result)}
	switch {
	case !utf8.ValidString(string(result)), strings.IndexByte(string(result), 0) >= 0:
		e.ContentType = "application/octet-stream"
	case flaw == FlawNotJSON:
		e.ContentType = "text/plain; charset=utf-8"
	}
	return e.encode([]byte(result), limit)
}

// encode returns e as JSON of at most limit bytes, with as many of the first bytes of data as fit.
func (e EncodedResult) encode(data []byte, limit int) JSON {
	if room := (limit - encodedResultRoom) / 4 * 3; len(data) > room {
		data, e.Truncated = data[:room], true
	}
	e.Data = base64.StdEncoding.EncodeToString(data)
	raw, err := json.Marshal(e)
	if err != nil {
		return "" // strings and numbers are always encoded
	}
	return JSON(raw)
}

// Plain returns the transition with all that a worker wrote in a form that every store takes: text
// in ASCII, the result encoded. It is for a store that refuses what should be clean; better an
// outcome that is hard to read than none.
func (t Transition) Plain() Transition {
	t.Reason, t.Message = plainText(t.Reason), plainText(t.Message)
	if t.Failure != nil {
		f := Failure{Type: plainText(t.Failure.Type), Message: plainText(t.Failure.Message), Permanent: t.Failure.Permanent}
		t.Failure = &f
	}
	if t.Result != "" {
		t.Result = encodeResult(t.Result, FlawNotStorable, MaxResult)
	}
	lines := make([]LogLine, len(t.Lines))
	for i, l := range t.Lines {
		l.Level, l.Stream, l.Message = plainText(l.Level), plainText(l.Stream), plainText(l.Message)
		lines[i] = l
	}
	t.Lines = lines
	return t
}

// plainText keeps printable ASCII and line breaks.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= ' ' && r <= '~' || r == '\n' {
			return r
		}
		return '?'
	}, s)
}
