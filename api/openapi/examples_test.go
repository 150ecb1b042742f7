package openapi_test

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/apispec"
)

// TestExamples_OfEveryBody_FitTheirSchema also finds bodies without an example. That a coordinator
// answers as the examples say is tested where one is served.
func TestExamples_OfEveryBody_FitTheirSchema(t *testing.T) {
	fitting := 0
	for body := range load(t).Bodies() {
		examples := body.Examples()
		assert.NotEmpty(t, examples, "%s has no example", body)
		if body.MediaType != "application/json" {
			continue
		}
		schema := body.Media.Schema.Value
		for name, example := range examples {
			err := apispec.Fits(schema, example)
			if body.Status == "" {
				err = schema.VisitJSON(example, openapi3.VisitAsRequest(), openapi3.MultiErrors())
			}
			assert.NoError(t, err, "%s, example %q", body, name) //nolint:testifylint // the others are checked too
			fitting++
		}
	}
	require.Greater(t, fitting, 400)
}

// TestExamples_OfParameters_StandWhereARequestNeedsThem lets clients and tests build each request
// from the file.
func TestExamples_OfParameters_StandWhereARequestNeedsThem(t *testing.T) {
	for path, item := range load(t).Paths.Map() {
		for method, op := range item.Operations() {
			for _, list := range []openapi3.Parameters{item.Parameters, op.Parameters} {
				for _, p := range list {
					if p.Value.Required {
						assert.NotNil(t, p.Value.Example, "%s %s: %s", method, path, p.Value.Name)
					}
				}
			}
		}
	}
}
