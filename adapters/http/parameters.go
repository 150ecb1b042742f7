package http

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/go-chi/chi/v5"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/core/domain"
)

// checkParameters checks the query, the path and the headers against the OpenAPI file.
func (a *api) checkParameters(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op := scopeOf(r.Context()).op
		err := checkOutside(r, op)
		if err == nil {
			bare := *r
			bare.Body = http.NoBody // the validator would read it into memory, whatever its size
			err = parameterViolation(openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
				Request: &bare, PathParams: pathParams(r), Route: op.route,
				Options: &openapi3filter.Options{
					AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true, ExcludeRequestBody: true,
					SchemaValidationOptions: []openapi3.SchemaValidationOption{timeFormat},
				},
			}))
		}
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// parameterViolation turns an error of the validator into INVALID_INPUT that names the parameter.
func parameterViolation(err error) error {
	var req *openapi3filter.RequestError
	if err == nil || !errors.As(err, &req) || req.Parameter == nil {
		return err
	}
	name := req.Parameter.Name
	var parse *openapi3filter.ParseError
	var violation *openapi3.SchemaError
	switch {
	case errors.As(err, &violation):
		// Of a parameter that may be repeated, the value has a place, which the query does not show.
		return renamed(schemaViolation(name, violation), func(string) string { return name })
	case errors.As(err, &parse):
		return domain.Invalid(name, "cannot be read: %s", parse.Error())
	case errors.Is(err, openapi3filter.ErrInvalidRequired):
		return domain.Invalid(name, "is required")
	}
	return domain.Invalid(name, "is not valid")
}

// checkOutside checks what the validator does not: that the query is well-formed, that its text can
// be stored, that the operation knows each parameter, and that no Idempotency-Key is ignored
// silently.
func checkOutside(r *http.Request, op operation) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return domain.Invalid("query", "is not well formed")
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if err := checkQuery(name, query[name], op.parameter(openapi3.ParameterInQuery, name)); err != nil {
			return err
		}
	}
	key, sent := r.Header[http.CanonicalHeaderKey(idempotencyKey)]
	switch {
	case !sent:
	case len(key) > 1:
		return domain.Invalid(idempotencyKey, "must stand once")
	case key[0] == "":
		return domain.Invalid(idempotencyKey, "must not be empty")
	case r.Method == http.MethodPost && op.parameter(openapi3.ParameterInHeader, idempotencyKey) == nil:
		return domain.Invalid(idempotencyKey, "is not supported by this endpoint")
	}
	return nil
}

// checkQuery checks the values of a query parameter. p is nil if the operation has no such
// parameter.
func checkQuery(name string, values []string, p *openapi3.Parameter) error {
	if err := domain.CheckText("query", name); err != nil {
		return err
	}
	for _, v := range values {
		if err := domain.CheckText(name, v); err != nil {
			return err
		}
	}
	switch {
	case p == nil:
		return domain.Invalid(name, "is not a parameter of this endpoint")
	case len(values) > 1 && !p.Schema.Value.Type.Is(openapi3.TypeArray):
		return domain.Invalid(name, "must stand once")
	case slices.Contains(values, ""):
		return domain.Invalid(name, "must not be empty")
	}
	return checkLiteral(name, values[0], p.Schema.Value.Type)
}

// checkLiteral checks how a boolean or an integer is written. The validator takes more spellings
// than the API describes, such as "T" for true and "+5".
func checkLiteral(name, value string, t *openapi3.Types) error {
	switch {
	case t.Is(openapi3.TypeBoolean) && value != "true" && value != "false":
		return domain.Invalid(name, "must be true or false")
	case t.Is(openapi3.TypeInteger) && strings.HasPrefix(value, "+"):
		return domain.Invalid(name, "must be an integer, without a plus sign")
	}
	return nil
}

const idempotencyKey = "Idempotency-Key"

// checkBound checks the text of path and query parameters after they are bound. They are decoded by
// then, exactly as the handler sees them.
func checkBound(next gen.StrictHandlerFunc, _ string) gen.StrictHandlerFunc {
	return func(ctx context.Context, w http.ResponseWriter, r *http.Request, request any) (any, error) {
		if err := checkFields(reflect.ValueOf(request)); err != nil {
			return nil, err
		}
		return next(ctx, w, r, request)
	}
}

// checkFields checks the strings among the fields of a request object. Its body is checked
// elsewhere.
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

// pathParams returns the variables of the path, decoded as the handler will see them.
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
