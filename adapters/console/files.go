package console

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

const pageFile = "index.html"

// policy is the page's content security policy: nothing but the server's own files, and no code or
// style inside the page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
}

// file is one of the console's files, as it is and compressed. It is compressed when a browser first
// asks for it, so that a process starts at once.
type file struct {
	mediaType, tag string
	plain          []byte
	gzipped        func() []byte
}

// FileSet holds the console's files. They never change while the process runs.
type FileSet struct{ files map[string]file }

func newFileSet(files fs.FS) (*FileSet, error) {
	entries, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	s := &FileSet{files: map[string]file{}}
	for _, e := range entries {
		plain, err := fs.ReadFile(files, e.Name())
		if err != nil {
			return nil, err
		}
		mediaType, known := mediaTypes[path.Ext(e.Name())]
		if !known {
			return nil, fmt.Errorf("the console's file %s has no known media type", e.Name())
		}
		sum := sha256.Sum256(plain)
		s.files[e.Name()] = file{mediaType, hex.EncodeToString(sum[:8]), plain,
			sync.OnceValue(func() []byte { return compress(plain) })}
	}
	if _, built := s.files[pageFile]; !built {
		return nil, fmt.Errorf("the console has no %s: run make console", pageFile)
	}
	return s, nil
}

func compress(plain []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is one that it knows
	_, _ = w.Write(plain)                                   // a buffer takes all
	_ = w.Close()
	return out.Bytes()
}

// Serve answers with a file, or with the page if name is empty. It reports whether there is that
// file; if not, it has not answered. File names do not change with their content, so browsers
// revalidate them.
func (s *FileSet) Serve(w http.ResponseWriter, r *http.Request, name string) bool {
	f, known := s.files[cmp.Or(name, pageFile)]
	if !known || name == pageFile { // the page is at paths of its own
		return false
	}
	body, tag := f.plain, `"`+f.tag+`"`
	header := w.Header()
	header.Add("Vary", "Accept-Encoding")
	if acceptsGzip(r) {
		body, tag = f.gzipped(), `"`+f.tag+`-gzip"`
	}
	header.Set("Content-Security-Policy", policy)
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", tag)
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	if acceptsGzip(r) {
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("Content-Type", f.mediaType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client has gone; nobody to tell
	}
	return true
}

// acceptsGzip reports whether the client takes compressed answers.
func acceptsGzip(r *http.Request) bool {
	for _, v := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(v), ";")
		if strings.TrimSpace(name) == "gzip" {
			return strings.TrimSpace(q) != "q=0"
		}
	}
	return false
}
