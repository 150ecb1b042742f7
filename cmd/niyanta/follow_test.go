package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// unreliable is a proxy in front of a coordinator.
type unreliable struct {
	url string
	// broken makes it close every connection, mute makes it hold every request.
	broken, mute atomic.Bool
	// drops is the number of answers to submissions that it will still lose.
	drops atomic.Int32
}

func inFrontOf(t *testing.T, coordinator string) *unreliable {
	t.Helper()
	u := &unreliable{}
	target, err := url.Parse(coordinator)
	require.NoError(t, err)
	forward := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for u.mute.Load() && r.Context().Err() == nil {
			time.Sleep(10 * time.Millisecond)
		}
		if u.broken.Load() {
			panic(http.ErrAbortHandler)
		}
		if r.Method == http.MethodPost && u.drops.Add(-1) >= 0 {
			forward.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(server.Close)
	u.url = server.URL
	return u
}

// began starts a command line. It returns its outputs and a channel for its exit code.
func (s shell) began(args ...string) (stdout, stderr *syncBuffer, code <-chan int) {
	ended := make(chan int, 1)
	stdout, stderr = &syncBuffer{}, &syncBuffer{}
	go func() {
		ended <- run(append(args, "--url", s.url, "--api-key", s.key), strings.NewReader(""), stdout, stderr)
	}()
	return stdout, stderr, ended
}

func TestWatch_WhileTheCoordinatorIsDisconnected_SaysSoOnceAndGoesOn(t *testing.T) {
	sh, _, c := shells(t)
	proxy := inFrontOf(t, sh.url)
	id := c.submitAs(sh.key, "sleep", `{"duration_ms":2500,"steps":5}`)
	far := shell{t, proxy.url, sh.key}
	for name, down := range map[string]*atomic.Bool{"refused": &proxy.broken, "silent": &proxy.mute} {
		down.Store(true)
		_, stderr, code := far.began("workload", "watch", id)
		c.eventually(func() bool { return strings.Contains(stderr.String(), "retrying\n") }, name)
		time.Sleep(2 * pollInterval)
		assert.Regexp(t, `^disconnected from `+proxy.url+`: .+; retrying\n$`, stderr.String())
		down.Store(false)
		assert.Equal(t, exitDone, <-code, stderr.String())
		assert.Equal(t, 1, strings.Count(stderr.String(), "reconnected\n"))
	}
	_, stderr, code := far.began("workload", "watch", "wl_none")
	assert.Equal(t, exitError, <-code)
	assert.NotContains(t, stderr.String(), "disconnected", "an error of the API is an answer")
}

func TestSubmitAndWait_WhenAnAnswerIsLost_SubmitsOnce(t *testing.T) {
	sh, _, _ := shells(t)
	proxy := inFrontOf(t, sh.url)
	proxy.drops.Store(2)
	out, stderr, code := shell{t, proxy.url, sh.key}.began("workload", "submit", "sleep", "--wait")
	require.Equal(t, exitDone, <-code, stderr.String())
	assert.Contains(t, stderr.String(), "disconnected from "+proxy.url)
	assert.Contains(t, stderr.String(), "reconnected")
	assert.Contains(t, out.String(), "COMPLETED")
	var list niyanta.WorkloadList
	sh.json(&list, "workload", "list")
	assert.Len(t, list.Workloads, 1)
}

func TestSubmitAndWait_WhenTheTimeoutPassesDisconnected_Exits5(t *testing.T) {
	sh := shell{t, "http://127.0.0.1:1", "k"}
	for _, args := range [][]string{
		{"workload", "submit", "sleep", "--wait", "--wait-timeout", "100ms"},
		{"workload", "watch", "wl_x", "--timeout", "100ms"},
	} {
		_, errs, code := sh.run("", args...)
		assert.Equal(t, exitTimeout, code, errs)
		assert.Contains(t, errs, "disconnected from http://127.0.0.1:1: connection refused; retrying")
	}
}

func TestFollowLogs_WhileTheCoordinatorIsDisconnected_GoesOnWithoutALineTwice(t *testing.T) {
	sh, _, c := shells(t)
	proxy := inFrontOf(t, sh.url)
	id := c.submitAs(sh.key, "exec", `{"command":["sh","-c","for i in 1 2 3 4; do echo line-$i; sleep 0.4; done"]}`)
	out, stderr, code := shell{t, proxy.url, sh.key}.began("workload", "logs", id, "--follow")
	c.eventually(func() bool { return strings.Contains(out.String(), "line-1") }, "the first line")
	proxy.broken.Store(true)
	c.eventually(func() bool { return strings.Contains(stderr.String(), "disconnected") }, "it notices")
	proxy.broken.Store(false)
	require.Equal(t, exitDone, <-code, stderr.String())
	for _, line := range []string{"line-1", "line-2", "line-3", "line-4"} {
		assert.Equal(t, 1, strings.Count(out.String(), line), line)
	}
}

func TestWatch_InAPipe_PrintsAShortLineForEachChange(t *testing.T) {
	sh, _, _ := shells(t)
	lines := func(args ...string) (all []change, texts []string) {
		out, _, _ := sh.run("", append([]string{"workload", "submit"}, args...)...)
		for l := range strings.Lines(out) {
			var ch change
			d := json.NewDecoder(strings.NewReader(l))
			d.DisallowUnknownFields()
			require.NoError(t, d.Decode(&ch), l)
			require.Less(t, len(l), 400, l)
			all, texts = append(all, ch), append(texts, l)
		}
		require.NotEmpty(t, all)
		return all, texts
	}
	all, texts := lines("sleep", "--input", `{"duration_ms":1500,"steps":3}`, "--wait")
	require.Greater(t, len(all), 2)
	for i, ch := range all[:len(all)-1] {
		assert.Nil(t, ch.ResultData)
		assert.NotEmpty(t, ch.WorkerID, "while it runs")
		assert.NotEqual(t, ch.key(), all[i+1].key(), "each line says something new")
	}
	last := all[len(all)-1]
	assert.Equal(t, niyanta.Status("COMPLETED"), last.Status)
	assert.Contains(t, string(last.ResultData), `"slept_ms":1500`)
	assert.NotContains(t, texts[0], "null")

	all, _ = lines("exec", "--input", `{"command":["sh","-c","exit 65"]}`, "--wait", "-o", "jsonl")
	assert.Contains(t, *all[len(all)-1].ErrorMessage, "exit status 65")

	var whole niyanta.Workload
	sh.json(&whole, "workload", "submit", "sleep", "--wait")
	assert.Equal(t, niyanta.Status("COMPLETED"), whole.Status, "-o json prints the workload once, at its end")
}

func TestCommandLine_OnAnErrorOfTheAPI_SaysWhatToDo(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	sh, _, _ := shells(t)
	for want, s := range map[string]shell{
		"no coordinator answers at http://127.0.0.1:1: connection refused; start one (niyanta dev), or say where " +
			"it is with --url, NIYANTA_URL or a context": {t, "http://127.0.0.1:1", "k"},
		"no coordinator answers at " + other.URL + ": unexpected answer: 404 Not Found": {t, other.URL, "k"},
		"check the API key (--api-key, NIYANTA_API_KEY or the context)":                 {t, sh.url, "wrong"},
	} {
		_, errs, code := s.run("", "workload", "list")
		assert.Equal(t, exitError, code)
		assert.Contains(t, errs, want)
	}
	_, errs, _ := sh.run("", "worker", "list")
	assert.Contains(t, errs, "workers, customers and keys an admin's")
	var out, stderr bytes.Buffer
	run([]string{"workload", "lst", "--api-key", "k"}, strings.NewReader(""), &out, &stderr)
	assert.Contains(t, stderr.String(), "did you mean get or list?")
}
