package client

import (
	"net/http"

	"github.com/niyanta/niyanta/core/ports"
)

// SendOrigin has a request carry the origin of its context, so that it belongs to the same trace and
// the logs of coordinators name the same request. Headers that are set already stay.
func SendOrigin(req *http.Request) {
	o := ports.OriginOf(req.Context())
	for name, value := range map[string]string{"Traceparent": o.Trace.String(), "X-Request-Id": o.RequestID} {
		if value != "" && req.Header.Get(name) == "" {
			req.Header.Set(name, value)
		}
	}
}
