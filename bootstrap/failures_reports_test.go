package bootstrap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// linesOfARun is the number of lines that the act "talk" writes.
const linesOfARun = 11

// reportActs returns acts that test the reports of runs.
func reportActs() map[string]act {
	all := map[string]act{
		"talk": func(_ context.Context, _ ports.Task, p ports.Progress) (domain.JSON, error) {
			for i := range linesOfARun {
				p.Log(ports.LogEntry{Message: fmt.Sprint("line ", i)})
			}
			return `{"said":"all"}`, nil
		},
		"odd progress": func(ctx context.Context, _ ports.Task, p ports.Progress) (domain.JSON, error) {
			for _, percent := range []float64{math.NaN(), math.Inf(1), -5, 150, 1e300} {
				p.Report(percent, "a\x00b\xff")
				if err := p.Checkpoint(ctx, []byte("x"), &percent, "a\x00b\xff"+strings.Repeat("é", 5000)); err != nil {
					return "", err
				}
			}
			p.Log(ports.LogEntry{Level: "FATAL", Message: "known"})
			p.Log(ports.LogEntry{
				Level: "banana\x00", Stream: "\xff", Message: "unknown",
				At: time.Date(20_000, 1, 1, 0, 0, 0, 0, time.UTC),
			})
			return "", nil
		},
	}
	for name, result := range contracttests.OddResults() {
		all["result: "+name] = func(context.Context, ports.Task, ports.Progress) (domain.JSON, error) {
			return result, nil
		}
	}
	for name, message := range contracttests.OddMessages() {
		all["failure: "+name] = func(context.Context, ports.Task, ports.Progress) (domain.JSON, error) {
			return "", &ports.RunError{Type: "odd\x00", Permanent: true, Err: errors.New(message)}
		}
		all["transient failure: "+name] = func(context.Context, ports.Task, ports.Progress) (domain.JSON, error) {
			hour := time.Hour
			return "", &ports.RunError{RetryAfter: &hour, Err: errors.New(message)}
		}
	}
	return all
}

// reportFailures are failures in the handling of reports.
func reportFailures() []failureKind {
	return []failureKind{
		{"a run that succeeds is COMPLETED, whatever it returned", func(t *testing.T, a *arena) {
			ids := map[string]string{}
			for name := range contracttests.OddResults() {
				ids[name] = a.submit(t, "result: "+name)
			}
			for name, result := range contracttests.OddResults() {
				w := final(t, a.Client, ids[name])
				require.Equal(t, niyanta.Status("COMPLETED"), w.Status, "%s: %v", name, w.ErrorMessage)
				require.Zero(t, w.RetryCount, name)
				kept := a.stored(t, ids[name]).Result
				if name == "2 MiB" || name == "exactly 1 MiB" { // the transport may have a lower limit
					require.Contains(t, []bool{kept == domain.CleanResult(result),
						strings.Contains(string(kept), string(domain.FlawTooLarge))}, true, name)
				} else {
					require.Equal(t, domain.CleanResult(result), kept, name)
				}
				if kept != "" {
					require.JSONEq(t, string(kept), string(w.ResultData), name)
				}
			}
		}},
		{"a failure keeps its message", func(t *testing.T, a *arena) {
			ids := map[string]string{}
			for name := range contracttests.OddMessages() {
				ids[name], ids["transient "+name] = a.submit(t, "failure: "+name),
					a.submit(t, "transient failure: "+name)
			}
			for name, message := range contracttests.OddMessages() {
				w := final(t, a.Client, ids[name])
				require.Equal(t, niyanta.Status("FAILED"), w.Status, name)
				require.Zero(t, w.RetryCount, name)
				require.Equal(t, domain.Failure{Type: "odd", Message: message, Permanent: true}.Clean(),
					*a.stored(t, ids[name]).Failure, name)
				require.Equal(t, domain.CleanAndCut(message, domain.MaxFailureMessage), *w.ErrorMessage, name)
				require.Eventually(t, func() bool { return a.stored(t, ids["transient "+name]).RetryCount == 1 },
					30*time.Second, 5*time.Millisecond, name)
				again := a.stored(t, ids["transient "+name])
				require.Equal(t, domain.StatusPending, again.Status, name)
				require.Equal(t, domain.Failure{Type: "error", Message: message}.Clean(), *again.Failure, name)
			}
		}},
		{"odd progress, levels and times cost a run nothing", func(t *testing.T, a *arena) {
			id := a.submit(t, "odd progress")
			require.Equal(t, niyanta.Status("COMPLETED"), final(t, a.Client, id).Status)
			require.Equal(t, int64(5), a.stored(t, id).CheckpointSequence)
			log, err := a.Logs(t.Context(), id, niyanta.LogParams{})
			require.NoError(t, err)
			require.Len(t, log.Logs, 2)
			for i, want := range []niyanta.LogLevel{niyanta.LogError, niyanta.LogInfo} {
				require.Equal(t, want, log.Logs[i].Level)
				require.WithinDuration(t, time.Now(), log.Logs[i].Timestamp, time.Minute)
			}
		}},
		{"whoever sees that a run is COMPLETED sees its lines", func(t *testing.T, a *arena) {
			const readers = 24
			runs := 100
			if a.transport == "direct" {
				runs = 1000
			}
			input := json.RawMessage(`{"act":"talk"}`)
			ids := submitAll(t, a.Client, slices.Repeat([]niyanta.Submission{{WorkloadType: "act", InputParams: input}},
				runs))
			work := make(chan string)
			var wg sync.WaitGroup
			for range readers {
				wg.Go(func() {
					for id := range work {
						w, err := a.Wait(t.Context(), id, 30*time.Second)
						if err != nil || w.Status != "COMPLETED" {
							t.Errorf("%s is %s: %v", id, w.Status, err)
							continue
						}
						log, err := a.Logs(t.Context(), id, niyanta.LogParams{})
						if err != nil {
							t.Errorf("logs of %s: %v", id, err)
						}
						assert.Len(t, log.Logs, linesOfARun, id)
					}
				})
			}
			for _, id := range ids {
				work <- id
			}
			close(work)
			wg.Wait()
		}},
	}
}

// foreign is a worker in another language. The tests choose every byte that it sends.
type foreign struct {
	t    *testing.T
	a    *arena
	kind string // the workload type that it offers
	id   string
}

func (f *foreign) post(path, contentType, body string) (int, map[string]any) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, f.a.App.URL()+path, strings.NewReader(body))
	require.NoError(f.t, err)
	req.Header.Set("Authorization", "Bearer "+f.a.WorkerKey)
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(f.t, err)
	raw, err := io.ReadAll(resp.Body)
	require.NoError(f.t, errors.Join(err, resp.Body.Close()))
	var out map[string]any
	require.NoError(f.t, json.NewDecoder(bytes.NewReader(raw)).Decode(&out), "%s", raw)
	return resp.StatusCode, out
}

// ok posts JSON that must be accepted.
func (f *foreign) ok(path, body string) map[string]any {
	f.t.Helper()
	status, out := f.post(path, "application/json", body)
	require.Equal(f.t, http.StatusOK, status, "%s: %v", path, out)
	return out
}

// session returns the members of a body that name the worker and its session.
func (f *foreign) session() string { return fmt.Sprintf(`"worker_id":%q,"session_id":%q`, f.id, f.id) }

// joinForeign registers a foreign worker that offers a type of its own.
func joinForeign(t *testing.T, a *arena, kind string) *foreign {
	t.Helper()
	f := &foreign{t: t, a: a, kind: kind, id: "foreign-" + kind}
	f.ok("/v1/worker/register", `{`+f.session()+`,"capabilities":["`+kind+`"],"slots":500,"shoe_size":44}`)
	t.Cleanup(func() {
		require.NoError(t, a.App.coordinator.Plane.RemoveWorker(context.WithoutCancel(t.Context()),
			domain.WorkerID(f.id), domain.Admin{KeyID: "key_admin"}))
	})
	return f
}

// take submits n workloads, and polls until all are assigned to the worker. It returns their ids
// and generations.
func (f *foreign) take(n int) (ids []string, generation map[string]int64) {
	f.t.Helper()
	submitAll(f.t, f.a.Client, slices.Repeat([]niyanta.Submission{{WorkloadType: f.kind,
		InputParams: json.RawMessage(`{}`)}}, n))
	generation = map[string]int64{}
	for begin := time.Now(); len(generation) < n; {
		require.Less(f.t, time.Since(begin), time.Minute)
		out := f.ok("/v1/worker/poll", `{`+f.session()+`,"wait_ms":2000,"mood":"good"}`)
		for _, c := range out["commands"].([]any) {
			if as, ok := c.(map[string]any)["assignment"].(map[string]any); ok {
				generation[as["workload_id"].(string)] = int64(as["generation"].(float64))
			}
		}
	}
	return slices.Sorted(maps.Keys(generation)), generation
}

// report posts reports, unchanged, and returns their outcomes.
func (f *foreign) report(reports ...string) []string {
	f.t.Helper()
	out := f.ok("/v1/worker/report", `{`+f.session()+`,"reports":[`+strings.Join(reports,
		",")+`],"weather":{"fine":true}}`)
	answers, ok := out["answers"].([]any)
	require.True(f.t, ok)
	require.Len(f.t, answers, len(reports))
	outcomes := make([]string, len(answers))
	for i, ans := range answers {
		outcomes[i], _ = ans.(map[string]any)["outcome"].(string)
		if outcomes[i] != "applied" && outcomes[i] != "already" {
			assert.NotEmpty(f.t, ans.(map[string]any)["reason"], "%d: %s", i, outcomes[i])
		}
	}
	return outcomes
}

func says(id string, generation int64, rest string) string {
	return fmt.Sprintf(`{"report_id":"r","workload_id":%q,"generation":%d,%s}`, id, generation, rest)
}

// foreignWorkerFailures are failures with requests of workers in other languages, over HTTP.
func foreignWorkerFailures() []failureKind {
	return []failureKind{
		{"what a foreign worker returns lands, byte for byte", func(t *testing.T, a *arena) {
			f := joinForeign(t, a, "raw")
			results := contracttests.OddResults()
			delete(results, "none")
			delete(results, "not JSON")  // the whole body would not be JSON
			delete(results, "a raw NUL") // neither would a body with a raw control character
			results["garbage"] = `{"a":tru}`
			names := slices.Sorted(maps.Keys(results))
			ids, generation := f.take(len(names))
			reports := make([]string, len(names))
			for i, name := range names {
				reports[i] = says(ids[i], generation[ids[i]], `"event":"complete","result":`+string(results[name]))
			}
			require.Equal(t, slices.Repeat([]string{"applied"}, len(names)), f.report(reports...))
			for i, name := range names {
				got := a.stored(t, ids[i])
				require.Equal(t, domain.StatusCompleted, got.Status, name)
				require.Equal(t, domain.CleanResult(results[name]), got.Result, name)
			}
		}},
		{"one bad report costs its 99 neighbours nothing", func(t *testing.T, a *arena) {
			f := joinForeign(t, a, "batch")
			bad := []string{
				`"event":"progress","progress_percent":150`, `"event":"dance"`,
				`"event":"progress","progress_percent":"half"`, `"event":7`,
				`"event":"log","lines":[{"level":"banana","message":"x"}]`, `"event":"log","lines":"x"`,
				`"event":"fail","failure":"boom"`, `"event":tru`,
				`"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000),
			}
			ids, generation := f.take(100)
			require.Equal(t, slices.Repeat([]string{"applied"}, 100),
				f.report(mapped(ids, func(id string) string { return says(id, generation[id], `"event":"start"`) })...))
			reports := mapped(ids, func(id string) string {
				return says(id, generation[id],
					`"event":"fail","failure":{"type":"t\u0000","message":"no\u0000 space","permanent":true}`)
			})
			for i, b := range bad {
				reports[i*7] = says(ids[i*7], generation[ids[i*7]], b)
			}
			outcomes := f.report(reports...)
			for i, id := range ids {
				got := a.stored(t, id)
				if i%7 == 0 && i/7 < len(bad) {
					require.Equal(t, "illegal", outcomes[i], bad[i/7])
					require.Equal(t, domain.StatusRunning, got.Status)
					require.Zero(t, got.ProgressPercent)
					continue
				}
				require.Equal(t, "applied", outcomes[i])
				require.Equal(t, domain.Failure{Type: "t", Message: "no space", Permanent: true}, *got.Failure)
			}
		}},
		{"a checkpoint is its live holder's", func(t *testing.T, a *arena) {
			f := joinForeign(t, a, "saver")
			ids, generation := f.take(1)
			id := ids[0]
			require.Equal(t, []string{"applied"}, f.report(says(id, generation[id], `"event":"start"`)))
			checkpoint := func(method, query, contentType string) (int, string) {
				t.Helper()
				url := fmt.Sprintf("%s/v1/worker/workloads/%s/checkpoints/1?generation=%d&%s", a.App.URL(), id,
					generation[id], query)
				req, err := http.NewRequestWithContext(t.Context(), method, url,
					strings.NewReader(map[string]string{http.MethodPut: "secret"}[method]))
				require.NoError(t, err)
				req.Header.Set("Authorization", "Bearer "+a.WorkerKey)
				req.Header.Set("Content-Type", contentType)
				resp, err := http.DefaultClient.Do(req)
				require.NoError(t, err)
				raw, err := io.ReadAll(resp.Body)
				require.NoError(t, errors.Join(err, resp.Body.Close()))
				return resp.StatusCode, string(raw)
			}
			const octets = "application/octet-stream"
			mine := "worker_id=" + f.id + "&session_id=" + f.id
			for query, want := range map[string]int{
				mine + "&progress_percent=150": 400, mine + "&progress_percent=NaN": 400,
				mine + "&progress_percent=50": 200,
			} {
				status, body := checkpoint(http.MethodPut, query, octets)
				require.Equal(t, want, status, "%s: %s", query, body)
			}
			for _, contentType := range []string{"application/json", "text/plain", ""} {
				status, _ := checkpoint(http.MethodPut, mine, contentType)
				require.Equal(t, http.StatusBadRequest, status, contentType)
			}
			others := map[string]int{
				"worker_id=" + f.id + "&session_id=": 400, "worker_id=" + f.id: 400,
				"worker_id=&session_id=" + f.id: 400, "worker_id=" + f.id + "&session_id=%00": 400,
				"worker_id=" + f.id + "&session_id=another": 409, "worker_id=another&session_id=" + f.id: 409,
			}
			status, body := checkpoint(http.MethodGet, mine, "")
			require.Equal(t, http.StatusOK, status, body)
			require.Equal(t, "secret", body)
			for range 2 { // while the workload is held, and after its end, when it has no session
				for query, want := range others {
					status, body := checkpoint(http.MethodGet, query, "")
					require.Equal(t, want, status, "%s: %s", query, body)
					require.NotContains(t, body, "secret")
				}
				require.Contains(t, []string{"applied", "already"},
					f.report(says(id, generation[id], `"event":"complete"`))[0])
			}
			status, body = checkpoint(http.MethodGet, mine, "")
			require.Equal(t, http.StatusConflict, status, body)
		}},
		{"worker routes take what they say, and nothing else", func(t *testing.T, a *arena) {
			f := joinForeign(t, a, "routes")
			good := map[string]string{
				"/v1/worker/register":  `{` + f.session() + `,"capabilities":["routes"],"slots":1}`,
				"/v1/worker/heartbeat": `{` + f.session() + `,"free_slots":1,"inventory":[]}`,
				"/v1/worker/poll":      `{` + f.session() + `,"wait_ms":1}`,
				"/v1/worker/report": `{` + f.session() +
					`,"reports":[{"workload_id":"wl_x","generation":1,"event":"start"}]}`,
			}
			for path, body := range good {
				f.ok(path, body)
				for _, contentType := range []string{
					"application/octet-stream", "text/plain", "application/x-www-form-urlencoded",
					"application/json, text/plain", "",
				} {
					status, out := f.post(path, contentType, body)
					require.Equal(t, http.StatusBadRequest, status, "%s as %q: %v", path, contentType, out)
				}
			}
			for path, bodies := range map[string][]string{
				"/v1/worker/register": {
					`{` + f.session() + `,"capabilities":"x","slots":1}`,
					`{` + f.session() + `,"capabilities":["x"],"slots":0}`,
					`{"worker_id":"","session_id":"","capabilities":["x"],"slots":1}`, `{}`, `[]`,
				},
				"/v1/worker/heartbeat": {
					`{` + f.session() + `,"free_slots":1}`, `{` + f.session() +
						`,"free_slots":1,"inventory":[{"workload_id":"wl_1","generation":1,"state":"dancing"}]}`,
					`{"worker_id":"","session_id":"","free_slots":1,"inventory":[]}`,
					`{` + f.session() + `,"free_slots":"many","inventory":[]}`,
				},
				"/v1/worker/poll": {
					`{"worker_id":"` + f.id + `","session_id":""}`, `{` + f.session() + `,"wait_ms":"long"}`, `{}`,
				},
				"/v1/worker/report": {
					`{"worker_id":"` + f.id + `","session_id":"","reports":[]}`, `{` + f.session() + `,"reports":{}}`,
					`{` + f.session() + `,"reports":7}`, `{"reports":[{]}`, `{} {}`,
				},
			} {
				for _, body := range bodies {
					status, out := f.post(path, "application/json", body)
					require.Equal(t, http.StatusBadRequest, status, "%s %s: %v", path, body, out)
				}
			}
		}},
	}
}

func mapped(ids []string, f func(string) string) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = f(id)
	}
	return out
}
