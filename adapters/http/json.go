package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/niyanta/niyanta/core/domain"
)

// checkJSON accepts one well-formed JSON value and returns it as the decoders read it: a number such as 1e3 or 1000.0
// stands as 1000 where the schema (nil: none) wants an integer. CodeInvalidInput names the field that is at fault.
func checkJSON(body []byte, schema *openapi3.Schema) ([]byte, error) {
	s := scanner{d: json.NewDecoder(bytes.NewReader(body)), body: body}
	s.d.UseNumber()
	if err := s.value(schema); err != nil {
		return nil, err
	}
	if _, err := s.d.Token(); !errors.Is(err, io.EOF) {
		return nil, domain.Invalid("body", "must be one JSON value, with nothing behind it")
	}
	return s.edited(), nil
}

// scanner reads one JSON value token by token.
type scanner struct {
	d     *json.Decoder
	body  []byte
	open  []level
	edits []edit
}

// level is one open object or array.
type level struct {
	keys    map[string]struct{} // nil for an array
	wantKey bool
	// name and index say which member or item is being read.
	name   string
	index  int
	schema *openapi3.Schema
}

// edit replaces the bytes from begin to end.
type edit struct {
	begin, end int64
	text       string
}

func (s *scanner) value(root *openapi3.Schema) error {
	for {
		begin := s.d.InputOffset()
		tok, err := s.d.Token()
		if err != nil {
			if !utf8.Valid(s.body[min(begin, int64(len(s.body))):]) {
				return domain.Invalid("body", "must be valid UTF-8")
			}
			return domain.Invalid("body", "is not well-formed JSON: %v", err)
		}
		switch t := tok.(type) {
		case json.Delim:
			if t == '}' || t == ']' {
				s.open = s.open[:len(s.open)-1]
				break
			}
			if len(s.open) >= maxDepth {
				return domain.NewError(domain.CodeTooLarge, "the JSON is deeper than %d levels", maxDepth).With("max_depth", maxDepth)
			}
			l := level{schema: s.expected(root)}
			if t == '{' {
				l.keys, l.wantKey = map[string]struct{}{}, true
			}
			s.open = append(s.open, l)
			continue
		case string:
			if s.isKey() {
				if err := s.key(t, begin); err != nil {
					return err
				}
				continue
			}
			if err := s.text(t, begin); err != nil {
				return err
			}
		case json.Number:
			s.number(string(t), s.expected(root))
		}
		if len(s.open) == 0 {
			return nil
		}
		top := &s.open[len(s.open)-1]
		top.wantKey = top.keys != nil
		top.index++
	}
}

func (s *scanner) isKey() bool { return len(s.open) > 0 && s.open[len(s.open)-1].wantKey }

func (s *scanner) key(k string, begin int64) error {
	top := &s.open[len(s.open)-1]
	top.name = ""
	if err := s.text(k, begin); err != nil {
		return err
	}
	if _, twice := top.keys[k]; twice {
		return domain.Invalid(k, "stands twice in one object")
	}
	top.keys[k] = struct{}{}
	top.name, top.wantKey = k, false
	return nil
}

// text checks a string that was read from begin on. The decoder replaces what it cannot decode, so the bytes are looked at.
func (s *scanner) text(v string, begin int64) error {
	raw := s.body[begin:s.d.InputOffset()]
	switch {
	case !utf8.Valid(raw):
		return domain.Invalid(s.path(), "must be valid UTF-8")
	case strings.IndexByte(v, 0) >= 0:
		return domain.Invalid(s.path(), "must not contain NUL characters")
	case halfPair(raw):
		return domain.Invalid(s.path(), "must not contain half of a surrogate pair")
	}
	return nil
}

// halfPair reports whether a JSON string escapes one half of a UTF-16 surrogate pair without the other.
func halfPair(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		u, ok := escaped(raw[i:])
		switch {
		case !ok:
			i++ // an escape of one character
		case u >= 0xd800 && u < 0xdc00:
			low, ok := escaped(raw[i+6:])
			if !ok || low < 0xdc00 || low >= 0xe000 {
				return true
			}
			i += 11
		case u >= 0xdc00 && u < 0xe000:
			return true
		default:
			i += 5
		}
	}
	return false
}

// escaped reads the four hexadecimal digits of an escape at the start of b.
func escaped(b []byte) (uint64, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	u, err := strconv.ParseUint(string(b[2:6]), 16, 32)
	return u, err == nil
}

// path says which field is being read, "body" for the value itself.
func (s *scanner) path() string {
	var names []string
	for i := range s.open {
		switch l := &s.open[i]; {
		case l.keys == nil:
			names = append(names, strconv.Itoa(l.index))
		case l.name != "":
			names = append(names, l.name)
		}
	}
	if len(names) == 0 {
		return "body"
	}
	return strings.Join(names, ".")
}

// expected is the schema of the value that is being read; nil: none is stated.
func (s *scanner) expected(root *openapi3.Schema) *openapi3.Schema {
	if len(s.open) == 0 {
		return root
	}
	top := &s.open[len(s.open)-1]
	if top.schema == nil {
		return nil
	}
	ref := top.schema.Items
	if top.keys != nil {
		if ref = top.schema.Properties[top.name]; ref == nil {
			ref = top.schema.AdditionalProperties.Schema
		}
	}
	if ref == nil {
		return nil
	}
	return ref.Value
}

// number notes how an integer is to be written that has a fraction or an exponent.
func (s *scanner) number(literal string, schema *openapi3.Schema) {
	if schema == nil || !schema.Type.Includes(openapi3.TypeInteger) || !strings.ContainsAny(literal, ".eE") {
		return
	}
	if text, ok := integerOf(literal); ok {
		end := s.d.InputOffset()
		s.edits = append(s.edits, edit{end - int64(len(literal)), end, text})
	}
}

func (s *scanner) edited() []byte {
	if len(s.edits) == 0 {
		return s.body
	}
	out := make([]byte, 0, len(s.body))
	var from int64
	for _, e := range s.edits {
		out = append(append(out, s.body[from:e.begin]...), e.text...)
		from = e.end
	}
	return append(out, s.body[from:]...)
}

// maxDigits bounds an integer that is written with an exponent.
const maxDigits = 18

// integerOf writes a JSON number without fraction and exponent; ok is false when it is no integer, or a huge one.
func integerOf(literal string) (text string, ok bool) {
	rest, negative := strings.CutPrefix(literal, "-")
	mantissa, power, _ := strings.Cut(strings.ToLower(rest), "e")
	exponent := 0
	if power != "" {
		var err error
		if exponent, err = strconv.Atoi(power); err != nil {
			return "", false
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimRight(whole+fraction, "0")
	// The value is 0.digits times ten to the power of point.
	point := len(whole) + exponent
	trimmed := strings.TrimLeft(digits, "0")
	switch {
	case trimmed == "":
		return "0", true
	case point < len(digits) || point-(len(digits)-len(trimmed)) > maxDigits:
		return "", false
	}
	text = trimmed + strings.Repeat("0", point-len(digits))
	if negative {
		text = "-" + text
	}
	return text, true
}
