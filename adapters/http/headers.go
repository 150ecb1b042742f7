package http

import "net/http"

// Content security policies. Answers of the API are data, so they may load nothing and may not be
// framed. The documentation may load its own files.
const (
	policyOfAPI  = "default-src 'none'; frame-ancestors 'none'"
	policyOfDocs = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
		"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

// secured sets the headers that limit what browsers and caches may do with an answer. Handlers that
// need other values overwrite them.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", policyOfAPI)
		h.Set("Cache-Control", "no-store")
		if r.TLS != nil { // otherwise a proxy ends TLS, which decides
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}
