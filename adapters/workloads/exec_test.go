package workloads

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// testHost returns a host with these options.
func testHost(t *testing.T, o Options) *host {
	t.Helper()
	h, err := newHost(o, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	h.killGrace = time.Second
	t.Cleanup(func() { assert.NoError(t, h.close()) })
	return h
}

// eachIsolation runs a test with programs as their own users, if this process may do that, and as
// the user of this process, each in namespaces of their own, if this process may make them, and
// without.
func eachIsolation(t *testing.T, f func(t *testing.T, o Options)) {
	t.Helper()
	for _, users := range []string{"auto", "none"} {
		for _, namespaces := range []string{"auto", "none"} {
			t.Run("users "+users+", namespaces "+namespaces, func(t *testing.T) {
				f(t, Options{ExecAllow: []string{"sh"}, ExecUsers: users, ExecNamespaces: namespaces})
			})
		}
	}
}

// shell returns the task of running a script.
func shell(t *testing.T, script string) ports.Task {
	t.Helper()
	b, err := json.Marshal(map[string]any{"command": []string{"sh", "-c", script}})
	require.NoError(t, err)
	return task(string(b))
}

func exec1(t *testing.T, p *recorder, script string) (domain.JSON, error) {
	t.Helper()
	return run(t.Context(), &program{host: testHost(t, Options{ExecAllow: []string{"sh"}})}, shell(t, script), p)
}

func TestExec_AtEachExitCode_EndsAsDocumented(t *testing.T) {
	for code, permanent := range map[int]bool{1: false, 63: false, 64: true, 78: true, 79: false, 255: false} {
		_, err := exec1(t, &recorder{}, fmt.Sprintf("echo why >&2; exit %d", code))
		requireRunError(t, err, "exit_status", permanent)
		assert.Equal(t, fmt.Sprintf("exit status %d: why", code), err.Error())
	}
	_, err := exec1(t, &recorder{}, "kill -9 $$")
	requireRunError(t, err, "signal", false)
}

func TestExec_WhatItPrints_IsKeptInLogsAndResult(t *testing.T) {
	p := &recorder{}
	out, err := exec1(t, p,
		`printf 'a\nb'; echo err >&2; printf '\377\n' >&2; echo $NIYANTA_WORKLOAD_ID $NIYANTA_GENERATION $NIYANTA_ATTEMPT`)
	require.NoError(t, err)
	var r execResult
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	assert.Equal(t, `"a\nbwl_1 7 2\n"`, string(r.Stdout))
	assert.Equal(t, domain.FlawInvalidUTF8, flawOf(t, r.Stderr, "err\n\xff\n"))
	assert.Equal(t, "a\nbwl_1 7 2", p.text("stdout"))
	assert.Contains(t, p.text("stderr"), "err")
	out, err = exec1(t, &recorder{}, `i=0; while [ $i -lt 9000 ]; do echo 0123456789; i=$((i+1)); done`)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	assert.True(t, r.StdoutTruncated)
	var text string
	require.NoError(t, json.Unmarshal(r.Stdout, &text))
	assert.Len(t, text, outputTail)
}

// flawOf requires that bytes were kept in encoded form, and returns the reason.
func flawOf(t *testing.T, kept json.RawMessage, want string) domain.Flaw {
	t.Helper()
	e, data, ok := domain.DecodeResult(domain.JSON(kept))
	require.True(t, ok, string(kept))
	assert.Equal(t, want, string(data))
	return e.Reason
}

func TestExec_WhatAProgramReturns_IsKeptExactlyAndNeverFailsTheRun(t *testing.T) {
	result := func(value string) (execResult, domain.JSON) {
		t.Helper()
		w := &program{host: testHost(t, Options{ExecAllow: []string{"sh"}})}
		in, err := json.Marshal(map[string]any{"command": []string{"sh", "-c", "cat >&3"}, "stdin": value + "\n"})
		require.NoError(t, err)
		out, err := run(t.Context(), w, task(string(in)), &recorder{})
		require.NoError(t, err, value)
		require.Equal(t, out, domain.CleanResult(out), "every store takes it as it is")
		var r execResult
		require.NoError(t, json.Unmarshal([]byte(out), &r))
		return r, out
	}
	for value, flaw := range map[string]domain.Flaw{
		`"\u0000"`: domain.FlawNUL, `{"a":1,"a":2}`: domain.FlawDuplicateKey, `"\ud800"`: domain.FlawLoneSurrogate,
		strings.Repeat("[", 64) + strings.Repeat("]", 64): domain.FlawTooDeep,
	} {
		r, _ := result(`{"type":"result","value":` + value + `}`)
		assert.Equal(t, flaw, flawOf(t, r.Value, value), value)
	}
	r, _ := result(`{"type":"result","value":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`)
	assert.Equal(t, strings.Repeat("[", 63)+strings.Repeat("]", 63), string(r.Value))
	r, out := result(`{"type":"result","value":"` + strings.Repeat("x", 2<<20) + `"}`)
	e, data, ok := domain.DecodeResult(domain.JSON(r.Value))
	require.True(t, ok)
	assert.True(t, e.Truncated)
	assert.Equal(t, 2<<20+2, e.Size)
	assert.Equal(t, `"xxx`, string(data[:4]))
	assert.LessOrEqual(t, len(out), domain.MaxResult)
	for script, want := range map[string]string{
		`printf 'a\000b'`:           "a\x00b",
		`printf '\376\377'`:         "\xfe\xff",
		`printf '\377'`:             "\xff",
		`printf '\001\001\001\001'`: "\x01\x01\x01\x01",
	} {
		out, err := exec1(t, &recorder{}, script)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal([]byte(out), &r))
		flawOf(t, r.Stdout, want)
	}
}

func TestWholeRunes_CutsOnlyWhatCuttingBroke(t *testing.T) {
	for _, c := range []struct {
		in          string
		front, back bool
		want        string
	}{
		{"\xa4x", true, false, "x"}, {"\x9f\x98\x80x", true, false, "x"}, {"x\xe2\x82", false, true, "x"}, {"x€",
			true, true, "x€"},
		{"x\xe2\x82", false, false, "x\xe2\x82"}, {"\xa4\xa4\xa4\xa4", true, false, "\xa4\xa4\xa4\xa4"}, {"", true,
			true, ""},
		{"a\xffb\xe2", false, true, "a\xffb\xe2"},
	} {
		assert.Equal(t, c.want, string(wholeRunes([]byte(c.in), c.front, c.back)), "%q", c.in)
	}
}

func TestExec_WhenARunEndsByItself_TellsHowItEnded(t *testing.T) {
	eachIsolation(t, func(t *testing.T, o Options) {
		h := testHost(t, o)
		for script, want := range map[string]string{"exit 0": "", "exit 3": "exit_status", "exit 65": "exit_status",
			"kill -TERM $$": "signal"} {
			_, err := run(t.Context(), &program{host: h}, shell(t, script), &recorder{})
			if want == "" {
				require.NoError(t, err)
				continue
			}
			requireRunError(t, err, want, script == "exit 65")
		}
	})
}

// told runs a script, ends its context with cause after the first line of output, and returns how
// the run ended.
func told(t *testing.T, h *host, script string, cause error) (domain.JSON, *recorder, error) {
	t.Helper()
	p := &recorder{}
	ctx, cancel := context.WithCancelCause(t.Context())
	type end struct {
		out domain.JSON
		err error
	}
	done := make(chan end, 1)
	tk := shell(t, script)
	go func() {
		out, err := run(ctx, &program{host: h}, tk, p)
		done <- end{out, err}
	}()
	spoke := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.percents) > 0 || !strings.Contains(script, "progress")
	}
	require.Eventually(t, func() bool { return p.text("stdout") != "" && spoke() }, 20*time.Second, time.Millisecond)
	cancel(cause)
	e := <-done
	return e.out, p, e.err
}

func TestExec_WhenToldToStop_IsDoneOnlyWithAResult(t *testing.T) {
	h := testHost(t, Options{ExecAllow: []string{"sh"}})
	for _, cause := range []error{ports.ErrPaused, ports.ErrDraining, ports.ErrPreempted, ports.ErrTimeout} {
		for name, c := range map[string]struct {
			script string
			want   any // a cause, the type of a failure, or nil: done
		}{
			"plain, exit 0": {`trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done`, cause},
			"speaks, exit 0": {`echo '{"type":"progress","percent":1}' >&3; echo up
				while read -r line <&3; do case $line in *'"type":"stop"'*) exit 0;; esac; done`, cause},
			"speaks, with a result": {`echo '{"type":"progress","percent":1}' >&3; echo up
				while read -r line <&3; do case $line in
					*'"type":"stop"'*) echo '{"type":"result","value":7}' >&3; exit 0;;
				esac; done`, nil},
			"ends by the signal":     {`echo up; while :; do sleep 0.1; done`, cause},
			"says it got the signal": {`trap 'exit 143' TERM; echo up; while :; do sleep 0.1; done`, cause},
			"must be killed":         {`trap '' TERM; echo up; while :; do sleep 0.1; done`, cause},
			"fails by itself":        {`trap '' TERM; echo up; sleep 0.2; exit 1`, "exit_status"},
			"fails for good":         {`trap '' TERM; echo up; sleep 0.2; exit 65`, "exit_status"},
		} {
			h.killGrace = 20 * time.Second
			if name == "must be killed" {
				h.killGrace = 300 * time.Millisecond
			}
			out, _, err := told(t, h, c.script, cause)
			switch want := c.want.(type) {
			case nil:
				require.NoError(t, err, name)
				assert.Contains(t, string(out), `"value":7`, name)
			case string:
				requireRunError(t, err, want, name == "fails for good")
			case error:
				require.ErrorIs(t, err, want, name)
			}
		}
	}
}

func TestExec_WhenTheCommandIsNotAllowed_DoesNotStartIt(t *testing.T) {
	dir := t.TempDir()
	fake := filepath.Join(dir, "echo")
	require.NoError(t, os.WriteFile(fake, []byte("#!/bin/sh\necho fake"), 0o700)) //nolint:gosec // a program
	h := testHost(t, Options{ExecAllow: []string{"echo", " /bin/sh ", "no-such-program", "a/b", "/bin/../bin/ls"}})
	assert.Equal(t, []string{"exec:/bin/sh", "exec:echo"}, h.allow.capabilities(),
		"one spelling each, and only what can be started")
	for command, allowed := range map[string]bool{
		"echo": true, "/bin/sh": true, fake: false, "./echo": false, "../echo": false, "sh": false, "/usr/bin/echo": false,
		"/bin/../bin/sh": false, "a/b": false, "no-such-program": false, "/bin/ls": false,
	} {
		b, err := json.Marshal(map[string]any{"command": []string{command}})
		require.NoError(t, err)
		_, err = run(t.Context(), &program{host: h}, task(string(b)), &recorder{})
		if allowed {
			require.NoError(t, err, command)
			continue
		}
		requireRunError(t, err, "not_allowed", true)
	}
}

func TestNew_WhenProgramsCannotBeStarted_WarnsAndDoesNotOfferThem(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(dir+"/plain", []byte("x"), 0o600))
	var log strings.Builder
	offer, err := New(Options{ExecAllow: []string{"sh", "no-such-program", dir, dir + "/plain", "./sh", "a\nb"}},
		slog.New(slog.NewTextHandler(&log, nil)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, offer.Close()) })
	assert.Equal(t, []string{"exec:sh"}, offer.Capabilities)
	assert.Contains(t, offer.Types, "exec")
	for _, name := range []string{"no-such-program", dir, dir + "/plain", "./sh", `a\\nb`} {
		assert.Contains(t, log.String(), name)
	}
	none, err := New(Options{ExecAllow: []string{"no-such-program"}}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, none.Close()) })
	assert.NotContains(t, none.Types, "exec", "a worker that can start nothing does not offer the type")
}

// speak is a program for the tests below. It uses file descriptor 3.
func speak() {
	conn := os.NewFile(3, "worker")
	in := json.NewDecoder(conn)
	out := json.NewEncoder(conn)
	if os.Args[2] == "long" {
		line := strings.Repeat("x", lineLimit+1)
		for {
			if _, err := fmt.Fprint(conn, line); err != nil {
				return
			}
		}
	}
	var m map[string]any
	for in.Decode(&m) == nil {
		switch m["type"] {
		case "start":
			n := 0.0
			if c, ok := m["checkpoint"].(map[string]any); ok {
				n, _ = c["n"].(float64)
			}
			_, _ = fmt.Fprintln(conn, "this is not JSON")
			_ = out.Encode(map[string]any{"type": "progress", "percent": 50, "message": "half"})
			_ = out.Encode(map[string]any{"type": "log", "level": "warn", "message": "hello"})
			_ = out.Encode(map[string]any{"type": "checkpoint", "data": map[string]any{"n": n + 1}})
		case "checkpoint_saved", "checkpoint_failed":
			if os.Args[2] != "stay" {
				_ = out.Encode(map[string]any{"type": "result", "value": m["type"]})
				return
			}
			fmt.Println("ready")
		case "checkpoint_request":
			_ = out.Encode(map[string]any{"type": "checkpoint", "data": "asked"})
		case "stop":
			_ = out.Encode(map[string]any{"type": "log", "message": "told to stop: " + fmt.Sprint(m["reason"])})
			return
		}
		m = nil
	}
}

// everybodys copies this test binary to a place where every user can execute it.
func everybodys(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	b, err := os.ReadFile(self)
	require.NoError(t, err)
	dir, err := os.MkdirTemp("", "workloads-test-") //nolint:usetesting // other users pass through it
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))                   //nolint:gosec // others execute it
	require.NoError(t, os.WriteFile(dir+"/program", b, 0o755)) //nolint:gosec // others execute it
	return dir + "/program"
}

func speaker(t *testing.T, how string) (*program, ports.Task) {
	t.Helper()
	self := everybodys(t)
	b, err := json.Marshal(map[string]any{"command": []string{self, "speak", how}})
	require.NoError(t, err)
	return &program{host: testHost(t, Options{ExecAllow: []string{self}})}, task(string(b))
}

func TestExec_OnFileDescriptor3_Speaks(t *testing.T) {
	for saved, refuse := range map[string]error{"checkpoint_saved": nil, "checkpoint_failed": errors.New("no")} {
		w, tk := speaker(t, "")
		tk.Checkpoint = []byte(`{"n":41}`)
		p := &recorder{refuse: refuse}
		out, err := run(t.Context(), w, tk, p)
		require.NoError(t, err)
		assert.Contains(t, string(out), `"value":"`+saved+`"`)
		assert.Equal(t, []float64{50}, p.percents)
		assert.Contains(t, p.text(""), "hello")
		assert.Contains(t, p.text(""), "not JSON")
		if refuse == nil {
			assert.Equal(t, []string{`{"n":42}`}, p.checkpoints)
		}
	}
}

func TestExec_WhenPaused_AsksForACheckpointAndAnnouncesTheEnd(t *testing.T) {
	w, tk := speaker(t, "stay")
	w.host.killGrace = time.Minute // it ends by itself
	p := &recorder{}
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() { _, err := run(ctx, w, tk, p); done <- err }()
	require.Eventually(t, func() bool { return p.text("stdout") == "ready" }, 20*time.Second, time.Millisecond)
	data, err := w.Checkpoint(t.Context())
	require.ErrorIs(t, err, ports.ErrNoCheckpoint, "the program has saved: nothing is left to save")
	assert.Empty(t, data)
	assert.Equal(t, []string{`{"n":1}`, `"asked"`}, p.checkpoints)
	require.Eventually(t, func() bool { return p.text("stdout") == "ready\nready" }, 20*time.Second, time.Millisecond,
		"a checkpoint that was asked for has an answer, too: programs wait for it")
	cancel(ports.ErrPaused)
	require.ErrorIs(t, <-done, ports.ErrPaused, "it stopped, it did not say that it had finished")
	assert.Contains(t, p.text(""), "told to stop: paused")
}

func TestExec_WhenALineOnDescriptor3IsTooLong_FailsAtOnce(t *testing.T) {
	w, tk := speaker(t, "long")
	begun := time.Now()
	_, err := run(t.Context(), w, tk, &recorder{})
	requireRunError(t, err, "line_too_long", true)
	assert.Contains(t, err.Error(), "file descriptor 3")
	assert.Less(t, time.Since(begun), time.Minute)
}

func TestExec_WithAPlainProgram_HasNoCheckpoint(t *testing.T) {
	_, err := (&program{}).Checkpoint(t.Context())
	require.ErrorIs(t, err, ports.ErrNoCheckpoint)
}
