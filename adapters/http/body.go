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
	// maxReportsBody bounds a thousand reports with their results and log lines, maxWorkerBody the rest of the worker protocol: the
	// inventory of a worker with as many slots as there may be.
	maxReportsBody = 32 << 20
	maxWorkerBody  = 4 << 20
)

// guardBody refuses hostile bodies before anything decodes them: of another type than the operation takes, too large, too deep,
// compressed, not JSON, with keys twice, with NUL, invalid UTF-8 or half a surrogate pair. Checkpoints are opaque and only bounded. Of reports, each is judged
// by itself, behind this guard.
func (a *api) guardBody(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		if enc := r.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
			a.fail(w, r, domain.Invalid("Content-Encoding", "%q is not accepted", enc))
			return
		}
		mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		op := scopeOf(r.Context()).op
		if err == nil && op.takesBytes() && mediaType == octets {
			r.Body = http.MaxBytesReader(w, r.Body, domain.MaxInlineCheckpoint+1)
			next.ServeHTTP(w, r)
			return
		}
		if want := op.mediaType(); err != nil || mediaType != want {
			a.fail(w, r, domain.Invalid("Content-Type", "must be %s", want))
			return
		}
		body, err := readBody(w, r)
		switch {
		case err != nil:
		case op.takesReports():
			body, err = cleanReports(body)
		default:
			body, err = scopeOf(r.Context()).accept(body)
		}
		if err != nil {
			a.fail(w, r, err)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
		next.ServeHTTP(w, r)
	})
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limit := int64(maxBody)
	switch op := scopeOf(r.Context()).op; {
	case op.takesReports():
		limit = maxReportsBody
	case op.tag == "worker":
		limit = maxWorkerBody
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, domain.NewError(domain.CodeTooLarge, "the body is larger than %d bytes", limit).With("max_bytes", limit)
	case err != nil:
		return nil, domain.Invalid("body", "could not be read to its end")
	}
	return body, nil
}
