package http

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"

	"github.com/niyanta/niyanta/core/domain"
)

// validate checks parameters and body against the OpenAPI file. Checkpoints are opaque, and reports are judged one by one by the
// control plane.
func (a *api) validate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op := scopeOf(r.Context()).op
		if err := checkOutside(r, op.route.Operation); err != nil {
			a.fail(w, r, err)
			return
		}
		err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
			Request: r, PathParams: pathParams(r), Route: op.route,
			Options: &openapi3filter.Options{
				AuthenticationFunc:  openapi3filter.NoopAuthenticationFunc,
				SkipSettingDefaults: true, SchemaValidationOptions: []openapi3.SchemaValidationOption{timeFormat},
				ExcludeRequestBody: op.takesBytes() || op.takesReports(),
			},
		})
		if err != nil {
			a.fail(w, r, explain(err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// timeFormat has every time of a request read as the core reads it: RFC 3339, within the years that are kept.
var timeFormat = openapi3.WithStringFormatValidator("date-time", openapi3.NewCallbackValidator(func(s string) error {
	_, err := domain.ParseTime("time", s)
	return err
}))

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
		if schema.SchemaField == "format" && schema.Schema != nil && schema.Schema.Format == "date-time" {
			value, _ := schema.Value.(string)
			if _, err := domain.ParseTime(field, value); err != nil {
				return err
			}
		}
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
