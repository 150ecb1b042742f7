package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// startDev starts a development server, ends it, and returns what it printed before that.
func startDev(t *testing.T, env []string, args ...string) (lines map[string]string, exports []string) {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	cmd := exec.Command(path, append([]string{"dev", "--addr", "127.0.0.1:0"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	var log bytes.Buffer
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines = map[string]string{}
	for r := bufio.NewScanner(out); r.Scan() && !strings.HasPrefix(r.Text(), "Every endpoint"); {
		if name, value, ok := strings.Cut(r.Text(), ": "); ok {
			lines[name] = value
		}
		if strings.Contains(r.Text(), "/#code=") {
			lines["console"] = r.Text()
		}
		if strings.HasPrefix(r.Text(), "export ") {
			exports = append(exports, r.Text())
		}
	}
	require.NotEmpty(t, lines["url"], "%s", &log)
	cl, err := niyanta.NewClient(lines["url"], lines["customer key"])
	require.NoError(t, err)
	_, err = cl.Customer(t.Context())
	require.NoError(t, err, "the printed key is good")
	require.Equal(t, []string{"200 admin", "401 "}, signInTwice(t, lines["console"]))
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, cmd.Wait(), "%s", &log)
	return lines, exports
}

func TestDev_WhenStartedAgain_HasTheSameKeysUnlessFresh(t *testing.T) {
	dir := t.TempDir()
	env := []string{"XDG_STATE_HOME=" + dir}
	keysOf := func(lines map[string]string) [3]string {
		return [3]string{lines["customer key"], lines["admin key"], lines["worker key"]}
	}
	lines, exports := startDev(t, env)
	first := keysOf(lines)
	require.Len(t, exports, 2)
	assert.Equal(t, "export NIYANTA_URL="+lines["url"]+" NIYANTA_API_KEY="+first[0], exports[0])
	assert.Equal(t, "export NIYANTA_URL="+lines["url"]+" NIYANTA_API_KEY="+first[1], exports[1])
	file := filepath.Join(dir, "niyanta", "dev.json")
	info, err := os.Stat(file)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())

	lines, _ = startDev(t, env)
	assert.Equal(t, first, keysOf(lines))

	given := "admin-key-of-the-environment-0123456789"
	lines, _ = startDev(t, append(env, "NIYANTA_ADMIN_KEY="+given))
	assert.Equal(t, [3]string{first[0], given, first[2]}, keysOf(lines))
	var kept devKeys
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &kept))
	got := [3]string{kept.CustomerKey, kept.AdminKey, kept.WorkerKey}
	assert.Equal(t, first, got, "keys from the environment are not kept")

	lines, _ = startDev(t, env, "--fresh")
	fresh := keysOf(lines)
	for i := range fresh {
		assert.NotEqual(t, first[i], fresh[i])
	}
	lines, _ = startDev(t, env)
	assert.Equal(t, fresh, keysOf(lines))
}

func TestDev_WhenItsKeysCannotBeRead_SaysWhatToDo(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_STATE_HOME", dir)
	file := filepath.Join(dir, "niyanta", "dev.json")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, os.WriteFile(file, []byte("{"), 0o600))
	var errs bytes.Buffer
	require.Equal(t, exitError, run([]string{"dev"}, strings.NewReader(""), io.Discard, &errs))
	assert.Contains(t, errs.String(), file)
	assert.Contains(t, errs.String(), "--fresh")
}

func TestDevKeys_WithoutAPlace_AreForOneStart(t *testing.T) {
	home := func(values map[string]string) string {
		s, err := openDevKeys(func(name string) string { return values[name] }, false)
		require.NoError(t, err)
		return s.path
	}
	assert.Empty(t, home(nil))
	assert.Equal(t, "/h/.local/state/niyanta/dev.json", home(map[string]string{"HOME": "/h"}))
	assert.Equal(t, "/h/.local/state/niyanta/dev.json", home(map[string]string{"HOME": "/h",
		"XDG_STATE_HOME": "relative"}))
	assert.Equal(t, "/s/niyanta/dev.json", home(map[string]string{"HOME": "/h", "XDG_STATE_HOME": "/s"}))
}

func TestDev_WhenTheAddressIsTaken_NamesItAndWhatToChange(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	var errs bytes.Buffer
	require.Equal(t, exitError, run([]string{"dev", "--addr", l.Addr().String()}, strings.NewReader(""), io.Discard,
		&errs))
	for _, part := range []string{l.Addr().String(), "NIYANTA_HTTP_ADDR", "--addr", "another process"} {
		assert.Contains(t, errs.String(), part)
	}
}
