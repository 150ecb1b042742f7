package rpc

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// JSON is a codec of Connect with the name that it stands for, such as "json".
//
// A member that a message has no field for is not dropped, as Connect's own codec does. The message
// keeps its name, and Request puts it where it was. So the operation refuses it, as it refuses the
// same member over REST. Unknown fields of binary messages have no names; they are dropped.
type JSON string

// Name implements connect.Codec.
func (c JSON) Name() string { return string(c) }

// Marshal implements connect.Codec. Fields have the names of the .proto files, which are those of
// REST. Clients read these as well as the names in lowerCamelCase, as the mapping of JSON demands.
func (JSON) Marshal(message any) ([]byte, error) {
	m, ok := message.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no message", message)
	}
	return protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
}

// Unmarshal implements connect.Codec.
func (JSON) Unmarshal(text []byte, message any) error {
	m, ok := message.(proto.Message)
	switch {
	case !ok:
		return fmt.Errorf("%T is no message", message)
	case len(text) == 0:
		return errors.New("a message is an object, not nothing")
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, m); err != nil {
		return cmp.Or(misfit("", text, m.ProtoReflect().Descriptor()), err)
	}
	return keepUnknown(text, m.ProtoReflect())
}

// unknownNumber is the number under which a message keeps the names of unknown members. It is the
// highest one, which no .proto file of ours uses.
const unknownNumber = protowire.MaxValidNumber

// keepUnknown has a message, and those in it, keep the names of the members in its text that they
// have no fields for.
func keepUnknown(text []byte, into protoreflect.Message) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	fields, kept := into.Descriptor().Fields(), into.GetUnknown()
	for _, name := range slices.Sorted(maps.Keys(members)) {
		fd := fields.ByJSONName(name)
		if fd == nil {
			fd = fields.ByTextName(name)
		}
		if fd == nil {
			kept = protowire.AppendTag(kept, unknownNumber, protowire.BytesType)
			kept = protowire.AppendString(kept, name)
			continue
		}
		if err := keepUnknownIn(members[name], into, fd); err != nil {
			return err
		}
	}
	into.SetUnknown(kept)
	return nil
}

// keepUnknownIn does what keepUnknown does, for the messages of one field.
func keepUnknownIn(text json.RawMessage, into protoreflect.Message, fd protoreflect.FieldDescriptor) error {
	value := fd
	if fd.IsMap() {
		value = fd.MapValue()
	}
	if value.Message() == nil || value.Message().FullName() == timestamp || string(text) == "null" {
		return nil
	}
	switch {
	case fd.IsMap():
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			return err
		}
		for key, member := range members {
			m := into.Mutable(fd).Map().Mutable(protoreflect.ValueOfString(key).MapKey()).Message()
			if err := keepUnknown(member, m); err != nil {
				return err
			}
		}
		return nil
	case fd.IsList():
		var items []json.RawMessage
		if err := json.Unmarshal(text, &items); err != nil {
			return err
		}
		for i, item := range items {
			if err := keepUnknown(item, into.Mutable(fd).List().Get(i).Message()); err != nil {
				return err
			}
		}
		return nil
	}
	return keepUnknown(text, into.Mutable(fd).Message())
}

// unknown returns the names that a message has kept.
func unknown(msg protoreflect.Message) (names []string) {
	for b := msg.GetUnknown(); len(b) > 0; {
		number, kind, tag := protowire.ConsumeTag(b)
		size := protowire.ConsumeFieldValue(number, kind, b[max(tag, 0):])
		if tag < 0 || size < 0 {
			return names // cannot happen: it was parsed
		}
		if number == unknownNumber && kind == protowire.BytesType {
			name, _ := protowire.ConsumeString(b[tag:])
			names = append(names, name)
		}
		b = b[tag+size:]
	}
	return names
}
