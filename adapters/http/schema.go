package http

import (
	"errors"
	"fmt"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/niyanta/niyanta/core/domain"
)

// bodySchema describes the JSON body of an operation, as the OpenAPI file states it.
type bodySchema struct {
	schema   *openapi3.Schema // nil: any
	required bool
	each     *each // items of the body that are checked one by one; nil: none
}

// bodyOf returns the JSON body of an operation, or nil if it takes none.
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
	b.each, b.schema, err = eachOf(op, b.schema)
	return b, err
}

// decode reads a body and checks it against the schema. In a body with x-each, items that are
// refused are nil in the value, and refused holds an error for each, by index; items is how many
// items there are.
func (b *bodySchema) decode(text []byte) (value any, items int, refused map[int]error, err error) {
	if b.each != nil {
		return b.decodeEach(text)
	}
	if value, err = readJSON(text, b.schema); err != nil {
		return nil, 0, nil, err
	}
	return value, 0, nil, check(b.schema, value)
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

// isOpaque reports whether the schema describes an object that is passed through as text.
func isOpaque(schema *openapi3.Schema) bool {
	return schema != nil && schema.Extensions["x-opaque"] == true
}

// passThrough removes the type from the schemas of opaque objects. The reader has checked that they
// are objects, and their values are strings.
func passThrough(spec *openapi3.T) {
	for _, ref := range spec.Components.Schemas {
		if isOpaque(ref.Value) {
			ref.Value.Type, ref.Value.AdditionalProperties = nil, openapi3.BoolSchema{}
		}
	}
}

// memberSchema returns the schema of a member of an object, or nil if none is stated.
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

// itemSchema returns the schema of the items of an array, or nil if none is stated.
func itemSchema(array *openapi3.Schema) *openapi3.Schema {
	if array == nil || array.Items == nil {
		return nil
	}
	return array.Items.Value
}

// timeFormat checks times as the core reads them: RFC 3339, in the years that stores keep.
var timeFormat = openapi3.WithStringFormatValidator("date-time", openapi3.NewCallbackValidator(func(s string) error {
	_, err := domain.ParseTime("time", s)
	return err
}))

// maxReasonText bounds what an error repeats of the validator's words, in bytes: they may hold values.
const maxReasonText = 1000

// schemaViolation turns an error of the validator into INVALID_INPUT that names the field. root
// names the value that was checked.
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
	return domain.Invalid(field, "%s", domain.CutText(reason, maxReasonText))
}

// renamed returns INVALID_INPUT with another name of the field. Other errors stay as they are.
func renamed(err error, name func(field string) string) error {
	var invalid *domain.Error
	if !errors.As(err, &invalid) || invalid.Code != domain.CodeInvalidInput {
		return err
	}
	field, _ := invalid.Details["field"].(string)
	return domain.Invalid(name(field), "%s", strings.TrimPrefix(invalid.Message, field+": "))
}

// unknownField returns the name of the property that the schema does not know. reason is the
// validator's text, such as: property "x" is unsupported.
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
