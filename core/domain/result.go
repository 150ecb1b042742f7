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

// EncodedResult replaces a result that cannot be kept as it is. Clients get it in place of the
// result.
type EncodedResult struct {
	// Encoding says how Data is encoded: always "base64".
	Encoding string `json:"encoding"`
	// ContentType is the type of Data as far as it is known: JSON, text or binary.
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
	case FlawNotJSON, FlawInvalidUTF8, FlawNUL, FlawLoneSurrogate, FlawDuplicateKey, FlawTooDeep,
		FlawTooLarge, FlawNotStorable:
		return true
	}
	return false
}

// CleanResult returns a result in a form that every store keeps and every client reads. It never
// refuses one: a run that succeeded has succeeded, whatever it returned. Sound JSON is compacted.
// A result with a Flaw becomes an EncodedResult that holds its bytes, or, if it is larger than
// MaxResult, its beginning. Null becomes no result. Cleaning twice changes nothing.
func CleanResult(result JSON) JSON { return cleanResult(result, MaxResult) }

// ShortenResult is CleanResult for a carrier that takes at most limit bytes.
func ShortenResult(result JSON, limit int) JSON {
	return cleanResult(result, min(max(limit, minResult), MaxResult))
}

// DecodeResult returns the data of an EncodedResult. ok is false for a result that is kept as it
// is.
func DecodeResult(result JSON) (e EncodedResult, data []byte, ok bool) {
	d := json.NewDecoder(strings.NewReader(string(result)))
	d.DisallowUnknownFields()
	if !strings.Contains(string(result), `"encoding"`) || d.Decode(&e) != nil ||
		e.Encoding != "base64" || !e.Reason.known() {
		return EncodedResult{}, nil, false
	}
	data, err := base64.StdEncoding.DecodeString(e.Data)
	return e, data, err == nil && (e.Truncated || len(data) == e.Size)
}

const (
	// encodedResultRoom bounds the size of an EncodedResult without its data, in bytes.
	encodedResultRoom = 256
	// minResult is the smallest limit of a result, in bytes.
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
		if e, data, ok := DecodeResult(result); ok { // a carrier before this one has shortened it already
			return e.encode(data, limit)
		}
		flaw = FlawTooLarge
	}
	return encodeResult(result, flaw, limit)
}

// encodeResult returns an EncodedResult with the bytes of a result, or with as many as fit.
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

// Plain returns the transition with the text of the worker reduced to ASCII and its result encoded.
// It is used when a store refuses a transition that should be clean: an outcome that is hard to
// read is better than none.
func (t Transition) Plain() Transition {
	t.Reason, t.Message = plainText(t.Reason), plainText(t.Message)
	if t.Failure != nil {
		f := Failure{
			Type: plainText(t.Failure.Type), Message: plainText(t.Failure.Message), Permanent: t.Failure.Permanent,
		}
		t.Failure = &f
	}
	if t.Result != "" {
		t.Result = encodeResult(t.Result, FlawNotStorable, MaxResult)
	}
	lines := make([]LogLine, len(t.Lines))
	for i, l := range t.Lines {
		l.Level, l.Stream, l.Message = plainText(l.Level), plainText(l.Stream), plainText(l.Message)
		if l.Details != "" {
			l.Details = JSON(`{"dropped":"` + string(FlawNotStorable) + `"}`)
		}
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
