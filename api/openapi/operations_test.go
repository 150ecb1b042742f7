package openapi_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/apispec"
)

func load(t *testing.T) *apispec.Spec {
	t.Helper()
	spec, err := apispec.Load()
	require.NoError(t, err)
	return spec
}

// statuses returns the error statuses that an operation must declare. Those that follow from what
// it does, such as 409, are found by the tests that see them.
func statuses(path string, op *openapi3.Operation) []string {
	if len(op.Extensions["x-roles"].([]any)) == 0 {
		return nil
	}
	must := []string{"400", "401", "403", "429", "500", "503"}
	if strings.Contains(path, "{") || slices.Contains(op.Tags, "admin") {
		must = append(must, "404") // an admin's also where another listener serves it
	}
	if op.RequestBody != nil {
		must = append(must, "413")
	}
	if op.Parameters.GetByInAndName(openapi3.ParameterInHeader, "Idempotency-Key") != nil {
		must = append(must, "409")
	}
	return must
}

// limited are the headers of every answer to a valid key.
var limited = []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}

func TestOperations_DeclareTheirStatusesAndHeaders(t *testing.T) {
	spec, checked := load(t), 0
	for path, item := range spec.Paths.Map() {
		assert.NotNil(t, item.Parameters.GetByInAndName(openapi3.ParameterInHeader, "X-Request-ID"), path)
		for method, op := range item.Operations() {
			what := method + " " + path
			assert.NotEmpty(t, op.OperationID, what)
			assert.Nil(t, op.Responses.Default(), "%s: a default response hides statuses", what)
			for _, status := range statuses(path, op) {
				assert.NotNil(t, op.Responses.Value(status), "%s does not declare %s", what, status)
			}
			open := len(op.Extensions["x-roles"].([]any)) == 0
			for status, response := range op.Responses.Map() {
				checkHeaders(t, what+" "+status, status, response.Value, open, op.Responses.Value("101") != nil)
				checked++
			}
		}
	}
	require.Greater(t, checked, 300)
	for _, name := range []string{"NoSuchEndpoint", "MethodNotAllowed"} {
		require.NotNil(t, spec.Components.Responses[name])
	}
	checkHeaders(t, "no operation", "405", spec.Components.Responses["MethodNotAllowed"].Value, true, false)
}

// checkHeaders checks the headers that a response declares. open is that of an operation without a
// key, upgrade that of one that takes its key over a WebSocket, too.
func checkHeaders(t *testing.T, what, status string, response *openapi3.Response, open, upgrade bool) {
	t.Helper()
	required := []string{"X-Request-ID"}
	switch status {
	case "401":
		required = append(required, "WWW-Authenticate")
	case "405":
		required = append(required, "Allow")
	case "429", "503":
		if !open {
			required = append(required, "Retry-After")
		}
	}
	// The rate is not known before the key is, and a store that fails hides it.
	if !open && status != "401" {
		for _, name := range limited {
			assert.Contains(t, response.Headers, name, what)
		}
		early := upgrade && slices.Contains([]string{"101", "400", "403"}, status)
		if !early && status != "500" && status != "503" {
			required = append(required, limited...)
		}
	}
	for _, name := range required {
		if header := response.Headers[name]; assert.NotNil(t, header, "%s does not declare %s", what, name) {
			assert.True(t, header.Value.Required, "%s: %s", what, name)
		}
	}
}
