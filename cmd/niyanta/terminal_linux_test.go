package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// openTerminal returns both ends of a pseudo-terminal that is so many columns wide.
func openTerminal(t *testing.T, columns uint16) (ours, theirs *os.File) {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = ours.Close() })
	fd := int(ours.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetWinsize(int(theirs.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: 24}))
	return ours, theirs
}

// onTerminal runs a command line in this process with a terminal of 80 columns, and returns what
// the terminal got.
func (s shell) onTerminal(args ...string) (lines []string, code int) {
	s.t.Helper()
	ours, theirs := openTerminal(s.t, 80)
	got := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(ours) // ends with an error when the other end is closed
		got <- b
	}()
	code = run(append(args, "--url", s.url, "--api-key", s.key), strings.NewReader(""), theirs, theirs)
	require.NoError(s.t, theirs.Close())
	text := strings.ReplaceAll(string(<-got), "\r\n", "\n")
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n"), code
}

func TestTables_OnATerminalOf80Columns_NeverWrapAndKeepIDsWhole(t *testing.T) {
	sh, admin, c := shells(t)
	worker := "worker-with-a-name-of-some-32-chars"
	c.worker(worker)
	var cust niyanta.Customer
	admin.json(&cust, "customer", "create", strings.Repeat("A long name ", 8), "--tier", "enterprise")
	var key niyanta.NewKey
	admin.json(&key, "key", "create", cust.CustomerID)
	var cfg niyanta.WorkloadConfig
	sh.json(&cfg, "config-set", "create", "--body",
		`{"workload_type":"sleep","description":"`+strings.Repeat("wörter ", 20)+`"}`)
	var sub niyanta.SubmitAnswer
	sh.json(&sub, "workload", "submit", "sleep", "--input", `{"duration_ms":60000,"steps":6000}`,
		"--affinity", `{"hard_affinity":{"worker_id":"`+worker+`"}}`)
	id := sub.WorkloadID
	c.eventually(func() bool { return c.getAs(sh.key, id).Status == "RUNNING" }, "it runs")
	for _, x := range []struct {
		sh   shell
		want string
		args []string
	}{
		{sh, id, []string{"workload", "list"}},
		{sh, id, []string{"workload", "get", id}},
		{sh, id, []string{"workload", "explain", id}},
		{sh, worker, []string{"workload", "audit", id}},
		{sh, id, []string{"workload", "pause", id}},
		{sh, cfg.ConfigID, []string{"config-set", "list"}},
		{admin, worker, []string{"worker", "list"}},
		{admin, worker, []string{"worker", "drain", worker}},
		{admin, cust.CustomerID, []string{"customer", "list"}},
		{admin, cust.CustomerID, []string{"customer", "get", cust.CustomerID}},
		{admin, key.KeyID, []string{"key", "list", cust.CustomerID}},
	} {
		lines, code := x.sh.onTerminal(x.args...)
		require.Equal(t, exitDone, code, "%v", lines)
		for _, l := range lines {
			assert.LessOrEqual(t, text.StringWidth(l), 80, "%v: %s", x.args, l)
			assert.NotContains(t, l, "\x1b", "tables have no colours")
		}
		assert.Contains(t, strings.Join(lines, "\n"), x.want)
	}
	out, _, _ := admin.run("", "customer", "list")
	assert.Contains(t, out, strings.TrimSpace(strings.Repeat("A long name ", 8)), "nothing is left out for other programs")
	assert.Contains(t, out, "PREEMPTIBLE")
}

func TestWatch_OnATerminal_ShowsABarThenTheResult(t *testing.T) {
	sh, _, c := shells(t)
	id := c.submitAs(sh.key, "sleep", `{"duration_ms":20000,"steps":2000}`)
	ours, theirs := openTerminal(t, 80)
	screen, code := &syncBuffer{}, make(chan int, 1)
	go func() { _, _ = io.Copy(screen, ours) }() // ends with an error when the other end is closed
	go func() {
		code <- run([]string{"workload", "watch", id, "--url", sh.url, "--api-key", sh.key}, strings.NewReader(""), theirs,
			theirs)
	}()
	bar := regexp.MustCompile(`\d+\.00% \[#+\.+\]`)
	c.eventually(func() bool { return bar.MatchString(screen.String()) }, "a bar that has come some way")
	sh.json(&niyanta.ControlAnswer{}, "workload", "cancel", id)
	require.Equal(t, exitCancelled, <-code)
	require.NoError(t, theirs.Close())

	lines, ended := sh.onTerminal("workload", "submit", "sleep", "--input", `{"duration_ms":1}`, "--wait")
	require.Equal(t, exitDone, ended)
	all := strings.Join(lines, "\n")
	assert.Regexp(t, `\nstatus +COMPLETED\n`, all)
	assert.Regexp(t, `\nresult +\{"slept_ms"`, all)
	lines = append(lines, strings.Split(strings.ReplaceAll(screen.String(), "\r\n", "\n"), "\n")...)
	for _, l := range lines {
		plain := text.StripEscape(l)
		assert.LessOrEqual(t, text.StringWidth(plain), 80, "%q", plain)
	}
}

// TestLogs_WithoutAFormat_AreForPeopleOnATerminalOnly starts development servers.
func TestLogs_WithoutAFormat_AreForPeopleOnATerminalOnly(t *testing.T) {
	path, err := binary()
	require.NoError(t, err)
	logs := func(stderr, ours *os.File, env ...string) string {
		cmd := exec.Command(path, "dev", "--addr", "127.0.0.1:0")
		cmd.Env = append(os.Environ(), append(env, "XDG_STATE_HOME="+t.TempDir())...)
		cmd.Stderr = stderr
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		_ = stderr.Close()
		b := make([]byte, 1)
		_, err = out.Read(b) // it serves
		require.NoError(t, err)
		require.NoError(t, cmd.Process.Signal(os.Interrupt))
		var log bytes.Buffer
		_ = ours.SetReadDeadline(time.Now().Add(time.Minute))
		_, _ = io.Copy(&log, ours) // ends with the process
		require.NoError(t, cmd.Wait())
		return log.String()
	}
	ours, theirs := openTerminal(t, 80)
	assert.Regexp(t, `\x1b\[[0-9;]*mINF\x1b\[0m`, logs(theirs, ours))
	ours, theirs = openTerminal(t, 80)
	plain := logs(theirs, ours, "NO_COLOR=1")
	assert.Contains(t, plain, "INF elected leader")
	assert.NotContains(t, plain, "\x1b")
	ours, theirs, err = os.Pipe()
	require.NoError(t, err)
	assert.Contains(t, logs(theirs, ours), `{"level":"info"`)
	ours, theirs, err = os.Pipe()
	require.NoError(t, err)
	piped := logs(theirs, ours, "NIYANTA_LOG_FORMAT=console")
	assert.Contains(t, piped, "INF elected leader")
	assert.NotContains(t, piped, "\x1b", "colours are for terminals")
}
