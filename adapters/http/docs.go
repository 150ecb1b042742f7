package http

import (
	"embed"
	"io/fs"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/niyanta/niyanta/api/openapi"
)

// docs is the interactive documentation: Swagger UI 5.35.0 from npm's swagger-ui-dist. It is
// embedded so that it needs no CDN.
//
//go:embed docs
var docs embed.FS

// docsFiles is the route of the documentation's own files.
const docsFiles = "/docs/*"

// mountDocs mounts the documentation and the OpenAPI file. Neither needs a key.
func (a *api) mountDocs(r chi.Router) {
	files, err := fs.Sub(docs, "docs")
	if err != nil {
		files = docs // cannot happen: the folder is embedded
	}
	serve := http.StripPrefix("/docs/", http.FileServerFS(files))
	r.Get("/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/docs", http.StatusFound) // for now: another page may lie here one day
	})
	r.Get("/docs", func(w http.ResponseWriter, r *http.Request) {
		documentation(w)
		http.ServeFileFS(w, r, docs, "docs/index.html")
	})
	r.Get(docsFiles, func(w http.ResponseWriter, r *http.Request) {
		documentation(w)
		serve.ServeHTTP(w, r)
	})
	r.Get("/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(openapi.YAML) // the client has gone; nobody to tell
	})
}

// documentation sets the headers of the documentation's pages and files. They are the same for
// everybody, so browsers may keep them if they revalidate.
func documentation(w http.ResponseWriter) {
	w.Header().Set("Content-Security-Policy", policyOfDocs)
	w.Header().Set("Cache-Control", "no-cache")
}
