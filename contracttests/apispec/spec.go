package apispec

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/niyanta/niyanta/api/openapi"
)

// Spec is the OpenAPI file. Its schemas accept no field that they do not name, unless they say
// additionalProperties. Safe for concurrent use.
type Spec struct {
	*openapi3.T

	router routers.Router
	// without holds the responses to requests that match no operation, by status.
	without *openapi3.Responses
}

// Load reads the OpenAPI file.
func Load() (*Spec, error) {
	const extension = "x-without-operation"
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(openapi.YAML)
	if err != nil {
		return nil, fmt.Errorf("openapi file: %w", err)
	}
	if err := doc.Validate(loader.Context); err != nil {
		return nil, fmt.Errorf("openapi file: %w", err)
	}
	s := &Spec{T: doc, without: openapi3.NewResponsesWithCapacity(2)}
	refs, _ := doc.Extensions[extension].(map[string]any)
	for status, ref := range refs {
		name, _ := ref.(map[string]any)["$ref"].(string)
		response := doc.Components.Responses[strings.TrimPrefix(name, "#/components/responses/")]
		if response == nil {
			return nil, fmt.Errorf("openapi file: %s: %s is no response", extension, name)
		}
		s.without.Set(status, response)
	}
	if s.without.Len() == 0 {
		return nil, errors.New("openapi file: " + extension + " is missing")
	}
	s.closeSchemas()
	doc.Servers = nil
	// The built-in validator is for OpenAPI 3.0. It knows all features that the file uses.
	doc.OpenAPI = "3.0.3"
	s.router, err = gorillamux.NewRouter(doc)
	return s, err
}

// closeSchemas makes every object with properties refuse other properties, unless the file allows
// them.
func (s *Spec) closeSchemas() {
	seen := map[*openapi3.Schema]bool{}
	var visit func(ref *openapi3.SchemaRef)
	visit = func(ref *openapi3.SchemaRef) {
		if ref == nil || ref.Value == nil || seen[ref.Value] {
			return
		}
		v := ref.Value
		seen[v] = true
		if extra := &v.AdditionalProperties; len(v.Properties) > 0 && extra.Has == nil && extra.Schema == nil {
			*extra = openapi3.BoolSchema{Has: new(bool)}
		}
		for _, p := range v.Properties {
			visit(p)
		}
		visit(v.Items)
		visit(v.AdditionalProperties.Schema)
	}
	for _, schema := range s.Components.Schemas {
		visit(schema)
	}
	for body := range s.Bodies() {
		visit(body.Media.Schema)
	}
}

// Operation returns the operation that a request matches, or nil.
func (s *Spec) Operation(req *http.Request) *openapi3.Operation {
	if req.Method == http.MethodHead {
		get := *req
		get.Method = http.MethodGet
		req = &get
	}
	route, _, err := s.router.FindRoute(req)
	if err != nil {
		return nil
	}
	return route.Operation
}

// Body is the body of a request or of an answer of an operation.
type Body struct {
	// Operation is empty for the responses of the components.
	Operation string
	// Status is empty for a request.
	Status    string
	MediaType string
	Media     *openapi3.MediaType
}

// String names the body.
func (b Body) String() string {
	what := "request"
	if b.Status != "" {
		what = b.Status
	}
	return strings.TrimSpace(b.Operation + " " + what)
}

// Examples returns the examples of the body by name. A single example may have no name.
func (b Body) Examples() map[string]any {
	found := map[string]any{}
	if b.Media.Example != nil {
		found[""] = b.Media.Example
	}
	for name, example := range b.Media.Examples {
		found[name] = example.Value.Value
	}
	return found
}

// Bodies returns every body that the file describes.
func (s *Spec) Bodies() func(yield func(Body) bool) {
	return func(yield func(Body) bool) {
		all := func(operation, status string, content openapi3.Content) bool {
			for mediaType, media := range content {
				if !yield(Body{operation, status, mediaType, media}) {
					return false
				}
			}
			return true
		}
		for _, item := range s.Paths.Map() {
			for _, op := range item.Operations() {
				if op.RequestBody != nil && !all(op.OperationID, "", op.RequestBody.Value.Content) {
					return
				}
				for status, response := range op.Responses.Map() {
					if !all(op.OperationID, status, response.Value.Content) {
						return
					}
				}
			}
		}
		for name, response := range s.Components.Responses {
			if !all("", name, response.Value.Content) {
				return
			}
		}
	}
}
