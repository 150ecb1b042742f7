package http

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/niyanta/niyanta/core/domain"
)

// jsonReader reads one JSON text in one pass. It refuses what no store and no decoder should see:
// too many levels, a key twice in one object, NUL, invalid UTF-8, half of a surrogate pair. It
// returns the value that is validated and bound to the request's type. Errors name the field, or
// "body" for the value as a whole.
//
// Two values depend on the schema. A number such as 1e3 or 1000.0 is returned as 1000 where the
// schema wants an integer. An object that the schema marks with x-opaque is returned as its text
// without white space.
type jsonReader struct {
	in   []byte
	at   int
	path []step   // one for each object and array that is open
	keys [][]byte // of the objects that are open, the innermost last

	// While an opaque value is read, nothing is built. Its text is compact and what follows from.
	opaque  bool
	compact []byte
	from    int

	// each, if set, has the items of one array read one by one. refused says which of them were
	// refused, and why.
	each    *each
	refused map[int]error
}

// step is the position in one open object or array.
type step struct {
	array bool
	name  []byte
	index int
}

// manyKeys is the number of keys in one object above which they are looked up in a map.
const manyKeys = 16

var errBehindBody = domain.Invalid("body", "must be one JSON value, with nothing behind it")

// readJSON reads a text that holds exactly one JSON value. schema may be nil.
func readJSON(text []byte, schema *openapi3.Schema) (any, error) {
	r := &jsonReader{in: text}
	v, err := r.value(schema)
	if err != nil {
		return nil, err
	}
	return v, r.end()
}

// end returns an error if anything but white space follows the value.
func (r *jsonReader) end() error {
	if r.peek(); r.at < len(r.in) {
		return errBehindBody
	}
	return nil
}

// peek skips white space and returns the next byte, or 0 at the end of the text.
func (r *jsonReader) peek() byte {
	begin := r.at
	for r.at < len(r.in) {
		switch c := r.in[r.at]; c {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			if r.opaque && r.at > begin {
				r.compact = append(r.compact, r.in[r.from:begin]...)
				r.from = r.at
			}
			return c
		}
	}
	return 0
}

// malformed returns the error for text that is no JSON at this place. It looks at this place only:
// each item of a batch may be malformed.
func (r *jsonReader) malformed() error {
	if r.at >= len(r.in) {
		return domain.Invalid("body", "is not well-formed JSON: it ends too early")
	}
	if c, size := utf8.DecodeRune(r.in[r.at:]); c == utf8.RuneError && size == 1 {
		return domain.Invalid("body", "must be valid UTF-8")
	}
	return domain.Invalid("body", "is not well-formed JSON at byte %d", r.at)
}

// fieldPath names the field that is being read.
func (r *jsonReader) fieldPath() string {
	var names []string
	for _, s := range r.path {
		switch {
		case s.array:
			names = append(names, strconv.Itoa(s.index))
		case len(s.name) > 0:
			names = append(names, string(s.name))
		}
	}
	if len(names) == 0 {
		return "body"
	}
	return strings.Join(names, ".")
}

// value reads one value.
func (r *jsonReader) value(schema *openapi3.Schema) (any, error) {
	c := r.peek()
	if isOpaque(schema) && !r.opaque {
		return r.text(c)
	}
	switch {
	case c == '{':
		return r.object(schema)
	case c == '[' && r.startsItems():
		return r.items()
	case c == '[':
		return r.array(schema)
	case c == '"':
		raw, escaped, err := r.str()
		switch {
		case err != nil || r.opaque:
			return nil, err
		case escaped:
			return unescape(raw), nil
		}
		return string(raw), nil
	case c == '-' || c >= '0' && c <= '9':
		return r.number(schema)
	}
	switch rest := r.in[r.at:]; {
	case bytes.HasPrefix(rest, []byte("true")):
		r.at += len("true")
		return true, nil
	case bytes.HasPrefix(rest, []byte("false")):
		r.at += len("false")
		return false, nil
	case bytes.HasPrefix(rest, []byte("null")):
		r.at += len("null")
		return nil, nil
	}
	return nil, r.malformed()
}

// text reads an opaque object, whose first byte is c, and returns its text without white space.
func (r *jsonReader) text(c byte) (any, error) {
	if c != '{' {
		if c == 0 {
			return nil, r.malformed()
		}
		return nil, domain.Invalid(r.fieldPath(), "must be a JSON object")
	}
	r.opaque, r.from, r.compact = true, r.at, r.compact[:0]
	_, err := r.value(nil)
	r.opaque = false
	if err != nil {
		return nil, err
	}
	if len(r.compact) == 0 {
		return string(r.in[r.from:r.at]), nil
	}
	r.compact = append(r.compact, r.in[r.from:r.at]...)
	return string(r.compact), nil
}

// enter opens an object or array.
func (r *jsonReader) enter(array bool) error {
	if len(r.path) >= maxDepth {
		return domain.NewError(domain.CodeTooLarge, "the JSON is deeper than %d levels", maxDepth).With("max_depth", maxDepth)
	}
	r.at++
	r.path = append(r.path, step{array: array})
	return nil
}

func (r *jsonReader) leave() {
	r.at++
	r.path = r.path[:len(r.path)-1]
}

func (r *jsonReader) object(schema *openapi3.Schema) (any, error) {
	if err := r.enter(false); err != nil {
		return nil, err
	}
	var members map[string]any
	if !r.opaque {
		members = map[string]any{}
	}
	first := len(r.keys)
	if r.peek() == '}' {
		r.leave()
		return members, nil
	}
	var seen map[string]struct{}
	for {
		key, err := r.key()
		if err != nil {
			return nil, err
		}
		if seen, err = r.remember(key, first, seen); err != nil {
			return nil, err
		}
		name := ""
		if !r.opaque {
			name = string(key)
		}
		v, err := r.value(memberSchema(schema, name))
		if err != nil {
			return nil, err
		}
		if !r.opaque {
			members[name] = v
		}
		switch r.peek() {
		case ',':
			r.at++
		case '}':
			r.leave()
			r.keys = r.keys[:first]
			return members, nil
		default:
			return nil, r.malformed()
		}
	}
}

// key reads a key and its colon.
func (r *jsonReader) key() ([]byte, error) {
	top := &r.path[len(r.path)-1]
	top.name = nil // an error in the key is the object's
	if r.peek() != '"' {
		return nil, r.malformed()
	}
	key, escaped, err := r.str()
	if err != nil {
		return nil, err
	}
	if escaped {
		key = []byte(unescape(key))
	}
	if r.peek() != ':' {
		return nil, r.malformed()
	}
	r.at++
	top.name = key
	return key, nil
}

// remember returns an error if the object has the key already. The object's keys are r.keys[first:]
// while there are few of them, and seen once there are many. Comparing each key with each other one
// would take minutes for a body full of keys.
func (r *jsonReader) remember(key []byte, first int, seen map[string]struct{}) (map[string]struct{}, error) {
	keys := r.keys[first:]
	twice := false
	switch {
	case seen != nil:
		_, twice = seen[string(key)]
	case len(keys) < manyKeys:
		twice = slices.ContainsFunc(keys, func(k []byte) bool { return bytes.Equal(k, key) })
	default:
		seen = make(map[string]struct{}, 2*manyKeys)
		for _, k := range keys {
			seen[string(k)] = struct{}{}
		}
		_, twice = seen[string(key)]
	}
	if twice {
		return nil, domain.Invalid(r.fieldPath(), "stands twice in one object")
	}
	if seen != nil {
		seen[string(key)] = struct{}{}
	} else {
		r.keys = append(r.keys, key)
	}
	return seen, nil
}

func (r *jsonReader) array(schema *openapi3.Schema) (any, error) {
	if err := r.enter(true); err != nil {
		return nil, err
	}
	items := []any{}
	if r.peek() == ']' {
		r.leave()
		return items, nil
	}
	of := itemSchema(schema)
	for {
		v, err := r.value(of)
		if err != nil {
			return nil, err
		}
		if !r.opaque {
			items = append(items, v)
		}
		switch r.peek() {
		case ',':
			r.at++
			r.path[len(r.path)-1].index++
		case ']':
			r.leave()
			return items, nil
		default:
			return nil, r.malformed()
		}
	}
}

// str reads a string. It returns the bytes between the quotes and whether they contain escapes.
func (r *jsonReader) str() (raw []byte, escaped bool, err error) {
	begin, ascii := r.at+1, true
	for i := begin; i < len(r.in); i++ {
		switch c := r.in[i]; {
		case c == '"':
			raw, r.at = r.in[begin:i], i+1
			return raw, escaped, r.checkText(raw, escaped, ascii)
		case c == '\\':
			n := escapeLen(r.in[i:])
			if n == 0 {
				r.at = i
				return nil, false, r.malformed()
			}
			escaped = true
			i += n - 1
		case c < ' ':
			r.at = i
			return nil, false, r.malformed()
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	r.at = len(r.in)
	return nil, false, r.malformed()
}

func (r *jsonReader) checkText(raw []byte, escaped, ascii bool) error {
	switch {
	case !ascii && !utf8.Valid(raw):
		return domain.Invalid(r.fieldPath(), "must be valid UTF-8")
	case !escaped:
	case bytes.Contains(raw, []byte(`\u0000`)) && strings.IndexByte(unescape(raw), 0) >= 0:
		return domain.Invalid(r.fieldPath(), "must not contain NUL characters")
	case halfPair(raw):
		return domain.Invalid(r.fieldPath(), "must not contain half of a surrogate pair")
	}
	return nil
}

// number reads a number.
func (r *jsonReader) number(schema *openapi3.Schema) (any, error) {
	begin := r.at
	if !r.numberSyntax() {
		return nil, r.malformed()
	}
	if r.opaque {
		return nil, nil
	}
	literal := string(r.in[begin:r.at])
	if schema == nil || !schema.Type.Includes(openapi3.TypeInteger) {
		return json.Number(literal), nil
	}
	text, whole := literal, true
	if strings.ContainsAny(literal, ".eE") {
		text, whole = integerOf(literal)
	}
	if f, err := strconv.ParseFloat(literal, 64); !whole && err == nil && f != math.Trunc(f) {
		return json.Number(literal), nil // validation says that it is no integer
	}
	if _, err := strconv.ParseInt(text, 10, 64); err != nil {
		return nil, domain.Invalid(r.fieldPath(), "must be an integer of at most 64 bits")
	}
	return json.Number(text), nil
}

// numberSyntax moves behind a number. It reports whether there was one.
func (r *jsonReader) numberSyntax() bool {
	r.skip('-')
	if !r.skip('0') && !r.digits() {
		return false
	}
	if r.skip('.') && !r.digits() {
		return false
	}
	if r.skip('e') || r.skip('E') {
		_ = r.skip('+') || r.skip('-')
		return r.digits()
	}
	return true
}

// skip moves behind c if it is the next byte. It reports whether it was.
func (r *jsonReader) skip(c byte) bool {
	if r.at >= len(r.in) || r.in[r.at] != c {
		return false
	}
	r.at++
	return true
}

// digits moves behind a run of digits. It reports whether there was one.
func (r *jsonReader) digits() bool {
	begin := r.at
	for r.at < len(r.in) && r.in[r.at] >= '0' && r.in[r.at] <= '9' {
		r.at++
	}
	return r.at > begin
}
