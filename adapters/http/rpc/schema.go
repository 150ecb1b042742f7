package rpc

import (
	"fmt"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	niyantav1 "github.com/niyanta/niyanta/api/niyanta/v1"
)

// properties returns the properties of a schema, those of its parts included.
func properties(s *openapi3.Schema) map[string]*openapi3.Schema {
	all := map[string]*openapi3.Schema{}
	for _, part := range s.AllOf {
		for name, p := range properties(part.Value) {
			all[name] = p
		}
	}
	for name, p := range s.Properties {
		all[name] = p.Value
	}
	return all
}

func isRequired(s *openapi3.Schema, name string) bool {
	return slices.Contains(s.Required, name) || slices.ContainsFunc(s.AllOf, func(part *openapi3.SchemaRef) bool {
		return isRequired(part.Value, name)
	})
}

// sameFields returns an error unless the fields are the properties of the schema, with types that
// hold their values.
func sameFields(fields []protoreflect.FieldDescriptor, schema *openapi3.Schema) error {
	left := properties(schema)
	for _, fd := range fields {
		s := left[string(fd.Name())]
		if s == nil {
			return fmt.Errorf("the schema has no %s", fd.Name())
		}
		if err := fits(fd, s); err != nil {
			return err
		}
		delete(left, string(fd.Name()))
	}
	for name := range left {
		return fmt.Errorf("has no field %s: add it to the .proto file", name)
	}
	return nil
}

// holdsJSON reports whether the field holds JSON text.
func holdsJSON(fd protoreflect.FieldDescriptor) bool {
	json, _ := proto.GetExtension(fd.Options(), niyantav1.E_Json).(bool)
	return json
}

// fits returns an error if the field cannot hold the values of a schema.
func fits(fd protoreflect.FieldDescriptor, s *openapi3.Schema) error {
	switch {
	case fd.IsMap():
		if s.AdditionalProperties.Schema == nil {
			return fmt.Errorf("%s is no map in the schema", fd.Name())
		}
		return fitsOne(fd.MapValue(), s.AdditionalProperties.Schema.Value, fd.Name())
	case fd.IsList():
		if s.Items == nil {
			return fmt.Errorf("%s is no list in the schema", fd.Name())
		}
		return fitsOne(fd, s.Items.Value, fd.Name())
	}
	return fitsOne(fd, s, fd.Name())
}

func fitsOne(fd protoreflect.FieldDescriptor, s *openapi3.Schema, name protoreflect.Name) error {
	if len(s.AllOf) == 1 && len(s.Properties) == 0 {
		return fitsOne(fd, s.AllOf[0].Value, name)
	}
	ok := false
	switch fd.Kind() {
	case protoreflect.BoolKind:
		ok = includes(s, openapi3.TypeBoolean)
	case protoreflect.DoubleKind:
		ok = includes(s, openapi3.TypeNumber)
	case protoreflect.Int64Kind, protoreflect.Int32Kind:
		ok = includes(s, openapi3.TypeInteger)
	case protoreflect.StringKind:
		structured := len(s.Properties) > 0 || includes(s, openapi3.TypeArray) && !includes(s, openapi3.TypeObject)
		ok = holdsJSON(fd) && !structured || includes(s, openapi3.TypeString) && s.Format != "date-time"
	case protoreflect.MessageKind:
		if fd.Message().FullName() == timestamp {
			ok = s.Format == "date-time"
			break
		}
		if err := sameFields(list(fd.Message().Fields()), s); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	default:
	}
	if !ok {
		return fmt.Errorf("%s is %s, which the schema is not", name, fd.Kind())
	}
	return nil
}

func includes(s *openapi3.Schema, t string) bool { return s.Type != nil && s.Type.Includes(t) }
