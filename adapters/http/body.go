package http

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"unicode/utf8"

	"github.com/niyanta/niyanta/core/domain"
)

const (
	maxBody  = 1 << 20
	maxDepth = 64
	// maxWorkerBody bounds the worker protocol: a thousand reports with their results and log lines.
	maxWorkerBody = 32 << 20
)

// guardBody refuses hostile bodies before anything decodes them: of another type than the operation takes, too large, too deep,
// compressed, not JSON, with keys twice, with NUL or broken UTF-8. Checkpoints are opaque and only bounded. Of reports, each is judged
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
			body = cleanReports(body)
		default:
			err = checkJSON(body)
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
	if scopeOf(r.Context()).op.tag == "worker" {
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

// checkJSON accepts one well-formed JSON value.
func checkJSON(body []byte) error {
	if !utf8.Valid(body) {
		return domain.Invalid("body", "must be valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := walk(d); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return domain.Invalid("body", "must be one JSON value, with nothing behind it")
	}
	return nil
}

// level is one open object or array.
type level struct {
	keys    map[string]struct{} // nil for an array
	wantKey bool
}

// walk reads one value token by token.
func walk(d *json.Decoder) error {
	var open []level
	for {
		tok, err := d.Token()
		if err != nil {
			return domain.Invalid("body", "is not well-formed JSON: %v", err)
		}
		switch t := tok.(type) {
		case json.Delim:
			if t == '}' || t == ']' {
				open = open[:len(open)-1]
				break
			}
			if len(open) >= maxDepth {
				return domain.NewError(domain.CodeTooLarge, "the JSON is deeper than %d levels", maxDepth).With("max_depth", maxDepth)
			}
			if len(open) > 0 {
				open[len(open)-1].wantKey = true // what follows the value
			}
			l := level{}
			if t == '{' {
				l = level{keys: map[string]struct{}{}, wantKey: true}
			}
			open = append(open, l)
			continue
		case string:
			if err := checkString(open, t); err != nil {
				return err
			}
			if isKey(open) {
				open[len(open)-1].wantKey = false
				continue
			}
		}
		if len(open) == 0 {
			return nil
		}
		open[len(open)-1].wantKey = true
	}
}

func isKey(open []level) bool {
	return len(open) > 0 && open[len(open)-1].keys != nil && open[len(open)-1].wantKey
}

func checkString(open []level, s string) error {
	if bytes.IndexByte([]byte(s), 0) >= 0 {
		return domain.Invalid("body", "must not contain NUL characters")
	}
	if !isKey(open) {
		return nil
	}
	keys := open[len(open)-1].keys
	if _, twice := keys[s]; twice {
		return domain.Invalid(s, "stands twice in one object")
	}
	keys[s] = struct{}{}
	return nil
}
