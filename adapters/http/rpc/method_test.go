package rpc

import (
	"encoding/json"
	"io"
	"maps"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	niyantav1 "github.com/niyanta/niyanta/api/niyanta/v1"
	"github.com/niyanta/niyanta/api/openapi"
)

// operations are those of the OpenAPI file, read anew so that a test may change them.
func operations(t *testing.T) map[string]Operation {
	t.Helper()
	spec, err := openapi3.NewLoader().LoadFromData(openapi.YAML)
	require.NoError(t, err)
	all := map[string]Operation{}
	for path, item := range spec.Paths.Map() {
		for method, op := range item.Operations() {
			all[op.OperationID] = Operation{method, path, op, item}
		}
	}
	return all
}

func bind(all map[string]Operation) error {
	_, err := Methods(func(id string) (Operation, bool) {
		op, found := all[id]
		return op, found
	})
	return err
}

// TestMethods_WhenMessagesDifferFromTheirOperation_AreRefused changes the OpenAPI file under the
// messages.
func TestMethods_WhenMessagesDifferFromTheirOperation_AreRefused(t *testing.T) {
	require.NoError(t, bind(operations(t)))
	body := func(all map[string]Operation, id string) *openapi3.Schema {
		return all[id].Spec.RequestBody.Value.Content.Get("application/json").Schema.Value
	}
	answer := func(all map[string]Operation, id, status string) *openapi3.Schema {
		return all[id].Spec.Responses.Value(status).Value.Content.Get("application/json").Schema.Value
	}
	for want, change := range map[string]func(all map[string]Operation){
		`no operation "getWorkload"`: func(all map[string]Operation) { delete(all, "getWorkload") },
		"1 parameters that are no fields": func(all map[string]Operation) {
			op := all["getWorkload"].Spec
			op.Parameters = append(op.Parameters, &openapi3.ParameterRef{
				Value: openapi3.NewQueryParameter("deep").WithSchema(openapi3.NewBoolSchema()),
			})
		},
		"has no field colour": func(all map[string]Operation) {
			s := body(all, "retryWorkload")
			s.Properties = maps.Clone(s.Properties)
			s.Properties["colour"] = openapi3.NewStringSchema().NewRef()
		},
		"schema has no reason": func(all map[string]Operation) {
			s := body(all, "retryWorkload")
			s.Properties = maps.Clone(s.Properties)
			delete(s.Properties, "reason")
		},
		"generation is int64": func(all map[string]Operation) {
			s := answer(all, "getWorkload", "200")
			s.Properties = maps.Clone(s.Properties)
			s.Properties["generation"] = openapi3.NewStringSchema().NewRef()
		},
		"answers with no JSON": func(all map[string]Operation) {
			all["getCustomer"].Spec.Responses.Delete("200")
		},
	} {
		all := operations(t)
		change(all)
		require.ErrorContains(t, bind(all), want)
	}
}

// TestEvents_OfAStream_HaveEveryFieldOfTheSchema holds the event of the stream to the OpenAPI file.
func TestEvents_OfAStream_HaveEveryFieldOfTheSchema(t *testing.T) {
	spec, err := openapi3.NewLoader().LoadFromData(openapi.YAML)
	require.NoError(t, err)
	all := operations(t)
	methods, err := Methods(func(id string) (Operation, bool) {
		op, found := all[id]
		return op, found
	})
	require.NoError(t, err)
	streams := 0
	for _, m := range methods {
		if m.Descriptor.IsStreamingServer() {
			streams++
			event := m.Descriptor.Output().Fields().ByName("event").Message()
			require.NoError(t, sameFields(list(event.Fields()), spec.Components.Schemas["LiveEvent"].Value))
		}
	}
	require.Equal(t, 1, streams)
}

// TestJSON_WhenAMessageHasNoSuchField_PutsItsNameIntoTheRequest tries each message of each request.
func TestJSON_WhenAMessageHasNoSuchField_PutsItsNameIntoTheRequest(t *testing.T) {
	all := operations(t)
	methods, err := Methods(func(id string) (Operation, bool) { op, found := all[id]; return op, found })
	require.NoError(t, err)
	tried := 0
	for _, m := range methods {
		paths := map[string]any{}
		for _, f := range m.fields {
			if f.in == openapi3.ParameterInPath {
				paths[string(f.Name())] = "x"
			}
		}
		for _, request := range withUnknown(m.Descriptor.Input(), 0) {
			maps.Copy(request, paths)
			text, err := json.Marshal(request)
			require.NoError(t, err)
			msg := dynamicpb.NewMessage(m.Descriptor.Input())
			require.NoError(t, JSON("json").Unmarshal(text, msg), string(text))
			r, err := m.Request(t.Context(), msg)
			require.NoError(t, err)
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			if m.body {
				require.Contains(t, string(body), `"colour":null`, "%s: %s", m.Procedure(), text)
			} else {
				require.True(t, r.URL.Query().Has("colour"), m.Procedure())
			}
			tried++
		}
	}
	require.Greater(t, tried, len(methods), "messages in messages are tried too")
}

// withUnknown returns requests of which each has an unknown member, in another one of its messages.
func withUnknown(d protoreflect.MessageDescriptor, depth int) []map[string]any {
	requests := []map[string]any{{"colour": 1}}
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		value := fd
		if fd.IsMap() {
			value = fd.MapValue()
		}
		if value.Message() == nil || value.Message().FullName() == timestamp || depth > 5 {
			continue
		}
		for _, inner := range withUnknown(value.Message(), depth+1) {
			name := string(fd.Name())
			switch {
			case fd.IsMap():
				requests = append(requests, map[string]any{name: map[string]any{"key": inner}})
			case fd.IsList():
				requests = append(requests, map[string]any{name: []any{inner}})
			default:
				requests = append(requests, map[string]any{name: inner})
			}
		}
	}
	return requests
}

// TestJSON_WhenABinaryMessageHasUnknownFields_DropsThem shows that numbers, which have no names, are
// no fault.
func TestJSON_WhenABinaryMessageHasUnknownFields_DropsThem(t *testing.T) {
	msg := dynamicpb.NewMessage((&niyantav1.Error{}).ProtoReflect().Descriptor())
	msg.SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 1000, protowire.BytesType), "colour"))
	require.Empty(t, unknown(msg))
}
