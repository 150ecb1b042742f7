package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// examined is a coordinator that the doctor examines. It is healthy unless changed.
type examined struct {
	health, ready func() (int, string)
	customer      func() (int, string)
	cancel        func() (int, string)
	workers       func() (int, string)
	worker        func() (int, string)
}

func answer(status int, body string) func() (int, string) {
	return func() (int, string) { return status, body }
}

func refusal(status int, code string) func() (int, string) {
	return answer(status, fmt.Sprintf(`{"error":{"code":%q,"message":"no","details":{},"request_id":"r"}}`, code))
}

func healthy(v string, at func() time.Time) func() (int, string) {
	return func() (int, string) {
		return http.StatusOK, fmt.Sprintf(`{"status":"healthy","timestamp":%q,"uptime_seconds":5,"version":%q}`,
			at().UTC().Format(time.RFC3339Nano), v)
	}
}

const (
	connected = `"broker":"connected","rate_limiter":"connected"`
	readyBody = `{"status":"ready","is_leader":true,"dependencies":{"database":"connected",` + connected +
		`,"leader_elected":true}}`
	unavailableBody = `{"status":"unavailable","is_leader":false,"dependencies":{"database":"disconnected",` + connected +
		`,"leader_elected":false}}`
	customerOf = `{"customer_id":"cust_a","name":"A","tier":"free","limits":{"max_queue_depth":10,` +
		`"max_concurrent_workloads":5},"usage":{"current_queue_depth":%d},"suspended_at":%s}`
	noWorkloads = `{"workloads":[],"pagination":{"limit":20,"has_more":false,"next_cursor":null}}`
	oneWorker   = `{"workers":[{"worker_id":"w1","status":%q,"capacity_total":10,"capacity_used":%d}],` +
		`"pagination":{"limit":100,"has_more":false,"next_cursor":null}}`
)

func (x examined) start(t *testing.T) *httptest.Server {
	t.Helper()
	routes := map[string]func() (int, string){
		"GET /health": x.health, "GET /ready": x.ready, "GET /v1/customer": x.customer,
		"POST /v1/workloads/wl_doctor/cancel": x.cancel, "GET /v1/admin/workers": x.workers,
		"GET /v1/admin/workers/doctor": x.worker, "GET /v1/workloads": answer(http.StatusOK, noWorkloads),
		"GET /v1/admin/workloads": answer(http.StatusOK, noWorkloads),
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := routes[r.Method+" "+r.URL.Path]
		if f == nil {
			t.Errorf("doctor asks for %s %s", r.Method, r.URL.Path)
			f = answer(http.StatusNotFound, "")
		}
		status, body := f()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return s
}

func TestDoctor_WhenSomethingIsWrong_NamesIt(t *testing.T) {
	now := time.Now
	later := func(d time.Duration) func() time.Time { return func() time.Time { return now().Add(d) } }
	customerIs := func(queued int, suspended string) func() (int, string) {
		return answer(http.StatusOK, fmt.Sprintf(customerOf, queued, suspended))
	}
	workersAre := func(status string, used int) func() (int, string) {
		return answer(http.StatusOK, fmt.Sprintf(oneWorker, status, used))
	}
	forbidden := refusal(http.StatusForbidden, "FORBIDDEN")
	noBroker := strings.NewReplacer(`"ready"`, `"degraded"`, `"broker":"connected"`, `"broker":"disconnected"`)
	noArchive := strings.NewReplacer(`"ready"`, `"degraded"`, `"leader_elected"`,
		`"archive":"disconnected","leader_elected"`)
	for name, x := range map[string]struct {
		change func(*examined)
		code   int
		want   []string // "check result: found or advice"
	}{
		"nothing": {func(*examined) {}, exitDone, []string{
			"reach ok: answers", "version ok", "clock ok", "ready ok", "key ok: role customer of cust_a",
			"customer ok: 0 of 10 wait",
		}},
		"a wrong key": {func(x *examined) { x.customer = refusal(http.StatusUnauthorized, "UNAUTHORIZED") }, exitError,
			[]string{"key problem: unknown, expired or revoked", "key problem: niyanta key create"}},
		"a viewer": {func(x *examined) { x.cancel = forbidden }, exitDone, []string{"key ok: role viewer"}},
		"an admin": {func(x *examined) { x.customer = forbidden }, exitDone,
			[]string{"key ok: role admin", "workers ok: 1 of 1 worker healthy"}},
		"no workers": {func(x *examined) { x.customer, x.workers = forbidden, workersAre("DEAD", 0) }, exitDone,
			[]string{"workers warning: start niyanta worker"}},
		"busy workers": {func(x *examined) { x.customer, x.workers = forbidden, workersAre("HEALTHY", 10) }, exitDone,
			[]string{"workers warning: add workers"}},
		"a worker's key": {func(x *examined) { x.customer, x.workers = forbidden, forbidden }, exitError,
			[]string{"key problem: it is a worker's"}},
		"a scaler's key": {func(x *examined) { x.customer, x.worker = forbidden, forbidden }, exitDone,
			[]string{"key warning: role scaler", "key warning: use a customer's key"}},
		"suspended": {func(x *examined) { x.customer = customerIs(0, `"2026-01-02T03:04:05Z"`) }, exitError,
			[]string{"customer problem: suspended", "customer problem: reactivate cust_a"}},
		"a full queue": {func(x *examined) { x.customer = customerIs(10, "null") }, exitDone,
			[]string{"customer warning: the queue is full"}},
		"a slow clock": {func(x *examined) { x.health = healthy(version, later(-time.Minute)) }, exitError,
			[]string{"clock problem: behind this machine's", "clock problem: NTP"}},
		"a fast clock": {func(x *examined) { x.health = healthy(version, later(time.Minute)) }, exitError,
			[]string{"clock problem: ahead of"}},
		"a good clock": {func(x *examined) { x.health = healthy(version, later(time.Second)) }, exitDone,
			[]string{"clock ok"}},
		"an old server": {func(x *examined) { x.health = answer(http.StatusOK, `{"status":"ok"}`) }, exitError,
			[]string{"version problem: older than this command", "version problem: upgrade"}},
		"another version": {func(x *examined) { x.health = healthy("v9", now) }, exitDone,
			[]string{"version warning: is v9, this command " + version}},
		"no database": {func(x *examined) { x.ready = answer(http.StatusServiceUnavailable, unavailableBody) }, exitError,
			[]string{"ready problem: the database is disconnected", "ready problem: no coordinator leads"}},
		"degraded": {func(x *examined) { x.ready = answer(http.StatusOK, noBroker.Replace(readyBody)) }, exitDone,
			[]string{"ready warning: the broker is disconnected"}},
		"no archive": {func(x *examined) { x.ready = answer(http.StatusOK, noArchive.Replace(readyBody)) }, exitDone,
			[]string{"ready warning: the archive is disconnected", "ready warning: NIYANTA_ARCHIVE_URL"}},
		"a key that a storage cannot use": {func(x *examined) {
			x.ready = answer(http.StatusOK, strings.Replace(readyBody, `"leader_elected"`,
				`"encryption_keys":"refused","leader_elected"`, 1))
		}, exitDone, []string{"ready ok", "encryption warning: cannot use the key of a customer",
			"encryption warning: --encryption-key none"}},
		"no coordinator": {func(x *examined) { x.health = answer(http.StatusNotFound, "<html>") }, exitError,
			[]string{"reach problem: 404", "reach problem: no coordinator"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := examined{healthy(version, now), answer(http.StatusOK, readyBody), customerIs(0, "null"),
				refusal(http.StatusNotFound, "NOT_FOUND"), workersAre("HEALTHY", 3), refusal(http.StatusNotFound, "NOT_FOUND")}
			x.change(&e)
			sh := shell{t, e.start(t).URL, "k"}
			for _, format := range []string{"table", "json"} {
				out, errs, code := sh.run("", "doctor", "-o", format)
				assert.Equal(t, x.code, code, "%s\n%s", out, errs)
				for _, want := range x.want {
					assertFound(t, format, out, want)
				}
			}
		})
	}
}

// assertFound checks that a check has that result, and that what it found or advises has that text.
func assertFound(t *testing.T, format, out, want string) {
	t.Helper()
	head, text, _ := strings.Cut(want, ": ")
	check, result, _ := strings.Cut(head, " ")
	if format == "table" {
		assert.Regexp(t, `(?m)^`+check+` +`+result+` `, out)
		assert.Contains(t, out, text)
		return
	}
	var list struct{ Findings []finding }
	require.NoError(t, json.Unmarshal([]byte(out), &list), out)
	for _, f := range list.Findings {
		if f.Check == check && f.Result == result && strings.Contains(f.Found+f.Advice, text) {
			return
		}
	}
	assert.Fail(t, "not found", "%s in %s", want, out)
}

func TestDoctor_WhenNothingAnswers_SaysWhy(t *testing.T) {
	sh := shell{t, "http://127.0.0.1:1", "k"}
	out, errs, code := sh.run("", "doctor")
	assert.Equal(t, exitError, code, errs)
	assertFound(t, "table", out, "reach problem: start a coordinator")
	assert.NotContains(t, out, "\nkey", "the key cannot be checked")
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	out, _, _ = shell{t, strings.Replace(plain.URL, "http:", "https:", 1), "k"}.run("", "doctor")
	assertFound(t, "table", out, "reach problem: use http://")
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	out, _, _ = shell{t, secure.URL, "k"}.run("", "doctor")
	assertFound(t, "table", out, "reach problem: not trusted")
}

func TestDoctor_OfContexts_FindsWrongPermissionsAndOverrides(t *testing.T) {
	d := newDesk(t)
	out, errs, code := d.run("", "doctor", "--url", "http://127.0.0.1:1")
	assert.Equal(t, exitError, code, errs)
	assertFound(t, "table", out, "key problem: niyanta context add")
	d.must("", "context", "add", "a", "--url", "http://127.0.0.1:1", "--api-key", "k")
	out, _, _ = d.run("", "doctor")
	assertFound(t, "table", out, "contexts ok")
	require.NoError(t, os.Chmod(d.file, 0o644))
	out, _, _ = d.run("", "doctor")
	assertFound(t, "table", out, "contexts problem: chmod 600 "+d.file)
	require.NoError(t, os.Chmod(d.file, 0o600))
	t.Setenv("NIYANTA_URL", "http://127.0.0.1:2")
	out, _, _ = d.run("", "doctor")
	assertFound(t, "table", out, "contexts warning: unset NIYANTA_URL")
}

func TestDoctor_OfAFleet_FindsNothing(t *testing.T) {
	sh, admin, _ := shells(t)
	for _, s := range []shell{sh, admin} {
		var list struct{ Findings []finding }
		s.json(&list, "doctor")
		for _, f := range list.Findings {
			assert.Equal(t, findingOK, f.Result, "%+v", f)
		}
	}
	_, errs, code := shell{t, sh.url, "wrong"}.run("", "doctor")
	assert.Equal(t, exitError, code, errs)
}
