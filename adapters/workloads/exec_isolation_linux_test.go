package workloads

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/ports"
)

// requireRoot skips a test that only root can run. Other tests cover what holds for every user.
func requireRoot(t *testing.T) {
	t.Helper()
	if missing := missingCapabilities(); missing != "" {
		t.Skip("needs " + missing)
	}
}

// background runs a script until the test ends. It waits for the first line of output and returns
// it.
func background(t *testing.T, h *host, script string) (*program, string) {
	t.Helper()
	w, p := &program{host: h}, &recorder{}
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan struct{})
	tk := shell(t, script)
	go func() { defer close(done); _, _ = run(ctx, w, tk, p) }()
	t.Cleanup(func() { cancel(ports.ErrFenced); <-done })
	require.Eventually(t, func() bool { return p.text("stdout") != "" }, 20*time.Second, time.Millisecond)
	return w, strings.Split(p.text("stdout"), "\n")[0]
}

func TestExec_AsAUserOfItsOwn_ReachesNeitherTheWorkerNorOtherRuns(t *testing.T) {
	requireRoot(t)
	secret := filepath.Join(t.TempDir(), "worker-key")
	require.NoError(t, os.WriteFile(secret, []byte("canary"), 0o600))
	h := testHost(t, Options{ExecAllow: []string{"sh"}, ExecUsers: "2000010000-2000010010", ExecNamespaces: "none",
		Slots: 10})
	other, pid := background(t, h, `echo canary > secret; echo $$; exec sleep 300`)
	f, err := os.Open(secret)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	for what, script := range map[string]string{
		"the worker's environment":    fmt.Sprintf("cat /proc/%d/environ", os.Getpid()),
		"its parent's environment":    "cat /proc/$PPID/environ",
		"the worker's memory":         fmt.Sprintf("head -c 1 /proc/%d/mem", os.Getpid()),
		"the worker's descriptors":    fmt.Sprintf("cat /proc/%d/fd/%d", os.Getpid(), f.Fd()),
		"the worker's files":          "cat " + secret,
		"another run's environment":   "cat /proc/" + pid + "/environ",
		"another run's directory":     "ls /proc/" + pid + "/cwd/",
		"another run's scratch":       "cat " + other.scratch + "/secret",
		"the list of scratch":         "ls " + h.room.path,
		"a file in another's scratch": "echo x > " + other.scratch + "/x",
		"a file beside its scratch":   "echo x > ../x",
		"a signal to the worker":      fmt.Sprintf("kill -0 %d", os.Getpid()),
		"a signal to another run":     "kill -0 " + pid,
		"the user locks":              "ls " + h.users.locks,
	} {
		_, err := run(t.Context(), &program{host: h}, shell(t, script+" && exit 99"), &recorder{})
		var re *ports.RunError
		require.ErrorAs(t, err, &re, what)
		require.NotContains(t, err.Error(), "exit status 99", what)
		if strings.HasPrefix(script, "kill") {
			continue // the message depends on the shell
		}
		require.Regexp(t, "(?i)permission denied|operation not permitted|cannot open|cannot create", err.Error(), what)
	}
	p := &recorder{}
	_, err = run(t.Context(), &program{host: h}, shell(t,
		`id -u; id -G; grep -E 'NoNewPrivs|CapEff|CapPrm|CapInh|CapAmb' /proc/self/status; echo mine > mine; ls -ld .`), p)
	require.NoError(t, err, p.text("stderr"))
	lines := strings.Split(p.text("stdout"), "\n")
	uid, err := strconv.Atoi(lines[0])
	require.NoError(t, err)
	assert.True(t, uid >= 2000010000 && uid <= 2000010009)
	assert.NotEqual(t, int(other.user.id), uid)
	assert.Equal(t, lines[0], lines[1], "no other groups")
	assert.Contains(t, lines, "NoNewPrivs:\t1")
	for _, set := range []string{"CapEff", "CapPrm", "CapInh", "CapAmb"} {
		assert.Contains(t, lines, set+":\t0000000000000000")
	}
	assert.Contains(t, p.text("stdout"), "drwx------")
}

func TestExec_GetsOnlyItsOwnDescriptors(t *testing.T) {
	eachIsolation(t, func(t *testing.T, o Options) {
		var fds [2]int
		require.NoError(t, syscall.Pipe(fds[:])) // without O_CLOEXEC, as from a careless parent
		t.Cleanup(func() { _ = syscall.Close(fds[0]); _ = syscall.Close(fds[1]) })
		p := &recorder{}
		_, err := run(t.Context(), &program{host: testHost(t, o)},
			shell(t, `for fd in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$fd ] && echo $fd; done
				grep NoNewPrivs /proc/self/status`), p)
		require.NoError(t, err)
		got := strings.Split(p.text("stdout"), "\n")
		assert.Equal(t, []string{"0", "1", "2", "3", "NoNewPrivs:\t1"}, got)
	})
}

// escapes are programs that try to outlive their run. Each prints the pid of the process that is to
// survive, and then has it in the file "said".
var escapes = map[string]string{
	"a child":                  `sleep 300 & echo $! | tee said`,
	"a group of its own":       `set -m; sleep 300 & echo $! | tee said`,
	"a session of its own":     `setsid sh -c 'echo $$ | tee said; exec sleep 300' &`,
	"an orphan":                `(setsid sh -c 'setsid sleep 300 & echo $! | tee said' &)`,
	"one that ignores signals": `setsid sh -c 'trap "" HUP INT TERM; echo $$ | tee said; while :; do sleep 1; done' &`,
	"one that forks and ends":  `printf 'setsid sh "$0" & exit 0' > "$HOME/hop"; sh "$HOME/hop"; echo $$ | tee said`,
}

// hidden are programs of that kind that also hide their run: their environment does not name it.
var hidden = map[string]string{
	"a hidden session": `env -i setsid sh -c 'echo $$ | tee said; exec sleep 300' &`,
	"a hidden orphan":  `(env -i setsid sh -c 'setsid sleep 300 & echo $! | tee said' &)`,
	"a hidden one that forks and ends": `printf 'env -i setsid sh "$0" & exit 0' > "$HOME/hop"
		env -i sh "$HOME/hop"; echo $$ | tee said`,
}

// untilSaid waits until a script of escapes has printed the pid.
const untilSaid = "\nuntil [ -s said ]; do sleep 0.01; done"

// ends are the ways in which a run ends. nil means that it ends by itself.
var ends = map[string]error{"cancelled": ports.ErrCancelled, "fenced": ports.ErrFenced, "timed out": ports.ErrTimeout,
	"by itself": nil}

func TestExec_WhenARunEnds_LeavesNoProcesses(t *testing.T) {
	eachIsolation(t, func(t *testing.T, o Options) {
		h := testHost(t, o)
		for escape, script := range escapes {
			for end, cause := range ends {
				t.Run(escape+", "+end, func(t *testing.T) { outlive(t, h, script, cause) })
			}
		}
	})
}

func TestExec_AsAUserOfItsOwn_HidingDoesNotHelp(t *testing.T) {
	requireRoot(t)
	for _, namespaces := range []string{"auto", "none"} {
		h := testHost(t, Options{ExecAllow: []string{"sh"}, ExecNamespaces: namespaces})
		for escape, script := range hidden {
			for end, cause := range ends {
				t.Run(namespaces+", "+escape+", "+end, func(t *testing.T) { outlive(t, h, script, cause) })
			}
		}
	}
}

// outlive runs a script that tries to outlive its run. The script has what it prints in the file "said",
// too, unless it is cancelled.
func outlive(t *testing.T, h *host, script string, cause error) {
	t.Helper()
	w, p := &program{host: h}, &recorder{}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	done := make(chan error, 1)
	if cause != nil {
		script += "\nwait; while :; do sleep 1; done"
	} else {
		script += untilSaid
	}
	tk := shell(t, script)
	go func() { _, err := run(ctx, w, tk, p); done <- err }()
	require.Eventually(t, func() bool { return p.text("stdout") != "" }, 20*time.Second, time.Millisecond)
	space := namespaceOf(t, w)
	ended := time.Now()
	if cause != nil {
		cancel(cause)
	}
	require.ErrorIs(t, <-done, cause)
	assert.Less(t, time.Since(ended), time.Minute, "nobody waits for what sleeps for five")
	assert.False(t, w.lasting)
	assert.Empty(t, (&identity{mark: w.mark, uid: w.family.uid, own: w.family.own}).claim())
	pid, err := strconv.Atoi(strings.Split(p.text("stdout"), "\n")[0])
	require.NoError(t, err)
	if left, ok := readProc(pid); ok && !w.family.boxed { // in a box, the id is another one
		assert.True(t, left.ended(), "%+v", left)
	}
	assert.Empty(t, processesIn(t, space))
	assert.NoDirExists(t, w.scratch)
}

func TestExec_WhenTheProcessIsTheWorkersOwn_HidingDoesNotHelpAndOrphansAreReaped(t *testing.T) {
	self := everybodys(t)
	ending := `i=0; while [ $i -lt 20 ]; do (sh -c 'sleep 0.01 &' &); i=$((i+1)); done; sleep 0.2; echo $$`
	type trial struct{ users, how, name, script string }
	trials := []trial{
		{"none", "linger", "a hidden orphan", hidden["a hidden orphan"]}, {"none", "linger", "orphans that end",
			ending},
		{"auto", "by itself", "orphans that end", ending}, {"auto", "cancelled", "an orphan", escapes["an orphan"]},
	}
	for name, script := range hidden {
		if strings.Contains(script, "hop") {
			// Only a user of its own catches it on a busy machine; see the limits in
			// docs/operations/exec-protocol.md.
			continue
		}
		trials = append(trials, trial{"none", "cancelled", name, script},
			trial{"none", "by itself", name, script + untilSaid})
	}
	for _, c := range trials {
		t.Run(c.users+", "+c.how+", "+c.name, func(t *testing.T) {
			if c.how != "by itself" {
				c.script += "\nwait; while :; do sleep 1; done"
			}
			b, err := exec.Command(self, "keep", c.users+",none", c.how, c.script).CombinedOutput()
			require.NoError(t, err, string(b))
			pid, left, ok := strings.Cut(strings.TrimSpace(string(b)), " ")
			require.True(t, ok, string(b))
			assert.Equal(t, "left=0", left)
			n, err := strconv.Atoi(pid)
			require.NoError(t, err, string(b))
			if p, ok := readProc(n); ok {
				assert.True(t, p.ended(), "%+v", p)
			}
		})
	}
}

func TestUsers_ConcurrentRunsOfSeveralWorkers_NeverShareOne(t *testing.T) {
	requireRoot(t)
	const n = 8
	pools := make([]*users, 2)
	for i := range pools {
		var err error
		pools[i], _, err = newUsers("2000020000-2000020008", slog.New(slog.DiscardHandler))
		require.NoError(t, err)
	}
	var mu sync.Mutex
	taken := map[uint32]*user{}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			u, err := pools[i%2].take()
			mu.Lock()
			defer mu.Unlock()
			if assert.NoError(t, err) {
				assert.NotContains(t, taken, u.id)
				taken[u.id] = u
			}
		})
	}
	wg.Wait()
	_, err := pools[0].take()
	requireRunError(t, err, "no_user", false)
	taken[2000020003].giveBack()
	u, err := pools[1].take()
	require.NoError(t, err)
	assert.Equal(t, uint32(2000020003), u.id)
	u.giveBack()
	for id, u := range taken {
		if id != 2000020003 {
			u.giveBack()
		}
	}
}

func TestExec_AsAUserOfItsOwn_AStormOfForksEndsWithItsRun(t *testing.T) {
	requireRoot(t)
	h := testHost(t, Options{ExecAllow: []string{"sh"}, ExecNamespaces: "none"})
	storm := `printf 'env -i setsid sh "$0" & exit 0' > "$HOME/hop"
		for i in 1 2 3 4 5 6 7 8; do env -i sh "$HOME/hop"; done; echo $$ | tee said`
	for range 5 {
		outlive(t, h, storm, ports.ErrCancelled)
		outlive(t, h, storm, nil)
	}
}

func TestKillUser_KillsTheProcessesOfThatUserOnly(t *testing.T) {
	requireRoot(t)
	const first, sender = 2000040000, 2000040003
	victims := []*exec.Cmd{asUser(t, first), asUser(t, first)}
	others := []*exec.Cmd{asUser(t, first+1), asUser(t, first+2), exec.Command("sleep", "300")}
	require.NoError(t, others[2].Start())
	t.Cleanup(func() { _ = others[2].Process.Kill(); _ = others[2].Wait() })
	require.NoError(t, killUser(first, sender))
	for _, victim := range victims {
		state, err := victim.Process.Wait()
		require.NoError(t, err)
		assert.False(t, state.Exited(), "it was killed")
	}
	for _, other := range others {
		p, ok := readProc(other.Process.Pid)
		require.True(t, ok)
		assert.False(t, p.ended())
	}
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() { assert.NoError(t, killUser(first, sender), "nobody is left") })
	}
	wg.Wait()
	require.Eventually(t, func() bool {
		threads, err := filepath.Glob("/proc/self/task/*/status")
		require.NoError(t, err)
		return !slices.ContainsFunc(threads, func(thread string) bool {
			b, err := os.ReadFile(thread)
			return err == nil && !strings.Contains(string(b), "\nUid:\t0\t0\t0\t0\n")
		})
	}, 20*time.Second, 10*time.Millisecond, "the threads that sent the signal end, and no other has changed its user")
}

// asUser starts a sleep under a user, like one that a dead worker left behind.
func asUser(t *testing.T, uid uint32, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "300")
	cmd.Env, cmd.Dir = env, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func TestUsers_WhenSomethingStillRunsUnderOne_ItIsKilledOrPassedOver(t *testing.T) {
	requireRoot(t)
	left := asUser(t, 2000030000)
	pool, _, err := newUsers("2000030000-2000030002", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	pool.next = 0
	u, err := pool.take()
	require.NoError(t, err)
	defer u.giveBack()
	assert.Equal(t, uint32(2000030000), u.id, "the range is the worker's: what runs there is killed")
	state, err := left.Process.Wait()
	require.NoError(t, err)
	assert.False(t, state.Exited(), "it was killed")

	pool.stated, pool.next = false, 1 // processes in a range that was not stated may belong to others
	stranger := asUser(t, 2000030001)
	_, err = pool.take()
	requireRunError(t, err, "no_user", false)
	p, ok := readProc(stranger.Process.Pid)
	require.True(t, ok)
	assert.False(t, p.ended())
	_ = stranger.Process.Kill()
	_ = stranger.Wait()
	ours := asUser(t, 2000030001, runVariable+"=x")
	pool.next = 1
	u2, err := pool.take()
	require.NoError(t, err)
	u2.giveBack()
	_ = ours.Wait()
}

func TestUsers_WhatARunLeavesInTemporaryFolders_GoesWithIt(t *testing.T) {
	requireRoot(t)
	h := testHost(t, Options{ExecAllow: []string{"sh"}})
	p := &recorder{}
	_, err := run(t.Context(), &program{host: h}, shell(t,
		`for d in /tmp /var/tmp /dev/shm; do f=$(mktemp -d $d/left-XXXXXX); touch $f/x; chmod 0 $f; echo $f; done`), p)
	require.NoError(t, err, p.text("stderr"))
	for path := range strings.SplitSeq(p.text("stdout"), "\n") {
		assert.NoFileExists(t, path)
		assert.NoDirExists(t, path)
	}
}

func TestUsersSetting_WhenItSaysNothingUsable_IsRefused(t *testing.T) {
	for _, s := range []string{"x", "1000", "0-10", "999-2000", "2000-1999", "1000-1000", "1000-", "-5", "1000-4294967295",
		"10000-2000000", "1e3-2e3"} {
		require.Error(t, ValidateUsers(s), s)
	}
	for _, s := range []string{"", "auto", "none", "1000-1001", "200000-265535"} {
		require.NoError(t, ValidateUsers(s), s)
	}
	_, err := New(Options{ExecAllow: []string{"sh"}, ExecUsers: "70000-70002", Slots: 3}, slog.New(slog.DiscardHandler))
	require.Error(t, err, "fewer users than slots, or no right to change the user")
}

func TestScratch_OfWorkersThatAreGone_IsSweptAtStart(t *testing.T) {
	parent := t.TempDir()
	t.Setenv("TMPDIR", parent)
	old := filepath.Join(parent, scratchPrefix+"old")
	require.NoError(t, os.MkdirAll(old+"/run-1/forbidden", 0o700))
	require.NoError(t, os.WriteFile(old+"/run-1/forbidden/file", []byte("x"), 0o600))
	require.NoError(t, os.Chmod(old+"/run-1/forbidden", 0))
	target := filepath.Join(parent, "target")
	require.NoError(t, os.WriteFile(target, []byte("kept"), 0o600))
	require.NoError(t, os.Symlink(target, old+"/run-1/link"))
	require.NoError(t, os.Symlink(target, filepath.Join(parent, scratchPrefix+"link")))
	alive, err := newScratchRoom(false)
	require.NoError(t, err)
	assert.NoDirExists(t, old)
	assert.FileExists(t, target)
	run, err := alive.make(nil)
	require.NoError(t, err)
	second, err := newScratchRoom(false)
	require.NoError(t, err)
	assert.DirExists(t, run, "its worker lives")
	n, err := sweepScratch(parent) // other workers of this machine may have left some elsewhere
	require.NoError(t, err)
	assert.Zero(t, n)
	require.NoError(t, second.close())
	require.NoError(t, alive.lock.Close()) // as if the process had died
	n, err = sweepScratch(parent)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	assert.NoDirExists(t, alive.path)
}

func TestIsolation_SaysWhatIsInForce(t *testing.T) {
	offer, err := New(Options{ExecAllow: []string{"sh"}, ExecUsers: "none", Dumpable: true},
		slog.New(slog.NewTextHandler(io.Discard, nil)))
	require.NoError(t, err)
	assert.Equal(t, IsolationNone, offer.Isolation)
	require.NoError(t, offer.Close())
	offer, err = New(Options{ExecAllow: []string{"sh"}}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	plain, boxed := IsolationDumpable, NamespacesUser
	if missingCapabilities() == "" {
		plain, boxed = IsolationUser, NamespacesYes
	}
	assert.Equal(t, plain, offer.Isolation)
	assert.Contains(t, []Namespaces{NamespacesNone, boxed}, offer.Namespaces)
	require.NoError(t, offer.Close())
	offer, err = New(Options{ExecAllow: []string{"sh"}, ExecNamespaces: "none"}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	assert.Equal(t, plain, offer.Isolation)
	assert.Equal(t, NamespacesNone, offer.Namespaces)
	require.NoError(t, offer.Close())
	if boxesWork(t) {
		offer, err = New(Options{ExecAllow: []string{"sh"}, ExecNamespaces: "required"}, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		assert.Equal(t, plain, offer.Isolation)
		assert.Equal(t, boxed, offer.Namespaces)
		require.NoError(t, offer.Close())
	}
	for _, s := range []string{"", "auto", "required", "none"} {
		require.NoError(t, ValidateNamespaces(s))
	}
	require.Error(t, ValidateNamespaces("yes"))
	offer, err = New(Options{}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	assert.Empty(t, offer.Isolation)
	assert.Empty(t, offer.Namespaces)
	require.NoError(t, offer.Close())
}
