package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/getkin/kin-openapi/openapi3"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/niyanta/niyanta/core/domain"
)

// timestamp is the name of the message that holds a time.
const timestamp protoreflect.FullName = "google.protobuf.Timestamp"

// Request returns the HTTP request that a message stands for. It has no headers but those that are
// fields of the message.
func (m *Method) Request(ctx context.Context, msg protoreflect.Message) (*http.Request, error) {
	path, query, header := m.Operation.Path, url.Values{}, http.Header{}
	body := []byte{'{'}
	for _, f := range m.fields {
		present := msg.Has(f.FieldDescriptor)
		switch f.in {
		case openapi3.ParameterInPath:
			text := parameterText(f.FieldDescriptor, msg.Get(f.FieldDescriptor))
			if text == "" {
				return nil, domain.Invalid(string(f.Name()), "is required")
			}
			path = strings.ReplaceAll(path, "{"+f.name+"}", url.PathEscape(text))
		case openapi3.ParameterInQuery:
			if present {
				query[f.name] = parameterTexts(f.FieldDescriptor, msg.Get(f.FieldDescriptor))
			}
		case openapi3.ParameterInHeader:
			if !present {
				break
			}
			text := parameterText(f.FieldDescriptor, msg.Get(f.FieldDescriptor))
			if strings.ContainsFunc(text, unicode.IsControl) {
				return nil, domain.Invalid(string(f.Name()), "must not contain control characters")
			}
			header.Set(f.name, text)
		default:
			if present || f.required && f.IsList() {
				body = appendKey(body, f.name)
				body = appendValue(body, f.FieldDescriptor, msg.Get(f.FieldDescriptor))
			}
		}
	}
	for _, name := range unknown(msg) {
		if m.body {
			body = append(appendKey(body, name), "null"...)
		} else {
			query.Add(name, "")
		}
	}
	unescaped, err := url.PathUnescape(path)
	if err != nil {
		return nil, fmt.Errorf("path of %s: %w", m.Procedure(), err)
	}
	r, err := http.NewRequestWithContext(ctx, m.Operation.Method, "/", http.NoBody)
	if err != nil {
		return nil, err
	}
	r.URL = &url.URL{Path: unescaped, RawPath: path, RawQuery: query.Encode()}
	r.Header = header
	if m.body && (m.bodyRequired || len(body) > 1) {
		body = append(body, '}')
		header.Set("Content-Type", "application/json")
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return r, nil
}

// parameterTexts returns the values of a parameter.
func parameterTexts(fd protoreflect.FieldDescriptor, v protoreflect.Value) (all []string) {
	if !fd.IsList() {
		return []string{parameterText(fd, v)}
	}
	for i := range v.List().Len() {
		all = append(all, parameterText(fd, v.List().Get(i)))
	}
	return all
}

// parameterText returns one value of a parameter.
func parameterText(fd protoreflect.FieldDescriptor, v protoreflect.Value) string {
	if fd.Kind() == protoreflect.StringKind {
		return v.String()
	}
	return strings.Trim(string(appendOne(nil, fd, v)), `"`)
}

// appendMessage appends a message as JSON.
func appendMessage(b []byte, msg protoreflect.Message) []byte {
	b = append(b, '{')
	fields := msg.Descriptor().Fields()
	for i := range fields.Len() {
		if fd := fields.Get(i); msg.Has(fd) {
			b = appendKey(b, string(fd.Name()))
			b = appendValue(b, fd, msg.Get(fd))
		}
	}
	for _, name := range unknown(msg) {
		b = append(appendKey(b, name), "null"...)
	}
	return append(b, '}')
}

// appendKey appends a key and, unless it is the first one of its object, a comma before it.
func appendKey(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	return append(appendText(b, name), ':')
}

func appendValue(b []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch {
	case fd.IsMap():
		b = append(b, '{')
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			b = appendKey(b, k.String())
			b = appendOne(b, fd.MapValue(), v)
			return true
		})
		return append(b, '}')
	case fd.IsList():
		b = append(b, '[')
		for i := range v.List().Len() {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendOne(b, fd, v.List().Get(i))
		}
		return append(b, ']')
	}
	return appendOne(b, fd, v)
}

func appendOne(b []byte, fd protoreflect.FieldDescriptor, v protoreflect.Value) []byte {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return strconv.AppendBool(b, v.Bool())
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		return strconv.AppendInt(b, v.Int(), 10)
	case protoreflect.DoubleKind:
		return appendNumber(b, v.Float())
	case protoreflect.MessageKind:
		if fd.Message().FullName() == timestamp {
			return appendText(b, timeText(v.Message()))
		}
		return appendMessage(b, v.Message())
	default: // strings: fits lets no other kind pass
		if holdsJSON(fd) && json.Valid([]byte(v.String())) {
			return append(b, v.String()...)
		}
		// JSON text that is not well formed goes as a string, which the operation refuses as what
		// it is: a string in place of an object.
		return appendText(b, v.String())
	}
}

// appendNumber appends a number. What JSON has no number for goes as a string, which the operation
// refuses.
func appendNumber(b []byte, f float64) []byte {
	text, err := json.Marshal(f)
	if err != nil {
		return appendText(b, strconv.FormatFloat(f, 'g', -1, 64))
	}
	return append(b, text...)
}

// appendText appends a string. Messages hold valid UTF-8.
func appendText(b []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string always has a JSON text
	return append(b, text...)
}

// timeText returns a time as RFC 3339. The text of one that no calendar has is one that the
// operation refuses.
func timeText(msg protoreflect.Message) string {
	fields := msg.Descriptor().Fields()
	seconds, nanos := msg.Get(fields.ByName("seconds")).Int(), msg.Get(fields.ByName("nanos")).Int()
	if nanos < 0 || nanos >= int64(time.Second) {
		return fmt.Sprintf("%d s and %d ns", seconds, nanos)
	}
	return time.Unix(seconds, nanos).UTC().Format(time.RFC3339Nano)
}
