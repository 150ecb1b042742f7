package bootstrap

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// requestsInARow is how many requests one sequence has.
const requestsInARow = 40

var (
	sameRequests = flag.Int("requests", 400, "how many generated requests are sent to both storages")
	requestsSeed = flag.Uint64("requests-seed", 1, "the seed of the generated requests")
)

// side is one of two servers that get the same requests.
type side struct {
	api                *api
	keys               map[string]string // by who
	customer           string
	workloads, configs []string
}

// TestAPI_OnGeneratedRequests_AnswersAlikeOnEachStorage sends the same requests, most of them wrong
// in some way, to a coordinator in memory and to one on PostgreSQL. Both must answer alike but for
// ids, keys and times, and never with an error of their own.
func TestAPI_OnGeneratedRequests_AnswersAlikeOnEachStorage(t *testing.T) {
	require.NoError(t, flag.Set("rapid.checks", strconv.Itoa((*sameRequests+requestsInARow-1)/requestsInARow)))
	require.NoError(t, flag.Set("rapid.seed", strconv.FormatUint(*requestsSeed, 10)))
	t.Cleanup(func() { _ = flag.Set("rapid.seed", "0") }) // other tests choose their own
	stored, _ := newPostgresAPI(t, 0)
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0"})
	require.NoError(t, err)
	inMemory, err := newDevOn(context.Background(), cfg, 0, "test", silent, newMemoryApp)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, inMemory.Close(context.Background())) })
	both := []*side{{api: newAPIOf(t, inMemory)}, {api: stored}}
	n, done := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		for _, s := range both {
			s.begin(fmt.Sprint("cust_same", n))
		}
		m := maker{rt}
		for range requestsInARow {
			g := m.request()
			memory, onPostgres := both[0].send(rt, g), both[1].send(rt, g)
			told := fmt.Sprintf("%s %s %q\nbody %q\nmemory: %d %s\npostgres: %d %s", g.who, g.method, g.path, g.body,
				memory.status, memory.body, onPostgres.status, onPostgres.body)
			if memory.status >= 500 || memory.status != onPostgres.status {
				rt.Fatal(told)
			}
			if memory.status < 300 {
				done++
			}
			if a, b := both[0].plain(memory), both[1].plain(onPostgres); a != b {
				rt.Fatalf("%s\nare\n%s\n%s", told, a, b)
			}
		}
	})
	require.Greater(t, done, n*requestsInARow/10, "enough of the requests are right")
	t.Logf("%d sequences of %d requests, %d of them successful", n, requestsInARow, done)
}

// begin gives the side a new customer.
func (s *side) begin(customer string) {
	s.customer, s.workloads, s.configs = customer, nil, nil
	s.keys = map[string]string{"": "", "admin": s.api.dev.AdminKey, "customer": s.api.tenant(customer, map[string]any{
		"rate_limit_per_sec": 100_000, "burst": 100_000,
	})}
	made := s.api.call("POST", "/v1/admin/customers/"+customer+"/keys", s.api.dev.AdminKey,
		map[string]any{"role": "viewer", "name": "v"})
	s.keys["viewer"], _ = made.field("key").(string)
	require.NotEmpty(s.api, s.keys["viewer"], made.body)
}

// send sends a request, and remembers what it has made.
func (s *side) send(t *rapid.T, g generated) answer {
	pick := func(made []string, none string) string {
		if len(made) == 0 || g.item%7 == 0 {
			return none
		}
		return made[g.item%len(made)]
	}
	named := strings.NewReplacer(someWorkload, pick(s.workloads, "wl_missing"), someConfig,
		pick(s.configs, "wlcfg_missing"), ownCustomer, s.customer)
	req, err := http.NewRequestWithContext(s.api.Context(), g.method, s.api.dev.App.URL()+named.Replace(g.path), nil)
	if err != nil {
		t.Fatal(err)
	}
	if g.body != "" {
		body := named.Replace(g.body)
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		req.Header.Set("Content-Type", "application/json")
	}
	if key := s.keys[g.who]; key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := s.api.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	ans := answer{status: resp.StatusCode, header: resp.Header, body: string(text)}
	if g.method == http.MethodPost && ans.status < 300 {
		if id, ok := ans.field("workload_id").(string); ok && g.path == "/v1/workloads" {
			s.workloads = append(s.workloads, id)
		}
		if id, ok := ans.field("config_id").(string); ok && g.path == "/v1/workload-configs" {
			s.configs = append(s.configs, id)
		}
	}
	return ans
}

var (
	// changing are the fields whose values differ between two servers.
	changing = regexp.MustCompile(`^(key|csrf_token|.*cursor|ticket|request_id|event_id|timestamp|.*_at|` +
		`estimated_.*|.*(wait|execution|executed|age)_seconds)$`)
	ids      = regexp.MustCompile(`\b(wl|wlcfg|key|req|coord)_[0-9a-z]{10,}`)
	instants = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
)

// plain returns a body without what differs between two servers.
func (s *side) plain(a answer) string {
	text := instants.ReplaceAllString(ids.ReplaceAllString(a.body, "${1}_…"), "…")
	for name, key := range s.keys {
		if key != "" {
			text = strings.ReplaceAll(text, key, name)
		}
	}
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return text
	}
	b, err := json.Marshal(without(v))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// without returns a value in which what changes is replaced by its type.
func without(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			reason, _ := v[name].(string)
			switch {
			case changing.MatchString(name) && v[name] != nil:
				v[name] = fmt.Sprintf("%T", v[name])
			case name == "status_reason" && strings.HasPrefix(reason, "no worker can run it"):
				v[name] = nil // the scheduler states it in its own time
			default:
				v[name] = without(v[name])
			}
		}
	case []any:
		for i := range v {
			v[i] = without(v[i])
		}
	}
	return v
}
