package http

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"

	"github.com/niyanta/niyanta/core/domain"
)

const (
	maxBody  = 1 << 20
	maxDepth = 64
	// maxBatchBody bounds bodies with many items. One above maxBody takes as many places in flight as
	// it may have MiB.
	maxBatchBody = 16 << 20
	// maxReportsBody bounds a thousand reports with their results and log lines, maxWorkerBody the
	// rest of the worker protocol: the inventory of a worker with as many slots as there may be.
	maxReportsBody = 32 << 20
	maxWorkerBody  = 4 << 20
)

// decodeBody reads a JSON body once. It checks the text, checks its value against the OpenAPI file,
// and leaves that value for the generated code to bind. It refuses bodies of another media type
// than the operation takes, compressed ones, ones that are too large, and any body if the operation
// takes none.
//
// Two kinds of body are left to others: checkpoints are bytes and only bounded here, and each
// report of a batch is judged by the domain.
func (a *api) decodeBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := scopeOf(r.Context())
		err := s.takeBody(w, r, a.maxCheckpoint())
		if !a.charge(w, r) {
			return
		}
		if err != nil {
			a.fail(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// maxCheckpoint is the size of the largest checkpoint.
func (a *api) maxCheckpoint() int64 {
	if a.Checkpoints == nil {
		return domain.MaxInlineCheckpoint
	}
	return a.Checkpoints.Max()
}

// takeBody takes the body of a request. A checkpoint has at most maxBytes.
func (s *scope) takeBody(w http.ResponseWriter, r *http.Request, maxBytes int64) error {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		if s.op.body != nil && s.op.body.required {
			return domain.Invalid("body", "is required")
		}
		return nil
	}
	if s.op.route.Operation.RequestBody == nil {
		if n, _ := r.Body.Read(make([]byte, 1)); n > 0 {
			return domain.Invalid("body", "is not taken by this endpoint")
		}
		return nil
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return domain.Invalid("Content-Encoding", "%q is not accepted", enc)
	}
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if want := s.op.mediaType(); err != nil || mediaType != want {
		return domain.Invalid("Content-Type", "must be %s", want)
	}
	if mediaType == mediaBytes {
		s.length = r.ContentLength
		body := r.Body
		if s.length < 0 || s.length > domain.MaxInlineCheckpoint {
			body = moving{body, http.NewResponseController(w)}
		}
		r.Body = http.MaxBytesReader(w, body, maxBytes+1)
		return nil
	}
	text, err := readBody(w, r)
	if err != nil {
		return err
	}
	if s.op.takesReports() {
		if text, err = cleanReports(text); err == nil {
			r.Body = io.NopCloser(bytes.NewReader(text))
		}
		return err
	}
	var value any
	value, s.items, s.refused, err = s.op.body.decode(text)
	if s.op.costsItems() && r.Header.Get(idempotencyKey) != "" {
		s.digest = digestOf(value, s.refused)
	}
	r.Body = decodedBody{io.NopCloser(bytes.NewReader(text)), value}
	return err
}

// decodedBody is a body whose value was read and checked. The generated code binds the value. Only
// if the value does not fit the request's type does it decode the text, for an error that names the
// field.
type decodedBody struct {
	io.ReadCloser
	value any
}

// ValidatedValue returns the value. The generated code looks for this method.
func (b decodedBody) ValidatedValue() any { return b.value }

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := int64(maxBody)
	s := scopeOf(r.Context())
	switch {
	case s.op.takesReports():
		limit = maxReportsBody
	case s.op.tag == "worker":
		limit = maxWorkerBody
	case s.op.costsItems():
		limit = maxBatchBody
	}
	from := http.MaxBytesReader(w, r.Body, limit)
	body, err := io.ReadAll(io.LimitReader(from, min(limit, maxBody)+1))
	if s.op.costsItems() && len(body) > maxBody && err == nil {
		if err := s.place.widen(maxBatchBody / maxBody); err != nil {
			return nil, err
		}
	}
	if err == nil {
		var rest []byte
		rest, err = io.ReadAll(from)
		body = append(body, rest...)
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, domain.NewError(domain.CodeTooLarge, "the body is larger than %d bytes", limit).With("max_bytes", limit)
	case err != nil:
		return nil, domain.Invalid("body", "could not be read to its end")
	}
	return body, nil
}
