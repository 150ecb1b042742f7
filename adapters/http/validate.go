package http

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/go-chi/chi/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// validate checks parameters and body against the OpenAPI file. Checkpoints are opaque, and reports are judged one by one by the
// control plane.
func (a *api) validate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op := scopeOf(r.Context()).op
		if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
			a.fail(w, r, domain.Invalid("query", "is not well formed"))
			return
		}
		err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
			Request: r, PathParams: pathParams(r), Route: op.route,
			Options: &openapi3filter.Options{
				AuthenticationFunc:  openapi3filter.NoopAuthenticationFunc,
				SkipSettingDefaults: true,
				ExcludeRequestBody:  op.takesBytes() || op.takesReports(),
			},
		})
		if err != nil {
			a.fail(w, r, explain(err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// pathParams returns the variables that the router found in the path, decoded as the handler will see them.
func pathParams(r *http.Request) map[string]string {
	params := map[string]string{}
	vars := chi.RouteContext(r.Context()).URLParams
	for i, name := range vars.Keys {
		value, err := url.PathUnescape(vars.Values[i])
		if err != nil {
			value = vars.Values[i] // cannot happen: the path was decoded before
		}
		params[name] = value
	}
	return params
}

// explain turns a violation of the schema into INVALID_INPUT that names the field.
func explain(err error) error {
	field, reason := "body", "is not what this endpoint takes"
	var req *openapi3filter.RequestError
	if errors.As(err, &req) {
		if req.Parameter != nil {
			field, reason = req.Parameter.Name, "is not valid"
		}
		if req.Reason != "" && req.Err == nil {
			reason = req.Reason
		}
	}
	var parse *openapi3filter.ParseError
	if errors.As(err, &parse) {
		reason = "cannot be read: " + parse.Error()
	}
	var schema *openapi3.SchemaError
	if errors.As(err, &schema) {
		path := strings.Join(schema.JSONPointer(), ".")
		switch {
		case path != "" && req != nil && req.Parameter != nil:
			field += "." + path
		case path != "":
			field = path
		}
		reason = schema.Reason
		if schema.SchemaField == "properties" || schema.SchemaField == "additionalProperties" {
			field, reason = unknownField(field, schema.Reason)
		}
	}
	return domain.Invalid(field, "%s", reason)
}

// unknownField names the property that the schema does not know ("property \"x\" is unsupported").
func unknownField(at, reason string) (field, why string) {
	_, rest, ok := strings.Cut(reason, `"`)
	name, _, closed := strings.Cut(rest, `"`)
	if !ok || !closed {
		return at, reason
	}
	if at != "body" && !strings.HasSuffix(at, name) {
		name = fmt.Sprintf("%s.%s", at, name)
	}
	return name, "is not a field of this request"
}
