package rpc

import (
	"maps"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

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
