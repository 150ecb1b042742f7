package apispec

import (
	"compress/gzip"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// answered returns the answer to GET /v1/customer, which the cases of a test change.
func answered() (*http.Request, *http.Response, string) {
	header := http.Header{
		"Content-Type": {"application/json"}, "X-Request-Id": {"r"}, "X-Ratelimit-Limit": {"0.5"},
		"X-Ratelimit-Remaining": {"1"}, "X-Ratelimit-Reset": {"1767323046"}, "Cache-Control": {"no-store"},
	}
	return httptest.NewRequest(http.MethodGet, "/v1/customer", nil), &http.Response{StatusCode: 200, Header: header},
		`{"customer_id":"c","name":"n","tier":"free","preemptible":true,"suspended_at":null,
		  "created_at":"2026-01-02T03:04:05.600Z",
		  "limits":{"max_concurrent_workloads":1,"max_queue_depth":1,"rate_limit_per_sec":0.5,"burst":1},
		  "usage":{"current_running_workloads":0,"current_queue_depth":0,"workloads_today":0}}`
}

func TestSpec_OfTheHeadersOfAllAnswers_NamesEach(t *testing.T) {
	spec, err := Load()
	require.NoError(t, err)
	for _, name := range common {
		assert.Contains(t, spec.Info.Description, "`"+name+"`")
	}
}

func TestCheck_OfAnAnswerThatIsNotDeclared_SaysWhatIsNot(t *testing.T) {
	spec, err := Load()
	require.NoError(t, err)
	replace := func(from, to string) func(*http.Request, *http.Response, *string) {
		return func(_ *http.Request, _ *http.Response, body *string) {
			require.Contains(t, *body, from)
			*body = strings.ReplaceAll(*body, from, to)
		}
	}
	for want, change := range map[string]func(*http.Request, *http.Response, *string){
		"": func(*http.Request, *http.Response, *string) {},
		"the status is not declared": func(_ *http.Request, resp *http.Response, _ *string) {
			resp.StatusCode = http.StatusTeapot
		},
		"header X-New is not declared": func(_ *http.Request, resp *http.Response, _ *string) {
			resp.Header.Set("X-New", "1")
		},
		"header Strict-Transport-Security is \"max-age=1\"; over TLS: false": func(_ *http.Request, resp *http.Response,
			_ *string,
		) {
			resp.Header.Set("Strict-Transport-Security", "max-age=1")
		},
		"header Strict-Transport-Security is \"\"; over TLS: true": func(_ *http.Request, resp *http.Response, _ *string) {
			resp.TLS = &tls.ConnectionState{}
		},
		"header X-Ratelimit-Reset is missing": func(_ *http.Request, resp *http.Response, _ *string) {
			resp.Header.Del("X-RateLimit-Reset")
		},
		"header X-Ratelimit-Remaining: ": func(_ *http.Request, resp *http.Response, _ *string) {
			resp.Header.Set("X-RateLimit-Remaining", "-1")
		},
		"header X-Request-Id stands 2 times": func(_ *http.Request, resp *http.Response, _ *string) {
			resp.Header.Add("X-Request-ID", "another")
		},
		"content type text/html is not declared": func(_ *http.Request, resp *http.Response, _ *string) {
			resp.Header.Set("Content-Type", "text/html")
		},
		"a path that is not declared": func(req *http.Request, _ *http.Response, _ *string) {
			req.URL.Path = "/v1/customers"
		},
		`property "colour" is unsupported`: replace(`{"customer_id"`, `{"colour":1,"customer_id"`),
		`property "tier" is missing`:       replace(`"tier":"free",`, ``),
		"value is not one of the allowed":  replace(`"free"`, `"gold"`),
		"with milliseconds":                replace(`05.600Z`, `05.6Z`),
	} {
		t.Run(want, func(t *testing.T) {
			req, resp, body := answered()
			change(req, resp, &body)
			switch err := spec.Check(req, resp, []byte(body)); want {
			case "":
				require.NoError(t, err)
			case "a path that is not declared":
				require.Error(t, err)
			default:
				require.ErrorContains(t, err, want)
			}
		})
	}
}

func TestWatch_OfClientsOfTheDefaultTransport_FindsWhatIsNotDeclared(t *testing.T) {
	undeclared := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, resp, body := answered()
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		if r.URL.Path == "/elsewhere" {
			w.Header().Del("X-Request-ID") // another server
		}
		if undeclared {
			w.WriteHeader(http.StatusTeapot)
		}
		if r.URL.RawQuery == "compressed" {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = io.WriteString(z, body)
			_ = z.Close()
			return
		}
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	for _, undeclared = range []bool{false, true} {
		stop, err := Watch()
		require.NoError(t, err)
		transport := http.DefaultTransport.(*http.Transport).Clone()
		client := &http.Client{Transport: transport}
		for _, path := range []string{"/v1/customer", "/elsewhere", "/v1/customer?compressed"} {
			resp, err := client.Get(server.URL + path)
			require.NoError(t, err)
			_, err = io.Copy(io.Discard, resp.Body)
			require.NoError(t, err)
			require.NoError(t, resp.Body.Close())
		}
		checked, err := stop()
		transport.CloseIdleConnections()
		assert.Equal(t, 2, checked)
		if undeclared {
			require.ErrorContains(t, err, "GET /v1/customer answers 418")
		} else {
			require.NoError(t, err)
		}
	}
}
