package rpc

import (
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Decode reads the JSON of an answer into a message. Null and absent are the same to a message,
// and so are an empty list and none.
func Decode(text []byte, into protoreflect.Message) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	fields := into.Descriptor().Fields()
	for name, value := range members {
		fd := fields.ByName(protoreflect.Name(name))
		if fd == nil {
			return fmt.Errorf("%s has no field %s", into.Descriptor().FullName(), name)
		}
		if string(value) == "null" {
			continue
		}
		if err := decodeField(value, into, fd); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func decodeField(text json.RawMessage, into protoreflect.Message, fd protoreflect.FieldDescriptor) error {
	switch {
	case fd.IsMap():
		var members map[string]json.RawMessage
		if err := json.Unmarshal(text, &members); err != nil {
			return err
		}
		m := into.Mutable(fd).Map()
		for key, member := range members {
			v, err := decodeOne(member, fd.MapValue(), m.NewValue)
			if err != nil {
				return err
			}
			m.Set(protoreflect.ValueOfString(key).MapKey(), v)
		}
		return nil
	case fd.IsList():
		var items []json.RawMessage
		if err := json.Unmarshal(text, &items); err != nil {
			return err
		}
		l := into.Mutable(fd).List()
		for _, item := range items {
			v, err := decodeOne(item, fd, l.NewElement)
			if err != nil {
				return err
			}
			l.Append(v)
		}
		return nil
	}
	v, err := decodeOne(text, fd, func() protoreflect.Value { return into.NewField(fd) })
	if err == nil {
		into.Set(fd, v)
	}
	return err
}

// decodeOne reads one value. empty returns an empty message for it.
func decodeOne(
	text json.RawMessage, fd protoreflect.FieldDescriptor, empty func() protoreflect.Value,
) (v protoreflect.Value, err error) {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		var b bool
		err = json.Unmarshal(text, &b)
		return protoreflect.ValueOfBool(b), err
	case protoreflect.Int64Kind:
		var n int64
		err = json.Unmarshal(text, &n)
		return protoreflect.ValueOfInt64(n), err
	case protoreflect.Int32Kind:
		var n int32
		err = json.Unmarshal(text, &n)
		return protoreflect.ValueOfInt32(n), err
	case protoreflect.DoubleKind:
		var f float64
		err = json.Unmarshal(text, &f)
		return protoreflect.ValueOfFloat64(f), err
	case protoreflect.MessageKind:
		v = empty()
		if fd.Message().FullName() == timestamp {
			return v, decodeTime(text, v.Message())
		}
		return v, Decode(text, v.Message())
	default:
		if holdsJSON(fd) {
			return protoreflect.ValueOfString(string(text)), nil
		}
		var s string
		err = json.Unmarshal(text, &s)
		return protoreflect.ValueOfString(s), err
	}
}

func decodeTime(text json.RawMessage, into protoreflect.Message) error {
	var t time.Time
	if err := json.Unmarshal(text, &t); err != nil {
		return err
	}
	fields := into.Descriptor().Fields()
	into.Set(fields.ByName("seconds"), protoreflect.ValueOfInt64(t.Unix()))
	into.Set(fields.ByName("nanos"), protoreflect.ValueOfInt32(int32(t.Nanosecond())))
	return nil
}
