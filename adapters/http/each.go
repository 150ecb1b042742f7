package http

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/niyanta/niyanta/core/domain"
)

// each says that the items of one array of a body are checked one by one: what is wrong with an item is its own answer,
// not its neighbours'. The OpenAPI file states it as x-each, the name of the array.
type each struct {
	array  string
	schema *openapi3.Schema // of an item
}

// eachOf reads x-each of an operation, and takes the schema of the items out of what bodies as a whole are checked against.
func eachOf(op *openapi3.Operation) (*each, error) {
	name, ok := op.Extensions["x-each"].(string)
	if !ok {
		return nil, nil
	}
	body := jsonSchema(op)
	if body == nil || body.Properties[name] == nil || body.Properties[name].Value.Items == nil {
		return nil, fmt.Errorf("x-each: the body has no array %q", name)
	}
	array := body.Properties[name].Value
	e := &each{name, array.Items.Value}
	array.Items = nil
	return e, nil
}

// jsonSchema is the schema of an operation's JSON body; nil: it takes none.
func jsonSchema(op *openapi3.Operation) *openapi3.Schema {
	if op == nil || op.RequestBody == nil {
		return nil
	}
	media := op.RequestBody.Value.Content.Get("application/json")
	if media == nil || media.Schema == nil {
		return nil
	}
	return media.Schema.Value
}

// accept checks the text of a JSON body and returns what is decoded. An item that is refused on its own is decoded as
// null; refused says why.
func (s *scope) accept(body []byte) ([]byte, error) {
	var schema *openapi3.Schema
	if s.op.route != nil {
		schema = jsonSchema(s.op.route.Operation)
	}
	e := s.op.each
	if e == nil {
		return checkJSON(body, schema)
	}
	members, err := split(body, '{')
	if err != nil {
		return nil, err
	}
	var outline, out bytes.Buffer // what is checked as a whole, and what is decoded
	s.refused = map[int]error{}
	for i, m := range members {
		key, value, _ := bytes.Cut(m, []byte{':'})
		var name string
		if json.Unmarshal(key, &name) != nil || name != e.array || !bytes.HasPrefix(bytes.TrimSpace(value), []byte{'['}) {
			both(&outline, &out, i, m, m)
			continue
		}
		items, err := split(value, '[')
		if err != nil {
			return nil, err
		}
		var nulls, list bytes.Buffer
		for n, item := range items {
			item, err := e.check(item)
			if err != nil {
				s.refused[n], item = err, []byte("null")
			}
			both(&nulls, &list, n, []byte("null"), item)
		}
		both(&outline, &out, i, fmt.Appendf(nil, "%s:[%s]", key, nulls.Bytes()), fmt.Appendf(nil, "%s:[%s]", key, list.Bytes()))
	}
	if _, err := checkJSON(fmt.Appendf(nil, "{%s}", outline.Bytes()), schema); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, "{%s}", out.Bytes()), nil
}

// both appends an element to two lists.
func both(a, b *bytes.Buffer, n int, x, y []byte) {
	if n > 0 {
		a.WriteByte(',')
		b.WriteByte(',')
	}
	a.Write(x)
	b.Write(y)
}

// check checks one item as a body of its own.
func (e *each) check(item []byte) ([]byte, error) {
	item, err := checkJSON(item, e.schema)
	if err != nil {
		return nil, err
	}
	var value any
	if err := json.Unmarshal(item, &value); err != nil {
		return nil, domain.Invalid("body", "is not well-formed JSON")
	}
	if err := e.schema.VisitJSON(value, openapi3.VisitAsRequest(), timeFormat); err != nil {
		return nil, explain(err)
	}
	return item, nil
}

// split returns the elements of a JSON object (kind '{': each a key and a value) or array ('['), as they are written.
// It looks only at where they end, however deep they are; CodeInvalidInput when that cannot be told.
func split(text []byte, kind byte) ([][]byte, error) {
	text = bytes.TrimSpace(text)
	malformed := domain.Invalid("body", "is not what this endpoint takes")
	if len(text) == 0 || text[0] != kind {
		return nil, malformed
	}
	var parts [][]byte
	var open []byte
	begin := 1
	element := func(end int) bool {
		parts, begin = append(parts, text[begin:end]), end+1
		return len(bytes.TrimSpace(parts[len(parts)-1])) > 0
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		case '{', '[':
			open = append(open, c+2) // both close two places behind where they open
		case '}', ']':
			if len(open) == 0 || open[len(open)-1] != c {
				return nil, malformed
			}
			if open = open[:len(open)-1]; len(open) > 0 {
				continue
			}
			if i != len(text)-1 {
				return nil, domain.Invalid("body", "must be one JSON value, with nothing behind it")
			}
			switch {
			case element(i):
				return parts, nil
			case len(parts) == 1:
				return nil, nil
			}
			return nil, malformed
		case ',':
			if len(open) == 1 && !element(i) {
				return nil, malformed
			}
		}
	}
	return nil, domain.Invalid("body", "is not well-formed JSON: unexpected end")
}
