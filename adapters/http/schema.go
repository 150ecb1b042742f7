package http

import (
	"errors"
	"fmt"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/niyanta/niyanta/core/domain"
)

// bodySchema is what the OpenAPI file says of an operation's JSON body.
type bodySchema struct {
	schema   *openapi3.Schema // nil: any
	required bool
	each     *each // items of the body that are checked one by one; nil: none
}

// bodyOf reads the body of an operation; nil if it takes no JSON.
func bodyOf(op *openapi3.Operation) (*bodySchema, error) {
	if op.RequestBody == nil {
		return nil, nil
	}
	media := op.RequestBody.Value.Content.Get(mediaJSON)
	if media == nil || media.Schema == nil {
		return nil, nil
	}
	b := &bodySchema{schema: media.Schema.Value, required: op.RequestBody.Value.Required}
	var err error
	b.each, err = eachOf(op, b.schema)
	return b, err
}

// decode reads a body, checks it against the schema and returns its value. An item that is refused on its own is nil there, and refused
// says why.
func (b *bodySchema) decode(text []byte) (value any, refused map[int]error, err error) {
	if b.each != nil {
		return b.decodeEach(text)
	}
	if value, err = readJSON(text, b.schema); err != nil {
		return nil, nil, err
	}
	return value, nil, check(b.schema, value)
}

// check checks a value against a schema.
func check(schema *openapi3.Schema, value any) error {
	if schema == nil {
		return nil
	}
	if err := schema.VisitJSON(value, openapi3.VisitAsRequest(), timeFormat); err != nil {
		return schemaViolation("body", err)
	}
	return nil
}

// isOpaque reports whether the schema is that of an object which is passed through as text.
func isOpaque(schema *openapi3.Schema) bool {
	return schema != nil && schema.Extensions["x-opaque"] == true
}

// passThrough has validation accept the text of opaque objects: that they are objects is known when they have been read.
func passThrough(spec *openapi3.T) {
	for _, ref := range spec.Components.Schemas {
		if isOpaque(ref.Value) {
			ref.Value.Type, ref.Value.AdditionalProperties = nil, openapi3.BoolSchema{}
		}
	}
}

// memberSchema is the schema of a member of an object; nil: none is stated.
func memberSchema(object *openapi3.Schema, name string) *openapi3.Schema {
	if object == nil {
		return nil
	}
	if ref := object.Properties[name]; ref != nil {
		return ref.Value
	}
	if ref := object.AdditionalProperties.Schema; ref != nil {
		return ref.Value
	}
	return nil
}

// itemSchema is the schema of the items of an array; nil: none is stated.
func itemSchema(array *openapi3.Schema) *openapi3.Schema {
	if array == nil || array.Items == nil {
		return nil
	}
	return array.Items.Value
}

// timeFormat has every time of a request read as the core reads it: RFC 3339, within the years that are kept.
var timeFormat = openapi3.WithStringFormatValidator("date-time", openapi3.NewCallbackValidator(func(s string) error {
	_, err := domain.ParseTime("time", s)
	return err
}))

// schemaViolation turns a violation of a schema into INVALID_INPUT that names the field. root names the value that was checked.
func schemaViolation(root string, err error) error {
	var violation *openapi3.SchemaError
	if !errors.As(err, &violation) {
		return domain.Invalid(root, "is not what this endpoint takes")
	}
	field, reason := root, violation.Reason
	path := strings.Join(violation.JSONPointer(), ".")
	switch {
	case path != "" && root == "body":
		field = path
	case path != "":
		field += "." + path
	}
	if violation.SchemaField == "format" && violation.Schema != nil && violation.Schema.Format == "date-time" {
		value, _ := violation.Value.(string)
		if _, err := domain.ParseTime(field, value); err != nil {
			return err
		}
	}
	if violation.SchemaField == "properties" || violation.SchemaField == "additionalProperties" {
		field, reason = unknownField(field, violation.Reason)
	}
	return domain.Invalid(field, "%s", reason)
}

// unknownField names the property that the schema does not know ("property \"x\" is unsupported").
func unknownField(at, reason string) (field, why string) {
	_, rest, ok := strings.Cut(reason, `"`)
	name, _, closed := strings.Cut(rest, `"`)
	if !ok || !closed {
		return at, reason
	}
	if at != "body" && !strings.HasSuffix(at, name) {
		name = fmt.Sprintf("%s.%s", at, name)
	}
	return name, "is not a field of this request"
}
