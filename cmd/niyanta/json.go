package main

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"time"
)

// printJSON prints v as encoding/json encodes it, with times in the format of the API.
func printJSON(w io.Writer, v any, indent bool) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if indent {
		e.SetIndent("", "  ")
	}
	return e.Encode(asSent(reflect.ValueOf(v)))
}

// apiTime is the format of times in the API: in UTC, always with milliseconds. encoding/json would
// drop trailing zeros.
const apiTime = `"2006-01-02T15:04:05.000Z"`

// asSent returns v with its times in the format of the API. Values that encode themselves stay
// unchanged.
func asSent(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	switch x := v.Interface().(type) {
	case time.Time:
		return json.RawMessage(x.UTC().Format(apiTime))
	case json.Marshaler:
		if v.Kind() != reflect.Pointer || v.Type().Elem() != reflect.TypeFor[time.Time]() {
			return x
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		return asSent(v.Elem())
	case reflect.Struct:
		return membersOf(v, nil)
	case reflect.Slice:
		if v.IsNil() || v.Type().Elem().Kind() == reflect.Uint8 {
			return v.Interface()
		}
		items := make([]any, v.Len())
		for i := range items {
			items[i] = asSent(v.Index(i))
		}
		return items
	case reflect.Map:
		if v.IsNil() || v.Type().Key().Kind() != reflect.String {
			return v.Interface()
		}
		values := make(map[string]any, v.Len())
		for key, value := range v.Seq2() {
			values[key.String()] = asSent(value)
		}
		return values
	default:
		return v.Interface()
	}
}

// members are the members of an object, in order.
type members []member

type member struct {
	name  string
	value any
}

// MarshalJSON implements json.Marshaler.
func (m members) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	for i, each := range m {
		out.WriteByte("{,"[min(i, 1)])
		if err := e.Encode(each.name); err != nil {
			return nil, err
		}
		out.WriteByte(':')
		if err := e.Encode(each.value); err != nil {
			return nil, err
		}
	}
	if len(m) == 0 {
		out.WriteByte('{')
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

// membersOf appends the fields of a struct that encoding/json encodes.
func membersOf(v reflect.Value, to members) members {
	for i := range v.NumField() {
		field, value := v.Type().Field(i), v.Field(i)
		tag := strings.Split(field.Tag.Get("json"), ",")
		if field.Anonymous && tag[0] == "" && value.Kind() == reflect.Struct {
			to = membersOf(value, to)
			continue
		}
		if !field.IsExported() || tag[0] == "-" || omitted(tag[1:], value) {
			continue
		}
		name := tag[0]
		if name == "" {
			name = field.Name
		}
		to = append(to, member{name, asSent(value)})
	}
	return to
}

// omitted reports whether the options of a field omit the value.
func omitted(options []string, v reflect.Value) bool {
	for _, o := range options {
		switch o {
		case "omitzero":
			if z, ok := v.Interface().(interface{ IsZero() bool }); ok && z.IsZero() || v.IsZero() {
				return true
			}
		case "omitempty":
			switch v.Kind() {
			case reflect.Map, reflect.Slice, reflect.String, reflect.Array:
				if v.Len() == 0 {
					return true
				}
			case reflect.Struct:
			default:
				if v.IsZero() {
					return true
				}
			}
		}
	}
	return false
}
