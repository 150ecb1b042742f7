package http

import (
	"embed"
	"net/http"
	"path"

	"github.com/go-chi/chi/v5"

	"github.com/niyanta/niyanta/api/openapi"
	"github.com/niyanta/niyanta/core/domain"
)

// docs is the interactive documentation: Swagger UI 5.35.0 from npm's swagger-ui-dist. It is
// embedded so that it needs no CDN.
//
//go:embed docs
var docs embed.FS

// mediaTypes are those of the documentation's files, by their extension.
var mediaTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	"": "text/plain; charset=utf-8",
}

// mountDocs mounts the documentation and the OpenAPI file. Neither needs a key.
func (a *api) mountDocs(r chi.Router) {
	r.Get("/docs", func(w http.ResponseWriter, r *http.Request) {
		a.documentation(w, r, docsPage)
	})
	r.Get("/docs/{file}", func(w http.ResponseWriter, r *http.Request) {
		name := chi.URLParam(r, "file")
		if name == docsPage {
			name = "" // it lies at /docs
		}
		a.documentation(w, r, name)
	})
	r.Get("/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(openapi.YAML) // the client has gone; nobody to tell
	})
}

// docsPage is the file of the documentation's page.
const docsPage = "index.html"

// documentation answers with a file of the documentation. The files are the same for everybody, so
// browsers may keep them if they revalidate.
func (a *api) documentation(w http.ResponseWriter, r *http.Request, name string) {
	content, err := docs.ReadFile("docs/" + name)
	if err != nil {
		a.fail(w, r, domain.NotFound("file"))
		return
	}
	w.Header().Set("Content-Type", mediaTypes[path.Ext(name)])
	w.Header().Set("Content-Security-Policy", policyOfDocs)
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(content) // the client has gone; nobody to tell
}
