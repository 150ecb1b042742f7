package http

import (
	"embed"
	"io/fs"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/api/openapi"
)

// docs is the interactive documentation: Swagger UI 5.35.0 from npm's swagger-ui-dist, so that it needs no CDN.
//
//go:embed docs
var docs embed.FS

// docsFiles is the route of the documentation's own files.
const docsFiles = "/docs/*"

// system mounts what needs no key.
func (a *api) system(r chi.Router) {
	r.Get("/health", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	r.Get("/ready", a.ready)
	r.Method(http.MethodGet, "/metrics", a.Metrics)
	r.Get("/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(openapi.YAML) // the client has gone; nobody to tell
	})
	r.Get("/docs", func(w http.ResponseWriter, r *http.Request) {
		documentation(w)
		http.ServeFileFS(w, r, docs, "docs/index.html")
	})
	files, err := fs.Sub(docs, "docs")
	if err != nil {
		files = docs // cannot happen: the folder is embedded
	}
	serve := http.StripPrefix("/docs/", http.FileServerFS(files))
	r.Get(docsFiles, func(w http.ResponseWriter, r *http.Request) {
		documentation(w)
		serve.ServeHTTP(w, r)
	})
}

// documentation sets the headers of the documentation's pages and files: they are the same for everybody, so that browsers may keep
// them, if they ask whether they still hold.
func documentation(w http.ResponseWriter) {
	w.Header().Set("Content-Security-Policy", policyOfDocs)
	w.Header().Set("Cache-Control", "no-cache")
}

func (a *api) ready(w http.ResponseWriter, r *http.Request) {
	state := a.Ready(r.Context())
	out := gen.Readiness{Status: state.status(a.Stopping.Err() != nil), IsLeader: state.Leader}
	d := &out.Dependencies
	d.Database, d.Broker = gen.ReadinessDependenciesDatabase(state.Database), gen.ReadinessDependenciesBroker(state.Broker)
	d.RateLimiter, d.LeaderElected = gen.ReadinessDependenciesRateLimiter(state.RateLimiter), state.LeaderElected
	if state.Replica != "" {
		replica := gen.ReadinessDependenciesReplica(state.Replica)
		d.Replica = &replica
	}
	status := http.StatusOK
	if out.Status == gen.Unavailable {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, out)
}
