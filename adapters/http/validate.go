package http

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/go-chi/chi/v5"

	"github.com/niyanta/niyanta/adapters/http/gen"
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

// checkOutside checks what stands outside of the body: the query, and headers that would be ignored silently.
func checkOutside(r *http.Request, op *openapi3.Operation) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return domain.Invalid("query", "is not well formed")
	}
	for name, values := range query {
		if domain.CheckText("query", name) != nil {
			return domain.CheckText("query", name)
		}
		for _, v := range values {
			if err := domain.CheckText(name, v); err != nil {
				return err
			}
			if p := op.Parameters.GetByInAndName(openapi3.ParameterInQuery, name); v == "" && p != nil {
				return domain.Invalid(name, "must not be empty")
			}
		}
	}
	key, sent := r.Header[http.CanonicalHeaderKey(idempotencyKey)]
	switch {
	case !sent:
	case len(key) > 1:
		return domain.Invalid(idempotencyKey, "must stand once")
	case key[0] == "":
		return domain.Invalid(idempotencyKey, "must not be empty")
	case r.Method == http.MethodPost && op.Parameters.GetByInAndName(openapi3.ParameterInHeader, idempotencyKey) == nil:
		return domain.Invalid(idempotencyKey, "is not supported by this endpoint")
	}
	return nil
}

const idempotencyKey = "Idempotency-Key"

// checkBound checks the parameters of a request as they were bound, decoded as often as the router and the binder do it.
func checkBound(next gen.StrictHandlerFunc, _ string) gen.StrictHandlerFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, request any) (any, error) {
		if err := checkFields(reflect.ValueOf(request)); err != nil {
			return nil, err
		}
		return next(ctx, w, r, request)
	}
}

// checkFields checks the strings among the fields of a request object. Its body was checked before.
func checkFields(v reflect.Value) error {
	if v.Kind() != reflect.Struct {
		return nil
	}
	for i := range v.NumField() {
		f, field := v.Field(i), v.Type().Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if f.Kind() == reflect.Pointer && field.Name != "Body" {
			f = f.Elem()
		}
		var err error
		switch {
		case field.Name == "Params":
			err = checkFields(f)
		case f.Kind() == reflect.String:
			err = domain.CheckText(name, f.String())
		}
		if err != nil {
			return err
		}
	}
	return nil
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
