package http

import (
	"fmt"
	"maps"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/niyanta/niyanta/core/domain"
)

// each names the array of a body whose items are checked one by one. A bad item gets an error of
// its own and its neighbours are accepted. The OpenAPI file states it as x-each, the name of the
// array.
type each struct {
	array  string
	limit  uint64           // of items
	schema *openapi3.Schema // of an item
}

// eachOf reads x-each of an operation. It also returns the schema of the body without that of the
// items, because items are checked on their own.
func eachOf(op *openapi3.Operation, body *openapi3.Schema) (*each, *openapi3.Schema, error) {
	name, ok := op.Extensions["x-each"].(string)
	if !ok {
		return nil, body, nil
	}
	if body.Properties[name] == nil || body.Properties[name].Value.Items == nil {
		return nil, nil, fmt.Errorf("x-each: the body has no array %q", name)
	}
	array := *body.Properties[name].Value
	if array.MaxItems == nil {
		return nil, nil, fmt.Errorf("x-each: the array %q has no maxItems", name)
	}
	e := &each{name, *array.MaxItems, array.Items.Value}
	array.Items = nil
	without := *body // several operations may share the schema
	without.Properties = maps.Clone(body.Properties)
	without.Properties[name] = array.NewRef()
	return e, &without, nil
}

// decodeEach reads a body whose items are checked one by one.
func (b *bodySchema) decodeEach(text []byte) (value any, items int, refused map[int]error, err error) {
	r := &jsonReader{in: text, each: b.each, refused: map[int]error{}}
	if value, err = r.value(b.schema); err == nil {
		err = r.end()
	}
	if err == nil {
		err = check(b.schema, value)
	}
	if body, ok := value.(map[string]any); ok {
		array, _ := body[b.each.array].([]any)
		items = len(array)
	}
	return value, items, r.refused, err
}

// startsItems reports whether the array that begins here holds the items that are checked one by
// one.
func (r *jsonReader) startsItems() bool {
	return r.each != nil && len(r.path) == 1 && string(r.path[0].name) == r.each.array
}

// items reads the array of items. It returns an error only if it cannot tell where an item ends.
func (r *jsonReader) items() (any, error) {
	r.at++
	items := []any{}
	if r.peek() == ']' {
		r.at++
		return items, nil
	}
	for {
		if c := r.peek(); c == ',' || c == ']' {
			return nil, r.malformed()
		}
		if uint64(len(items)) == r.each.limit { // or a body of tiny items becomes a heap of errors
			return nil, domain.Invalid(r.each.array, "must be at most %d", r.each.limit)
		}
		item, err := r.item()
		if err != nil {
			begin := r.at
			if !r.skipItem() {
				return nil, r.malformed()
			}
			if r.at-begin > maxBody {
				err = domain.NewError(domain.CodeTooLarge, "the item is larger than %d bytes", maxBody).With("max_bytes", maxBody)
			}
			r.refused[len(items)] = err
		}
		items = append(items, item)
		r.at++
		if r.in[r.at-1] == ']' {
			return items, nil
		}
	}
}

// item reads one item as a body of its own, with the bound of one: what lies behind it is not read.
// It moves to the byte behind the item, or stays at its beginning if the item is refused.
func (r *jsonReader) item() (any, error) {
	one := &jsonReader{in: r.in[:min(r.at+maxBody+1, len(r.in))], at: r.at}
	value, err := one.value(r.each.schema)
	if err != nil {
		return nil, err
	}
	if c := one.peek(); c != ',' && c != ']' {
		return nil, one.malformed()
	}
	if err := check(r.each.schema, value); err != nil {
		return nil, err
	}
	r.at = one.at
	return value, nil
}

// skipItem moves to the comma or bracket behind a refused item. It looks at brackets and strings
// only, since the item may not be JSON. It reports whether it found the end.
func (r *jsonReader) skipItem() bool {
	for depth := 0; r.at < len(r.in); r.at++ {
		switch r.in[r.at] {
		case '"':
			end := stringEnd(r.in, r.at)
			if end < 0 {
				return false
			}
			r.at = end - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return r.in[r.at] == ']'
			}
			depth--
		case ',':
			if depth == 0 {
				return true
			}
		}
	}
	return false
}

// stringEnd returns the position behind the string that begins at begin, or -1 if the string does
// not end.
func stringEnd(text []byte, begin int) int {
	for i := begin + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}
