package http

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/auditing"
	"github.com/niyanta/niyanta/core/services/lifecycle"
	"github.com/niyanta/niyanta/core/services/tenancy"
)

// knownKeys are the keys of one customer.
type knownKeys struct {
	ports.KeyStore
	byPrefix map[string]domain.APIKey
}

func (k knownKeys) ByPrefix(_ context.Context, prefixes ...string) (found []ports.FoundKey, err error) {
	for _, prefix := range prefixes {
		if key, ok := k.byPrefix[prefix]; ok {
			found = append(found, ports.FoundKey{APIKey: key, Usable: domain.KeyForever})
		}
	}
	return found, nil
}

type oneCustomer struct{ ports.CustomerStore }

func (oneCustomer) Get(context.Context, domain.CustomerID) (domain.Customer, error) {
	return domain.Customer{ID: "cust_a", Name: "A", Tier: domain.TierEnterprise}, nil
}

// everyWorkload has a workload of one customer under every id.
type everyWorkload struct{ ports.RetentionStore }

func (everyWorkload) Owners(
	_ context.Context, _ time.Duration, ids ...domain.WorkloadID,
) (map[domain.WorkloadID]domain.CustomerID, error) {
	out := map[domain.WorkloadID]domain.CustomerID{}
	for _, id := range ids {
		out[id] = "cust_a"
	}
	return out, nil
}

// forgetful records nothing of what administrators do.
type forgetful struct{ ports.AdminAuditStore }

func (forgetful) Record(context.Context, []domain.AdminEvent) error { return nil }

type generous struct{}

func (generous) Allow(context.Context, string, float64, int, int) (ports.RateDecision, error) {
	return ports.RateDecision{Allowed: true, Remaining: 1}, nil
}

type silent struct{ ports.Observer }

func (silent) Count(string, int) {}

const (
	adminSecret  = "admin-secret-0123456789-abcdefghij"
	workerSecret = "worker-secret-0123456789-abcdefghi"
)

// surface is the API with handlers that only say that they were reached: 501.
type surface struct {
	*api
	router chi.Router
	keys   map[domain.Role]string
	// method and route are the operation of the last request, as it was measured.
	method, route string
	status        int
}

func newSurface(tb testing.TB) *surface {
	tb.Helper()
	s := &surface{keys: map[domain.Role]string{domain.RoleAdmin: adminSecret, domain.RoleWorker: workerSecret}}
	stored := map[string]domain.APIKey{}
	for i, role := range []domain.Role{domain.RoleCustomer, domain.RoleViewer} {
		secret := domain.APIKey{CustomerID: "cust_a"}.Format([20]byte{byte(i)})
		prefix, _, ok := domain.KeyPrefix(secret)
		require.True(tb, ok)
		prefixed := domain.APIKey{ID: "key_a", CustomerID: "cust_a", Role: role, Prefix: prefix,
			Digest: sha256.Sum256([]byte(secret))}
		if old, taken := stored[prefix]; taken {
			require.Equal(tb, old, prefixed, "the two keys share a prefix")
		}
		stored[prefix], s.keys[role] = prefixed, secret
	}
	var err error
	s.api, err = newAPI(Deps{
		Tenancy: tenancy.New(tenancy.Config{AdminKey: adminSecret, WorkerKeys: []string{workerSecret}}, tenancy.Deps{
			Keys: knownKeys{byPrefix: stored}, Customers: oneCustomer{}, Limiter: generous{}, Clock: system.Clock{},
			IDs: system.IDs{},
		}),
		Lifecycle: lifecycle.New(lifecycle.Config{}, lifecycle.Deps{
			Workloads: struct{ ports.WorkloadStore }{}, Retention: everyWorkload{},
		}),
		Auditing: auditing.New(auditing.Deps{AdminAudit: forgetful{}, Clock: system.Clock{}}),
		InFlight: InFlight{
			Requests: 5, RequestsPerCustomer: 2, Waits: 3, WaitsPerCustomer: 1, WorkerRequests: 2, WorkerPolls: 1,
		},
		IDs: system.IDs{}, Observer: silent{}, Log: slog.New(slog.DiscardHandler), Stopping: tb.Context(),
		Metrics:   http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		Ready:     func(context.Context) Readiness { return Readiness{} },
		Throttled: func(domain.Tier, string) {},
		Measure: func(method, route string, status int, _ time.Duration) {
			s.method, s.route, s.status = method, route, status
		},
	})
	require.NoError(tb, err)
	s.router, err = s.api.router(gen.Unimplemented{})
	require.NoError(tb, err)
	return s
}

// send makes a request as the server would read it; ok is false when the server would refuse to.
func (s *surface) send(method, target, key string) (rec *httptest.ResponseRecorder, ok bool) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: x\r\n\r\n")))
	if err != nil {
		return nil, false
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if strings.Contains(target, "/niyanta.v1.") {
		r.Header.Set("Content-Type", "application/json")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(`{"workload_id":"x","worker_id":"x"}`)), -1
		if strings.Contains(target, "Stream") {
			r.Header.Set("Content-Type", "application/connect+json")
			r.Body = io.NopCloser(strings.NewReader("\x00\x00\x00\x00\x13" + `{"workload_id":"x"}`))
		}
	}
	rec = httptest.NewRecorder()
	s.router.ServeHTTP(rec, r)
	return rec, true
}

// segments are what may stand in place of a path's variable.
var segments = []string{"x", "a%2Fb", "a%2fb", "%2F", "%2f%2f", "..", "%2e%2e", "%2e%2e%2f", "a;b", "%3B", "a//b",
	"a%2525b", "%20", "é", "*"}

// spellings returns paths that a client may write in the hope of meeting a route by another way.
func spellings(pattern string) []string {
	var out []string
	for _, seg := range segments {
		p := pattern
		for strings.Contains(p, "{") {
			from, to := strings.Index(p, "{"), strings.Index(p, "}")
			p = p[:from] + seg + p[to+1:]
		}
		out = append(out, strings.ReplaceAll(p, "*", "x"))
		if p == pattern {
			break // it has no variable
		}
	}
	plain := out[0]
	if plain == "/" {
		return append(out, "//", "/.", "/..", "/%2e", "/?x=%2F", "http://other/", "*", "")
	}
	last := strings.LastIndexByte(plain, '/')
	return append(out, plain+"/", plain+"//", plain+"/.", plain+"/..", plain+";a=b", plain+"%2F", plain+"%00",
		plain+"?x=%2F", "/"+plain, "//x"+plain,
		"/."+plain, "/x/.."+plain, "/%2e%2e"+plain, "/%2F"+plain, "http://other"+plain, strings.ToUpper(plain),
		plain[:last]+"//"+plain[last+1:], plain[:last]+"%2F"+plain[last+1:], plain[:last]+"%2f"+plain[last+1:],
		plain[:last]+`\`+plain[last+1:],
		plain[:1]+fmt.Sprintf("%%%02x", plain[1])+plain[2:],
		plain[:last+1]+fmt.Sprintf("%%%02X", plain[last+1])+plain[last+2:])
}

// TestRoutes_HoweverAPathIsSpelled_RunNoHandlerWithoutItsRole is the table of routes x spellings x
// methods x keys, made from the router itself. What an answer may be follows from the operation
// that was resolved: none, the router's 404 or 405; an open one, its answer; any other one, 401
// without a good key, 403 with another role, and only with its role its handler.
func TestRoutes_HoweverAPathIsSpelled_RunNoHandlerWithoutItsRole(t *testing.T) {
	s := newSurface(t)
	keys := map[string]domain.Role{"": "", "nonsense": "",
		domain.APIKey{CustomerID: "cust_a"}.Format([20]byte{9}): "", adminSecret + "x": ""}
	for role, key := range s.keys {
		keys[key] = role
	}
	methods := []string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND",
		"get", "FOO"}
	sent, reached, refused := 0, map[string]bool{}, 0
	try := func(method, target, key string, role domain.Role) {
		s.route = "never measured"
		rec, ok := s.send(method, target, key)
		if !ok {
			return
		}
		sent++
		code, rpc := rec.Code, strings.Contains(target, "/niyanta.v1.")
		if rpc && s.route != "other" {
			code = s.status // protocols of RPCs have other ways to say it
		}
		what := fmt.Sprintf("%s %s as %q: %d", method, target, role, code)
		op, resolved := s.ops.of(s.method, s.route)
		operation := s.method + " " + s.route
		if rpc {
			operation = method + " " + target
		}
		switch {
		case s.route == "other":
			require.Contains(t, []int{404, 405}, code, what)
			require.Equal(t, code == 405, rec.Header().Get("Allow") != "", what)
		case !resolved:
			require.Fail(t, "an operation that is none", what)
		case op.open():
			require.Contains(t, []int{200, 301, 302, 404, 503}, code, what)
		case rpc && role != "" && slices.Contains(op.roles, role): // other statuses: it was no call
			require.Contains(t, []int{400, 404, 415, 501}, code, what)
			reached[operation] = reached[operation] || code == 501 || code == 400
		case op.isUpgrade() && strings.Contains(target, "?"): // a key in the URL, for all that is known
			require.Equal(t, 400, code, what)
		case role == "":
			require.Equal(t, 401, code, what)
			refused++
		case !slices.Contains(op.roles, role):
			require.Equal(t, 403, code, what)
			refused++
		case role == domain.RoleAdmin && op.namesWorkload(): // 404 if no workload can have the id
			require.Contains(t, []int{400, 404, 501}, code, what)
			reached[operation] = reached[operation] || code == 501
		default:
			require.Contains(t, []int{400, 501}, code, what)
			reached[operation] = true
		}
	}
	require.NoError(t, chi.Walk(s.router, func(method, pattern string, _ http.Handler,
		_ ...func(http.Handler) http.Handler) error {
		for i, target := range spellings(pattern) {
			for key, role := range keys {
				try(method, target, key, role)
			}
			for _, other := range methods {
				try(other, target, "", "")
				if i%8 == 0 {
					for role, key := range s.keys {
						try(other, target, key, role)
					}
				}
			}
		}
		return nil
	}))
	for key, op := range s.ops {
		if !op.open() {
			assert.True(t, reached[key], "%s was never let through, so the table proves nothing of it", key)
		}
	}
	require.Greater(t, sent, 20_000)
	require.Greater(t, refused, 3_000)
}

func TestRoutes_WhenAVariableHoldsAnEscapedSlash_KeepsItInTheVariable(t *testing.T) {
	s := newSurface(t)
	for _, c := range []struct{ method, target string }{
		{"DELETE", "/v1/admin/workers/a%2Fb"},
		{"PUT", "/v1/worker/workloads/a%2Fb/checkpoints/1?worker_id=w&session_id=s&generation=1"},
	} {
		rec, _ := s.send(c.method, c.target, "")
		require.Equal(t, 401, rec.Code, c.target)
		require.NotEqual(t, "other", s.route)
	}
}

func TestRoutes_WhenTheMethodIsWrong_NamesTheAllowedOnes(t *testing.T) {
	s := newSurface(t)
	for target, want := range map[string]string{
		"/v1/workloads": "GET, HEAD, POST", "/v1/workload-configs/x": "DELETE, GET, HEAD, PUT",
		"/health": "GET, HEAD", "/docs/start.js": "GET, HEAD", "/": "GET, HEAD",
		"/v1/workloads/a%2Fb/cancel": "POST",
	} {
		for _, method := range []string{"TRACE", "FOO", "get"} {
			rec, ok := s.send(method, target, "")
			require.True(t, ok)
			require.Equal(t, 405, rec.Code, "%s %s", method, target)
			require.Equal(t, want, rec.Header().Get("Allow"), target)
			require.Contains(t, rec.Body.String(), `"METHOD_NOT_ALLOWED"`)
		}
	}
	rec, _ := s.send("FOO", "/nowhere", "")
	require.Equal(t, 404, rec.Code)
	require.Empty(t, rec.Header().Get("Allow"))
}

// TestRoutes_WhenARouteHasNoOperation_AnswersNotFound removes rows: what is routed without an operation
// is denied, not let through.
func TestRoutes_WhenARouteHasNoOperation_AnswersNotFound(t *testing.T) {
	s := newSurface(t)
	for _, key := range []string{"GET /v1/customer", "GET /metrics"} {
		delete(s.ops, key)
	}
	for _, target := range []string{"/v1/customer", "/metrics"} {
		rec, _ := s.send("GET", target, adminSecret)
		require.Equal(t, 404, rec.Code, target)
	}
}

func TestRoutes_WhenThereIsNoConsole_RedirectTheRootToTheDocumentation(t *testing.T) {
	s := newSurface(t)
	for _, method := range []string{"GET", "HEAD"} {
		rec, _ := s.send(method, "/", "")
		require.Equal(t, 302, rec.Code, method)
		require.Equal(t, "/docs", rec.Header().Get("Location"), method)
		rec, _ = s.send(method, "/docs", "")
		require.Equal(t, 200, rec.Code, method)
	}
	rec, _ := s.send("POST", "/", "")
	require.Equal(t, 405, rec.Code)
}

// TestRoutes_WhenTheMethodIsHead_AnswerAsForGet covers keys and roles too: HEAD is no way around them.
func TestRoutes_WhenTheMethodIsHead_AnswerAsForGet(t *testing.T) {
	s := newSurface(t)
	for _, target := range []string{"/health", "/ready", "/metrics", "/docs/start.js", "/openapi.yaml",
		"/v1/workloads", "/v1/workloads/x", "/v1/admin/workers", "/nowhere"} {
		for _, key := range []string{"", s.keys[domain.RoleCustomer], s.keys[domain.RoleAdmin], s.keys[domain.RoleWorker]} {
			get, _ := s.send("GET", target, key)
			head, _ := s.send("HEAD", target, key)
			require.Equal(t, get.Code, head.Code, target)
			require.Equal(t, get.Header().Get("Content-Type"), head.Header().Get("Content-Type"), target)
		}
	}
	head, _ := s.send("HEAD", "/v1/workloads/x/cancel", s.keys[domain.RoleCustomer])
	require.Equal(t, 405, head.Code)
	require.Equal(t, "POST", head.Header().Get("Allow"))
}
