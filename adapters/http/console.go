package http

import (
	"net/http"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/niyanta/niyanta/core/domain"
)

// mountConsole mounts the web console. Its files need no key: what it shows, it asks the API for.
func (a *api) mountConsole(r chi.Router) {
	r.Get("/", func(w http.ResponseWriter, r *http.Request) {
		if a.Console == nil {
			http.Redirect(w, r, "/docs", http.StatusFound)
			return
		}
		a.Console(w, r, "")
	})
	r.Get("/console/{file}", func(w http.ResponseWriter, r *http.Request) {
		if a.Console == nil || !a.Console(w, r, chi.URLParam(r, "file")) {
			a.fail(w, r, domain.NotFound("file"))
		}
	})
}

// notFound answers where no route is. Browsers get the console there, which has its own page for
// each of its paths, and one that says that there is none. Everybody else gets a 404.
func (a *api) notFound(w http.ResponseWriter, r *http.Request) {
	if a.Console == nil || !opensPage(r) {
		a.fail(w, r, errNoRoute(r))
		return
	}
	scopeOf(r.Context()).op, _ = a.ops.of(http.MethodGet, "/")
	w.Header().Set("Vary", "Accept")
	a.Console(w, r, "")
}

// opensPage reports whether a browser opens a page, at a path that is not the API's.
func opensPage(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) &&
		strings.Contains(r.Header.Get("Accept"), "text/html") &&
		r.URL.Path != "/v1" && !strings.HasPrefix(r.URL.Path, "/v1/") && !strings.HasPrefix(r.URL.Path, "/console/")
}
