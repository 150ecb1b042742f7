package http

import (
	"context"
	"net"
	"net/http"
	"strings"

	"github.com/niyanta/niyanta/core/domain"
)

// saneRequestID accepts what is safe to repeat in headers and logs.
func saneRequestID(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for _, r := range id {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-", r) {
			return false
		}
	}
	return true
}

// maxForwarded bounds what is kept of X-Forwarded-For, in bytes.
const maxForwarded = 200

// originOf returns a scope that says where the request came from.
func originOf(r *http.Request) *scope {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	forwarded := strings.Join(r.Header.Values("X-Forwarded-For"), ", ")
	return &scope{
		method: r.Method, address: address, forwarded: domain.CleanAndCut(forwarded, maxForwarded), secure: overTLS(r),
	}
}

// requestID accepts the client's request id or makes one. It also gives the path one form, the
// escaped one: the router splits it before anything is decoded, and each variable is decoded once.
func (a *api) requestID(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-ID")
		if !saneRequestID(id) {
			id = a.IDs.New("req_")
		}
		w.Header().Set("X-Request-ID", id)
		ctx := context.WithValue(r.Context(), keyRequestID, id)
		r = r.WithContext(context.WithValue(ctx, keyScope, originOf(r)))
		path := *r.URL
		path.RawPath = r.URL.EscapedPath()
		r.URL = &path
		next.ServeHTTP(w, r)
	})
}
