package workloads

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func envRun(t *testing.T, h *host, env map[string]string) (string, error) {
	t.Helper()
	b, err := json.Marshal(map[string]any{"command": []string{"sh", "-c", "env; pwd"}, "env": env})
	require.NoError(t, err)
	p := &recorder{}
	_, err = run(t.Context(), &program{host: h}, task(string(b)), p)
	return p.text("stdout"), err
}

func TestExecEnv_OfTheWorker_IsNotPassedOn(t *testing.T) {
	t.Setenv("NIYANTA_WORKER_KEY", "canary")
	t.Setenv("SECRET", "canary")
	t.Setenv("BASH_ENV", "canary")
	t.Setenv("HOME", "/canary")
	t.Setenv("PATH", "/canary:"+os.Getenv("PATH"))
	t.Setenv("TMPDIR", t.TempDir()+"/../")
	h := testHost(t, Options{ExecAllow: []string{"sh"}})
	out, err := envRun(t, h, nil)
	require.NoError(t, err)
	assert.NotContains(t, out, "canary")
	assert.Contains(t, out, "HOME="+h.room.path+"/run-", "a home of its own")
	assert.Contains(t, out, "TMPDIR="+h.room.path+"/run-")
	assert.Contains(t, out, "PATH="+programPath+"\n")
	assert.Contains(t, out, "NIYANTA_WORKLOAD_ID=wl_1")
	assert.Contains(t, out, "NIYANTA_REQUEST_ID=req_1\n")
	assert.Contains(t, out, "TRACEPARENT="+span+"\n")
	assert.Contains(t, out, "CUDA_VISIBLE_DEVICES=\n", "it holds no device")
	assert.Contains(t, out, "NIYANTA_DEVICES=[]\n")
	for line := range strings.Lines(out) {
		name, _, _ := strings.Cut(line, "=")
		switch {
		case strings.HasPrefix(line, "/"), strings.HasPrefix(name, "NIYANTA_"):
		default:
			assert.Contains(t, []string{"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ", "PWD", "OLDPWD", "SHLVL",
				"_", "CUDA_VISIBLE_DEVICES", "TRACEPARENT"}, name)
		}
	}
}

func TestExecEnv_WhatNobodyAllowed_IsRefused(t *testing.T) {
	h := testHost(t, Options{ExecAllow: []string{"sh", "echo"}, ExecEnv: []string{"echo=FOO"}})
	for _, name := range []string{
		"FOO", "BASH_ENV", "ENV", "BASH_FUNC_ls%%", "SHELLOPTS", "PS4", "PROMPT_COMMAND", "PERL5OPT", "PERL5LIB",
		"PYTHONPATH", "PYTHONSTARTUP",
		"RUBYOPT", "NODE_OPTIONS", "JAVA_TOOL_OPTIONS", "LD_PRELOAD", "LD_AUDIT", "LD_LIBRARY_PATH",
		"DYLD_INSERT_LIBRARIES", "GCONV_PATH",
		"GLIBC_TUNABLES", "LOCPATH", "NLSPATH", "LANGUAGE", "MALLOC_CHECK_", "GIT_SSH_COMMAND", "EDITOR", "PATH",
		"HOME", "TMPDIR", "IFS",
		"NIYANTA_WORKLOAD_ID", "NIYANTA_RUN", "NIYANTA_X", "path", "Ld_preload", "HTTP_PROXY", "TZDIR",
		"", "A=B", "A\nB", "A\x00B", "A B", "1A", "LANG\n", "LC_ALL ", "Ä", "A\xff",
	} {
		_, err := envRun(t, h, map[string]string{name: "x"})
		requireRunError(t, err, "invalid_input", true)
		assert.Contains(t, err.Error(), "env", "%q", name)
	}
}

func TestExecEnv_DefaultNames_AcceptOnlyNamesOfLocalesAndZones(t *testing.T) {
	h := testHost(t, Options{ExecAllow: []string{"sh"}})
	out, err := envRun(t, h, map[string]string{"LANG": "de_DE.UTF-8@euro", "LC_ALL": "C",
		"TZ": "America/Argentina/Ushuaia"})
	require.NoError(t, err)
	for _, line := range []string{"LANG=de_DE.UTF-8@euro", "LC_ALL=C", "TZ=America/Argentina/Ushuaia"} {
		assert.Contains(t, out, line)
	}
	assert.Equal(t, 1, strings.Count("\n"+out, "\nTZ="), "input's value, not the worker's beside it")
	for name, value := range map[string]string{
		"LANG": "/tmp/x", "LC_ALL": "../../x", "TZ": "/etc/shadow", "LC_CTYPE": "a\x00b", "LC_TIME": "a\nb",
		"LC_MONETARY": strings.Repeat("a", 65),
	} {
		_, err := envRun(t, h, map[string]string{name: value})
		requireRunError(t, err, "invalid_input", true)
	}
	for _, value := range []string{":/etc/passwd", "../x", "a/../../b", "a//b"} {
		_, err := envRun(t, h, map[string]string{"TZ": value})
		requireRunError(t, err, "invalid_input", true)
	}
}

func TestExecEnv_WhatTheOperatorAllows_IsSetForThatProgramOnly(t *testing.T) {
	h := testHost(t, Options{ExecAllow: []string{"sh", "echo"},
		ExecEnv: []string{"sh=FOO APP_*", "*=EVERY", " echo = ONLY_ECHO "}})
	out, err := envRun(t, h, map[string]string{"FOO": "1\n2", "APP_X": "3", "EVERY": "4"})
	require.NoError(t, err)
	for _, line := range []string{"FOO=1\n2", "APP_X=3", "EVERY=4"} {
		assert.Contains(t, out, line)
	}
	for _, name := range []string{"ONLY_ECHO", "FOO2", "APP", "xAPP_X", "APP_%"} {
		_, err := envRun(t, h, map[string]string{name: "x"})
		requireRunError(t, err, "invalid_input", true)
	}
}

func TestExecEnv_AllowancesThatSayTooMuchOrNothing_AreRefusedAtStart(t *testing.T) {
	for _, entry := range []string{
		"sh", "sh=", "=FOO", "sh=*", "sh=A*", "sh=FO O=1", "sh=FOO%", "sh=NIYANTA_X", "sh=PATH", "sh=HOME",
		"other=FOO", "sh=NIYANTA_*", "sh=A*B",
	} {
		_, _, err := newAllowList([]string{"sh"}, []string{entry}, false)
		require.Error(t, err, entry)
	}
}
