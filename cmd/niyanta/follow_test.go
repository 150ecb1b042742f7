package main

import (
	"bytes"
	"encoding/json"
	"io"
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
	// breakAt, if not nil, makes it broken, once, as soon as an answer with this text comes.
	breakAt atomic.Pointer[string]
}

// look reads an answer before it passes.
func (u *unreliable) look(r *http.Response) error {
	text := u.breakAt.Load()
	if text == nil {
		return nil
	}
	b, err := io.ReadAll(r.Body)
	_ = r.Body.Close()
	r.Body = io.NopCloser(bytes.NewReader(b))
	if strings.Contains(string(b), *text) && u.breakAt.CompareAndSwap(text, nil) {
		u.broken.Store(true)
	}
	return err
}

func inFrontOf(t *testing.T, coordinator string) *unreliable {
	t.Helper()
	u := &unreliable{}
	target, err := url.Parse(coordinator)
	require.NoError(t, err)
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.ModifyResponse = u.look
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
		{"workload", "submit", "sleep", "--wait", "--wait-timeout"}, {"workload", "watch", "wl_x", "--timeout"},
	} {
		errs := sh.untilItSays("disconnected from http://127.0.0.1:1: connection refused; retrying", args...)
		assert.Contains(t, errs, "retrying")
	}
}

// untilItSays runs a command that ends with its timeout, which is added to it, until it has come to say
// something before. The timeout is short at first.
func (s shell) untilItSays(want string, args ...string) (stderr string) {
	s.t.Helper()
	for timeout := 100 * time.Millisecond; timeout < time.Minute; timeout *= 2 {
		_, errs, code := s.run("", append(args[:len(args):len(args)], timeout.String())...)
		require.Equal(s.t, exitTimeout, code, errs)
		if strings.Contains(errs, want) {
			return errs
		}
	}
	require.Fail(s.t, "it does not say "+want)
	return ""
}

func TestFollowLogs_WhileTheCoordinatorIsDisconnected_GoesOnWithoutALineTwice(t *testing.T) {
	sh, _, c := shells(t)
	proxy := inFrontOf(t, sh.url)
	proxy.breakAt.Store(new("line-1"))
	id := c.submitAs(sh.key, "exec", `{"command":["sh","-c","for i in 1 2 3 4; do echo line-$i; sleep 0.4; done"]}`)
	out, stderr, code := shell{t, proxy.url, sh.key}.began("workload", "logs", id, "--follow")
	c.eventually(func() bool { return strings.Contains(out.String(), "line-1") }, "the first line")
	c.eventually(func() bool { return strings.Contains(stderr.String(), "disconnected") }, "it notices")
	proxy.broken.Store(false)
	require.Equal(t, exitDone, <-code, stderr.String())
	for _, line := range []string{"line-1", "line-2", "line-3", "line-4"} {
		assert.Equal(t, 1, strings.Count(out.String(), line), line)
	}
}

func TestWatch_InAPipe_PrintsAShortLineForEachChange(t *testing.T) {
	sh, _, c := shells(t)
	changes := func(out string) (all []change) {
		for l := range strings.Lines(out) {
			var ch change
			d := json.NewDecoder(strings.NewReader(l))
			d.DisallowUnknownFields()
			require.NoError(t, d.Decode(&ch), l)
			require.Less(t, len(l), 400, l)
			assert.NotContains(t, l, "null")
			all = append(all, ch)
		}
		require.NotEmpty(t, all)
		return all
	}
	lines := func(args ...string) []change {
		out, _, _ := sh.run("", append([]string{"workload", "submit"}, args...)...)
		return changes(out)
	}
	// It makes a step whenever somebody looks, however late, and ends when enough was seen of it.
	id := c.submitAs(sh.key, "sleep", `{"duration_ms":600000,"steps":6000}`)
	c.eventually(func() bool { return c.getAs(sh.key, id).Status == "RUNNING" }, "it runs")
	watched, stderr, code := sh.began("workload", "watch", id)
	c.eventually(func() bool { return strings.Count(watched.String(), "\n") >= 3 }, "a line for each change")
	sh.json(&niyanta.ControlAnswer{}, "workload", "cancel", id)
	assert.Equal(t, exitCancelled, <-code, stderr.String())
	all := changes(watched.String())
	for i, ch := range all[:len(all)-1] {
		assert.Nil(t, ch.ResultData)
		assert.NotEmpty(t, ch.WorkerID, "while it runs")
		assert.NotEqual(t, ch.key(), all[i+1].key(), "each line says something new")
	}
	assert.Equal(t, niyanta.Status("CANCELLED"), all[len(all)-1].Status)

	all = lines("sleep", "--input", `{"duration_ms":10,"steps":3}`, "--wait")
	last := all[len(all)-1]
	assert.Equal(t, niyanta.Status("COMPLETED"), last.Status)
	assert.Contains(t, string(last.ResultData), `"slept_ms":9`)

	all = lines("exec", "--input", `{"command":["sh","-c","exit 65"]}`, "--wait", "-o", "jsonl")
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
