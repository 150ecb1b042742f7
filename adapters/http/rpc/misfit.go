package rpc

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// misfit returns an error that names the first field whose JSON is of another kind than the field,
// or nil. protojson says where in the text that is, and calls the field by another name.
func misfit(at string, text []byte, d protoreflect.MessageDescriptor) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return notA(at, "an object")
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		fd := d.Fields().ByJSONName(name)
		if fd == nil {
			fd = d.Fields().ByTextName(name)
		}
		if fd == nil || string(members[name]) == "null" {
			continue
		}
		field := string(fd.Name())
		if at != "" {
			field = at + "." + field
		}
		if err := misfitIn(field, members[name], fd); err != nil {
			return err
		}
	}
	return nil
}

// misfitIn does what misfit does, for one field.
func misfitIn(at string, text json.RawMessage, fd protoreflect.FieldDescriptor) error {
	switch {
	case fd.IsMap():
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			return notA(at, "an object")
		}
		for _, key := range slices.Sorted(maps.Keys(members)) {
			if err := misfitOne(at+"."+key, members[key], fd.MapValue()); err != nil {
				return err
			}
		}
		return nil
	case fd.IsList():
		var items []json.RawMessage
		if err := json.Unmarshal(text, &items); err != nil {
			return notA(at, "an array")
		}
		for i, item := range items {
			if err := misfitOne(fmt.Sprintf("%s.%d", at, i), item, fd); err != nil {
				return err
			}
		}
		return nil
	}
	return misfitOne(at, text, fd)
}

// misfitOne does what misfit does, for one value.
func misfitOne(at string, text json.RawMessage, fd protoreflect.FieldDescriptor) error {
	isText := len(text) > 0 && text[0] == '"'
	switch fd.Kind() {
	case protoreflect.MessageKind:
		if fd.Message().FullName() != timestamp {
			return misfit(at, text, fd.Message())
		}
		if !isText {
			return notA(at, "a time as text")
		}
	case protoreflect.StringKind:
		switch {
		case isText:
		case holdsJSON(fd):
			return notA(at, "text that holds JSON")
		default:
			return notA(at, "text")
		}
	case protoreflect.BoolKind:
		if s := string(text); s != "true" && s != "false" {
			return notA(at, "true or false")
		}
	default: // a number, which may also be text
		var n json.Number
		if json.Unmarshal(text, &n) != nil {
			return notA(at, "a number")
		}
	}
	return nil
}

func notA(at, what string) error {
	if at == "" {
		at = "the message"
	}
	return fmt.Errorf("%s: must be %s", at, what)
}
