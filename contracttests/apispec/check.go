package apispec

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// ofHTTP lists the headers that need no declaration, because they are those of HTTP itself.
var ofHTTP = []string{
	"Accept-Ranges", "Connection", "Content-Length", "Content-Type", "Date", "Last-Modified",
	"Transfer-Encoding", "Vary",
}

// common lists the headers that the file describes once for all responses.
var common = []string{
	"Cache-Control", "Content-Security-Policy", "Referrer-Policy", hsts, "X-Content-Type-Options", "X-Frame-Options",
}

// hsts is the header that answers have over TLS, and only there.
const hsts = "Strict-Transport-Security"

// Check returns an error if the answer to the request is not one that the file declares. It does
// not read resp.Body; body is what was read from it.
func (s *Spec) Check(req *http.Request, resp *http.Response, body []byte) error {
	response, err := s.response(req, resp.StatusCode, body)
	if err == nil {
		err = errors.Join(checkHeaders(response, resp), checkBody(req, resp, response, body))
	}
	if err != nil {
		return fmt.Errorf("%s %s answers %d, not as the OpenAPI file declares: %w: %.2000s",
			req.Method, req.URL.Path, resp.StatusCode, err, body)
	}
	return nil
}

// response returns the response that the file declares for the status.
func (s *Spec) response(req *http.Request, status int, body []byte) (*openapi3.Response, error) {
	op := s.Operation(req)
	responses := s.without
	// A listener that does not serve the operation answers as for an unknown path.
	if op != nil && (status != http.StatusNotFound || !strings.Contains(string(body), `"no such endpoint: `)) {
		responses = op.Responses
	}
	if found := responses.Value(strconv.Itoa(status)); found != nil {
		return found.Value, nil
	}
	return nil, errors.New("the status is not declared")
}

func checkHeaders(response *openapi3.Response, resp *http.Response) error {
	var errs []error
	sent := resp.Header
	if overTLS := resp.TLS != nil; overTLS != (sent.Get(hsts) != "") {
		errs = append(errs, fmt.Errorf("header %s is %q; over TLS: %t", hsts, sent.Get(hsts), overTLS))
	}
	declared := map[string]*openapi3.Header{}
	for name, header := range response.Headers {
		declared[http.CanonicalHeaderKey(name)] = header.Value
	}
	for name, header := range declared {
		values := sent.Values(name)
		switch {
		case len(values) == 0 && header.Required:
			errs = append(errs, fmt.Errorf("header %s is missing", name))
		case len(values) == 1:
			if err := checkHeader(header.Schema.Value, values[0]); err != nil {
				errs = append(errs, fmt.Errorf("header %s: %w", name, err))
			}
		case len(values) > 1 && name != "Vary": // a list, which may stand on several lines
			errs = append(errs, fmt.Errorf("header %s stands %d times", name, len(values)))
		}
	}
	for name := range sent {
		if declared[name] == nil && !slices.Contains(common, name) && !slices.Contains(ofHTTP, name) {
			errs = append(errs, fmt.Errorf("header %s is not declared", name))
		}
	}
	return errors.Join(errs...)
}

func checkHeader(schema *openapi3.Schema, text string) error {
	var value any = text
	if schema.Type.Is(openapi3.TypeInteger) || schema.Type.Is(openapi3.TypeNumber) {
		number, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return err
		}
		value = number
	}
	return schema.VisitJSON(value, openapi3.VisitAsResponse())
}

func checkBody(req *http.Request, resp *http.Response, response *openapi3.Response, body []byte) error {
	if req.Method == http.MethodHead {
		return nil
	}
	sent := resp.Header.Get("Content-Type")
	if len(response.Content) == 0 {
		if len(body) > 0 || sent != "" {
			return fmt.Errorf("a body of type %q is not declared", sent)
		}
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(sent)
	if err != nil {
		return fmt.Errorf("content type %q: %w", sent, err)
	}
	media := response.Content[mediaType]
	switch {
	case media == nil:
		return fmt.Errorf("content type %s is not declared", mediaType)
	case mediaType != "application/json":
		return nil
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return err
	}
	return Fits(media.Schema.Value, value)
}

// Fits returns an error if the value, as encoding/json decodes it, is not what the schema describes
// as part of an answer.
func Fits(schema *openapi3.Schema, value any) error {
	return schema.VisitJSON(value, openapi3.VisitAsResponse(), openapi3.MultiErrors(), times)
}

var millis = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)

// times is how the API sends times.
var times = openapi3.WithStringFormatValidator("date-time", openapi3.NewCallbackValidator(func(s string) error {
	if !millis.MatchString(s) {
		return errors.New("is not RFC 3339 in UTC with milliseconds")
	}
	return nil
}))
