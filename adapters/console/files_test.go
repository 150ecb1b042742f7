//go:build !noconsole

package console

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func get(
	t *testing.T, s *FileSet, method, name string, headers ...string,
) (rec *httptest.ResponseRecorder, known bool) {
	t.Helper()
	r := httptest.NewRequest(method, "/", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	rec = httptest.NewRecorder()
	return rec, s.Serve(rec, r, name)
}

func TestFiles_TheEmbeddedConsole_IsServedWholeToABrowser(t *testing.T) {
	s, err := Files()
	require.NoError(t, err)
	page, known := get(t, s, "GET", "")
	require.True(t, known)
	require.Equal(t, "text/html; charset=utf-8", page.Header().Get("Content-Type"))
	for name := range s.files {
		if name == pageFile {
			_, known := get(t, s, "GET", name)
			require.False(t, known, "the page has paths of its own")
			continue
		}
		plain, known := get(t, s, "GET", name)
		require.True(t, known, name)
		require.Equal(t, "no-cache", plain.Header().Get("Cache-Control"), name)
		require.Empty(t, plain.Header().Get("Content-Encoding"), name)
		zipped, _ := get(t, s, "GET", name, "Accept-Encoding", "br, gzip;q=0.8")
		require.Equal(t, "gzip", zipped.Header().Get("Content-Encoding"), name)
		r, err := gzip.NewReader(zipped.Body)
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain.Body.Bytes(), text), name)
		require.NotEqual(t, plain.Header().Get("ETag"), zipped.Header().Get("ETag"), name)

		again, _ := get(t, s, "GET", name, "If-None-Match", plain.Header().Get("ETag"))
		require.Equal(t, http.StatusNotModified, again.Code, name)
		require.Zero(t, again.Body.Len(), name)
		head, _ := get(t, s, "HEAD", name)
		require.Zero(t, head.Body.Len(), name)
		require.Equal(t, plain.Header().Get("Content-Length"), head.Header().Get("Content-Length"), name)
	}
	for _, ref := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page.Body.String(), -1) {
		name, ours := strings.CutPrefix(ref[1], "/console/")
		require.True(t, ours, ref[1])
		require.Contains(t, s.files, name)
	}
}

// TestFiles_ThePolicy_AllowsNoCodeInThePage holds for the page that is built, too: it has none.
func TestFiles_ThePolicy_AllowsNoCodeInThePage(t *testing.T) {
	s, err := Files()
	require.NoError(t, err)
	page, _ := get(t, s, "GET", "")
	csp := page.Header().Get("Content-Security-Policy")
	require.Contains(t, csp, "default-src 'none'")
	require.NotContains(t, csp, "unsafe")
	require.NotContains(t, csp, "http")
	require.NotRegexp(t, `<script(?:[^>]*)>[^<]|<style|style="| on[a-z]+="|//[a-z]`, page.Body.String())
}

// TestFiles_TheFirstLoad_StaysBelow200kB counts what a browser fetches before it shows a page.
func TestFiles_TheFirstLoad_StaysBelow200kB(t *testing.T) {
	s, err := Files()
	require.NoError(t, err)
	page, _ := get(t, s, "GET", "")
	sum := len(s.files[pageFile].gzipped())
	for name, f := range s.files {
		if strings.Contains(page.Body.String(), "/"+name+`"`) {
			sum += len(f.gzipped())
		}
	}
	require.Greater(t, sum, 50_000)
	require.Less(t, sum, 200_000)
}

func TestFiles_WhenTheBuildIsIncomplete_SaySo(t *testing.T) {
	_, err := newFileSet(fstest.MapFS{"console.js": {}})
	require.ErrorContains(t, err, "make console")
	_, err = newFileSet(fstest.MapFS{pageFile: {}, "a.wasm": {}})
	require.ErrorContains(t, err, "a.wasm")
}
