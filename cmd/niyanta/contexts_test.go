package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// desk is a shell without flags. The environment and the contexts determine address and key.
type desk struct {
	t    *testing.T
	file string
}

func newDesk(t *testing.T) desk {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	for _, name := range []string{"NIYANTA_URL", "NIYANTA_API_KEY", "NIYANTA_API_KEY_FILE"} {
		t.Setenv(name, "")
	}
	return desk{t, filepath.Join(dir, "niyanta", "contexts.json")}
}

func (d desk) run(stdin string, args ...string) (stdout, stderr string, code int) {
	d.t.Helper()
	var out, errs bytes.Buffer
	code = run(args, strings.NewReader(stdin), &out, &errs)
	return out.String(), errs.String(), code
}

func (d desk) must(stdin string, args ...string) (stdout, stderr string) {
	d.t.Helper()
	stdout, stderr, code := d.run(stdin, args...)
	require.Equal(d.t, exitDone, code, "%v: %s", args, stderr)
	return stdout, stderr
}

const secret = "nyt_cust_a_00000000000000000000000000000000"

func TestContext_File_IsReadableOnlyByItsOwner(t *testing.T) {
	d := newDesk(t)
	mode := func(path string) os.FileMode {
		info, err := os.Stat(path)
		require.NoError(t, err)
		return info.Mode().Perm()
	}
	for _, args := range [][]string{
		{"context", "add", "a", "--api-key", secret}, {"context", "add", "b", "--api-key", secret},
		{"context", "use", "b"}, {"context", "remove", "a"},
	} {
		d.must("", args...)
		assert.Equal(t, os.FileMode(0o600), mode(d.file), "%v", args)
		assert.Equal(t, os.FileMode(0o700), mode(filepath.Dir(d.file)))
	}
	entries, err := os.ReadDir(filepath.Dir(d.file))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "no other file is left")
}

func TestContext_InEveryOutput_HidesTheKey(t *testing.T) {
	d := newDesk(t)
	d.must(secret+"\n", "context", "add", "a", "--url", "http://a:1", "--api-key", "-")
	for _, args := range [][]string{
		{"context", "list"}, {"context", "list", "-o", "json"}, {"context", "list", "-o", "jsonl"}, {"context", "use", "a"},
		{"context", "add", "a", "--api-key", secret}, {"context", "add", "a", "--api-key", secret, "--replace"},
		{"__complete", "context", "use", ""}, {"doctor", "--url", "http://127.0.0.1:1"},
		{"doctor", "-o", "json", "--context", "a"},
		{"workload", "list", "--url", "http://127.0.0.1:1"}, {"context", "remove", "a"},
		{"context", "add", "b", "--api-key", secret + "\n" + secret},
	} {
		out, errs, _ := d.run("", args...)
		assert.NotContains(t, out+errs, secret[len(secret)-8:], "%v", args)
	}
}

func TestContext_AddUseListRemove_KeepTheStore(t *testing.T) {
	d := newDesk(t)
	_, errs := d.must("", "context", "add", "first", "--url", "http://a:1", "--api-key", "k1")
	assert.Contains(t, errs, "the current context is first: http://a:1")
	_, errs = d.must("k2", "context", "add", "second", "--url", "http://b:1,http://b:2", "--api-key", "-")
	assert.Contains(t, errs, "the current context is first")
	out, _ := d.must("", "context", "list")
	assert.Regexp(t, `(?m)^\* +first +http://a:1$`, out)
	assert.Regexp(t, `(?m)^ +second +http://b:1,http://b:2$`, out)
	d.must("", "context", "use", "second")
	out, _ = d.must("", "context", "list", "-o", "jsonl")
	assert.Contains(t, out, `{"name":"second","url":"http://b:1,http://b:2","current":true}`)
	_, errs = d.must("", "context", "remove", "second")
	assert.Contains(t, errs, "no current context")
	for want, args := range map[string][]string{
		"there are first":              {"context", "use", "fourth"},
		"--replace":                    {"context", "add", "first", "--api-key", "k"},
		"letters":                      {"context", "add", "two words", "--api-key", "k"},
		"no API key":                   {"context", "add", "third"},
		"http://host:port":             {"context", "add", "third", "--url", "a:1", "--api-key", "k"},
		"there is no context \"none\"": {"workload", "list", "--context", "none"},
	} {
		_, errs, code := d.run("", args...)
		assert.Equal(t, exitUsage, code, "%v", args)
		assert.Contains(t, errs, want)
	}
	require.NoError(t, os.WriteFile(d.file, []byte("{"), 0o600))
	_, errs, code := d.run("", "workload", "list")
	assert.Equal(t, exitError, code)
	assert.Contains(t, errs, d.file)
}

func TestTarget_FromEachSource_SendsAKeyOnlyToItsAddress(t *testing.T) {
	d := newDesk(t)
	d.must("", "context", "add", "a", "--url", "http://a", "--api-key", "key-a")
	d.must("", "context", "add", "b", "--url", "http://b", "--api-key", "key-b")
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte("key-f\n"), 0o600))
	both := map[string]string{"NIYANTA_URL": "http://e", "NIYANTA_API_KEY": "key-e"}
	for name, x := range map[string]struct {
		flags    cli
		env      map[string]string
		url, key string
	}{
		"the current context":         {cli{}, nil, "http://a", "key-a"},
		"another context":             {cli{context: "b"}, nil, "http://b", "key-b"},
		"the environment":             {cli{}, both, "http://e", "key-e"},
		"half of the environment":     {cli{}, map[string]string{"NIYANTA_API_KEY": "key-e"}, defaultURL, "key-e"},
		"the other half":              {cli{}, map[string]string{"NIYANTA_URL": "http://e"}, "http://e", ""},
		"a file":                      {cli{}, map[string]string{"NIYANTA_API_KEY_FILE": file}, defaultURL, "key-f"},
		"a context before it":         {cli{context: "b"}, both, "http://b", "key-b"},
		"a url without its key":       {cli{url: "http://x"}, nil, "http://x", ""},
		"a context's url":             {cli{url: "http://a"}, nil, "http://a", "key-a"},
		"another key":                 {cli{key: "mine"}, nil, "http://a", "mine"},
		"both flags":                  {cli{url: "http://x", key: "mine", context: "b"}, nil, "http://x", "mine"},
		"a url and another's context": {cli{url: "http://a", context: "b"}, nil, "http://a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range x.env {
				t.Setenv(k, v)
			}
			got, err := x.flags.target()
			require.NoError(t, err)
			assert.Equal(t, x.url, got.url)
			assert.Equal(t, x.key, got.key)
		})
	}
	_, errs, code := d.run("", "workload", "list", "--url", "http://x")
	assert.Equal(t, exitUsage, code)
	assert.Contains(t, errs, "the key of context a is for http://a; say --api-key too")
}

func TestContext_OfAFleet_IsWhatCommandsUse(t *testing.T) {
	sh, admin, _ := shells(t)
	d := newDesk(t)
	d.must("", "context", "add", "customer", "--url", "http://127.0.0.1:1,"+sh.url, "--api-key", sh.key)
	d.must("", "context", "add", "operator", "--url", admin.url, "--api-key", admin.key)
	d.must("", "workload", "submit", "nobodys")
	out, _ := d.must("", "worker", "list", "--context", "operator")
	assert.Contains(t, out, "w1")
	ids := ""
	for end := time.Now().Add(time.Minute); !strings.Contains(ids, "wl_") && time.Now().Before(end); {
		ids, _ = d.must("", "__complete", "workload", "get", "") // waits for the API only shortly
	}
	assert.Contains(t, ids, "wl_")
	out, _ = d.must("", "__complete", "workload", "get", "--context", "")
	assert.Contains(t, out, "operator\t"+admin.url)
}
