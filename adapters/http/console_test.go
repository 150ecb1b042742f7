package http

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/http/gen"
)

// TestConsole_WhateverThePath_OnlyBrowsersThatOpenAPageGetIt tells the console's pages from paths
// that do not exist.
func TestConsole_WhateverThePath_OnlyBrowsersThatOpenAPageGetIt(t *testing.T) {
	s := newSurface(t)
	s.Console = func(w http.ResponseWriter, _ *http.Request, name string) bool {
		if name != "" && name != "console.js" {
			return false
		}
		_, _ = io.WriteString(w, "console:"+name)
		return true
	}
	var err error
	s.router, err = s.api.router(gen.Unimplemented{})
	require.NoError(t, err)
	const browser = "text/html,application/xhtml+xml,*/*;q=0.8"
	for _, c := range []struct {
		method, target, accept string
		status                 int
		body                   string
	}{
		{"GET", "/", "", 200, "console:"},
		{"GET", "/console/console.js", "", 200, "console:console.js"},
		{"GET", "/console/nothing.js", browser, 404, `{"error"`},
		{"GET", "/console/a/b", browser, 404, `{"error"`},
		{"GET", "/workloads/wl_a", browser, 200, "console:"},
		{"GET", "/workloads/wl_a", "*/*", 404, `{"error"`},
		{"GET", "/nowhere", browser, 200, "console:"},
		{"GET", "/v1/nowhere", browser, 404, `{"error"`},
		{"GET", "/v1", browser, 404, `{"error"`},
		{"POST", "/workloads", browser, 404, `{"error"`},
		{"GET", "/docs", browser, 200, "<!doctype html>"},
		{"GET", "/health", browser, 200, `{"status"`},
	} {
		rec := s.ask(t, c.method, c.target, "Accept", c.accept)
		require.Equal(t, c.status, rec.Code, c)
		require.Contains(t, rec.Body.String(), c.body, c)
	}
}
