package workloads

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/niyanta/niyanta/contracttests/testfiles"
	"github.com/niyanta/niyanta/core/ports"
)

func init() {
	roles["inside"], roles["pry"] = inside, pry
}

// boxesWork reports whether this process can make boxes.
func boxesWork(t *testing.T) bool {
	t.Helper()
	return testHost(t, Options{ExecAllow: []string{"sh"}}).boxes != nil
}

// heardFrom is what a run in another process told.
type heardFrom struct {
	Namespaces Namespaces
	Stdout     string
	Stderr     string
	Error      string // of the run
	Scratch    string
	Refused    string // why there was no run
}

// inside runs a script as a worker of its own, and prints what it told. Its arguments are the users,
// the namespaces, and the script.
func inside(args []string) {
	var out heardFrom
	defer func() { _ = json.NewEncoder(os.Stdout).Encode(out) }()
	h, err := newHost(Options{ExecAllow: []string{"sh", os.Args[0]}, ExecUsers: args[0], ExecNamespaces: args[1]},
		slog.New(slog.DiscardHandler))
	if err != nil {
		out.Refused = err.Error()
		return
	}
	defer func() { _ = h.close() }()
	h.killGrace = time.Second
	out.Namespaces = h.boxes.protect(h.users != nil)
	command, _ := json.Marshal(map[string]any{"command": append([]string{"sh", "-c"}, args[2:]...)})
	w, p := &program{host: h}, &recorder{}
	_, err = run(context.Background(), w, task(string(command)), p)
	out.Stdout, out.Stderr, out.Scratch = p.text("stdout"), p.text("stderr"), w.scratch
	if err != nil {
		out.Error = err.Error()
	}
}

// worker runs a script in another process, and returns what it told. prepare changes the process.
func worker(t *testing.T, self string, prepare func(*exec.Cmd), args ...string) (out heardFrom) {
	t.Helper()
	cmd := exec.Command(self, append([]string{"inside"}, args...)...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH")}
	if prepare != nil {
		prepare(cmd)
	}
	b, err := cmd.CombinedOutput()
	require.NoError(t, err, string(b))
	require.NoError(t, json.Unmarshal(b, &out), string(b))
	return out
}

// unprivileged has a process run as a user without rights.
func unprivileged(cmd *exec.Cmd) {
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
	}
}

// eachBox runs a test with boxes of each kind that can be made here. The function runs a script in a
// worker of its own.
func eachBox(t *testing.T, f func(t *testing.T, try func(script ...string) heardFrom)) {
	t.Helper()
	self := everybodys(t)
	for name, prepare := range map[string]func(*exec.Cmd){
		"of root": nil, "of a user without rights": unprivileged,
	} {
		t.Run(name, func(t *testing.T) {
			if prepare == nil {
				requireRoot(t)
			}
			if out := worker(t, self, prepare, "auto", "required", "true"); out.Refused != "" {
				t.Skip("needs namespaces: " + out.Refused)
			}
			f(t, func(script ...string) heardFrom {
				return worker(t, self, prepare, append([]string{"auto", "required"}, script...)...)
			})
		})
	}
}

// namespaceOf returns the PID namespace of a run that is under way, or "" if it has none of its own. It
// keeps the namespace: the kernel would give its name to the next one, which may be of another test.
func namespaceOf(t *testing.T, p *program) string {
	t.Helper()
	if !p.family.boxed {
		return ""
	}
	return keepNamespace(t, fmt.Sprintf("/proc/%d/ns/pid_for_children", p.family.child))
}

// keepNamespace returns the name of a namespace, which stays until the test ends.
func keepNamespace(t *testing.T, link string) string {
	t.Helper()
	name, _ := os.Readlink(link)
	if f, err := os.Open(link); err == nil {
		t.Cleanup(func() { _ = f.Close() })
	}
	return name
}

// processesIn returns the processes of a PID namespace.
func processesIn(t *testing.T, name string) (found []int) {
	t.Helper()
	all, _ := snapshot(nil)
	for i := range all {
		if in, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", all[i].pid)); err == nil && in == name && !all[i].ended() {
			found = append(found, all[i].pid)
		}
	}
	return found
}

func TestBox_AProgram_SeesOnlyItsOwnProcesses(t *testing.T) {
	canary := exec.Command("sleep", "300")
	require.NoError(t, canary.Start())
	t.Cleanup(func() { _ = canary.Process.Kill(); _ = canary.Wait() })
	eachBox(t, func(t *testing.T, try func(...string) heardFrom) {
		out := try(fmt.Sprintf(`ls /proc | grep -c '^[0-9]*$'; echo $PPID
			kill -0 %d 2>/dev/null && echo signalled; [ -e /proc/%d ] && echo seen
			for f in environ mem maps fd/4 root/etc cwd/etc; do cat /proc/1/$f >/dev/null 2>&1 && echo read $f; done
			ls /proc/1/fd 2>/dev/null; tr '\0' ' ' </proc/1/cmdline
			grep -E 'CapEff|CapPrm|CapInh|CapAmb|NoNewPrivs|NStgid' /proc/self/status; exit 0`,
			canary.Process.Pid, canary.Process.Pid))
		require.Empty(t, out.Error, out.Stderr)
		lines := strings.Split(out.Stdout, "\n")
		require.GreaterOrEqual(t, len(lines), 3, out.Stdout)
		n, err := strconv.Atoi(lines[0])
		require.NoError(t, err)
		assert.LessOrEqual(t, n, 4, "init, the shell, ls and grep")
		assert.Equal(t, "1", lines[1])
		assert.Equal(t, "niyanta-exec-init 4 ", strings.Split(lines[2], "Name")[0][:20], out.Stdout)
		assert.NotContains(t, out.Stdout, "signalled")
		assert.NotContains(t, out.Stdout, "seen")
		assert.NotContains(t, out.Stdout, "read ")
		for _, set := range []string{"CapEff", "CapPrm", "CapInh", "CapAmb"} {
			assert.Contains(t, out.Stdout, set+":\t0000000000000000")
		}
		assert.Contains(t, out.Stdout, "NoNewPrivs:\t1")
	})
}

func TestBox_AProgramThatKillsEverything_KillsOnlyItself(t *testing.T) {
	canary := exec.Command("sleep", "300")
	if os.Geteuid() == 0 { // the user of the worker without rights
		canary.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65533, Gid: 65533}}
	}
	require.NoError(t, canary.Start())
	t.Cleanup(func() { _ = canary.Process.Kill(); _ = canary.Wait() })
	eachBox(t, func(t *testing.T, try func(...string) heardFrom) {
		out := try(`sleep 300 & kill -9 -1; wait; echo alone; exit 7`)
		assert.Equal(t, "exit status 7", out.Error)
		assert.Equal(t, "alone", out.Stdout)
		out = try(`for s in $(seq 1 64); do kill -$s 1; done 2>/dev/null; kill -9 1; kill -s STOP 1; sleep 0.2; exit 5`)
		assert.Regexp(t, "^exit status 5", out.Error, "the init cannot be killed: %s", out.Stderr)
		out = try(`kill -9 $$`)
		assert.Equal(t, "killed by signal 9 (killed)", out.Error)
		out = try(`kill -SEGV $$`)
		assert.Equal(t, "killed by signal 11 (segmentation fault)", out.Error)
		p, ok := readProc(canary.Process.Pid)
		require.True(t, ok)
		assert.False(t, p.ended())
	})
}

func TestBox_AProgramThatStarvesItsInit_OnlyFails(t *testing.T) {
	eachBox(t, func(t *testing.T, try func(...string) heardFrom) {
		out := try(`prlimit --pid 1 --cpu=1 --nofile=0 --nproc=0 --as=1 || exit 64
			while :; do kill -URG 1; kill -USR1 1; done 2>/dev/null`)
		assert.NotEmpty(t, out.Error)
		assert.NotContains(t, out.Error, "exit status 0")
	})
}

func TestBox_AProgram_ReachesNoOtherScratchDirectory(t *testing.T) {
	requireRoot(t)
	self := everybodys(t)
	if out := worker(t, self, nil, "auto", "required", "true"); out.Refused != "" {
		t.Skip("needs namespaces: " + out.Refused)
	}
	h := testHost(t, Options{ExecAllow: []string{"sh"}})
	neighbours := testHost(t, Options{ExecAllow: []string{"sh"}}) // another worker
	other, _ := background(t, h, `echo canary > secret; chmod 644 secret; chmod 755 .; echo $$; exec sleep 300`)
	for _, folder := range []string{h.room.path, neighbours.room.path} {
		require.NoError(t, os.Chmod(folder, 0o755)) //nolint:gosec // nothing but the box is to hide it
	}
	require.NoError(t, os.WriteFile(neighbours.room.path+"/canary", nil, 0o644)) //nolint:gosec // as above
	for what, script := range map[string]string{
		"another run's":         "cat " + other.scratch + "/secret",
		"the list":              "[ $(ls " + h.room.path + " | wc -l) -gt 1 ]",
		"another worker's":      "ls " + neighbours.room.path + "/canary",
		"a new one":             "mkdir " + h.room.path + "/x",
		"another run's, later":  "mkdir " + other.scratch,
		"below the mount":       "unshare -Urm sh -c 'umount -l " + h.room.path + " && cat " + other.scratch + "/secret'",
		"below its own":         "unshare -Urm sh -c 'umount -l . && ls ../" + filepath.Base(other.scratch) + "'",
		"the machine's /proc":   "unshare -Urm sh -c 'umount -l /proc && ls /proc/" + strconv.Itoa(os.Getpid()) + "'",
		"a mount":               "mount -t tmpfs x /mnt",
		"an end of a mount":     "umount " + h.room.path,
		"the root of another":   "nsenter -t 1 -m true",
		"its init's namespaces": "cat /proc/1/ns/mnt",
	} {
		p := &recorder{}
		_, err := run(t.Context(), &program{host: h}, shell(t, script+" && exit 99"), p)
		require.Error(t, err, what)
		require.NotContains(t, err.Error(), "exit status 99", "%s: %s", what, p.text("stdout"))
		require.Contains(t, err.Error(), "exit status", what)
	}
	p := &recorder{}
	tk := shell(t, `echo x > mine; cat "$HOME/mine" "$TMPDIR/mine"; pwd; echo $HOME`)
	_, err := run(t.Context(), &program{host: h}, tk, p)
	require.NoError(t, err, p.text("stderr"))
	lines := strings.Split(p.text("stdout"), "\n")
	require.Len(t, lines, 4)
	assert.Equal(t, []string{"x", "x"}, lines[:2])
	assert.Equal(t, lines[2], lines[3])
	assert.Equal(t, h.room.path, filepath.Dir(lines[2]), "the same name inside and outside")
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	assert.NotContains(t, string(mounts), scratchPrefix, "no mount leaves its box")
}

// pry tries what debuggers can, and prints what worked.
func pry([]string) {
	var worked []string
	if unix.PtraceAttach(1) == nil {
		worked = append(worked, "ptrace")
	}
	if _, err := os.ReadFile("/proc/1/environ"); err == nil {
		worked = append(worked, "environ")
	}
	b := make([]byte, 1)
	local := []unix.Iovec{{Base: &b[0], Len: 1}}
	if _, err := unix.ProcessVMReadv(1, local, []unix.RemoteIovec{{Base: 0x400000, Len: 1}}, 0); err == nil {
		worked = append(worked, "memory")
	}
	if fd, err := unix.PidfdOpen(1, 0); err == nil {
		for n := range 8 {
			if _, err := unix.PidfdGetfd(fd, n, 0); err == nil {
				worked = append(worked, "descriptor")
			}
		}
	}
	fmt.Println("worked:", worked)
}

func TestBox_AProgram_CannotReachIntoItsInit(t *testing.T) {
	eachBox(t, func(t *testing.T, try func(...string) heardFrom) {
		out := try(`exec "$0" pry`, everybodys(t))
		require.Empty(t, out.Error, out.Stderr)
		assert.Equal(t, "worked: []", out.Stdout)
	})
}

func TestBox_WhenAProgramLeavesProcesses_NoneSurvives(t *testing.T) {
	if !boxesWork(t) {
		t.Skip("needs namespaces")
	}
	// Without users and control groups, only the namespace ends them.
	h := testHost(t, Options{ExecAllow: []string{"sh"}, ExecUsers: "none", ExecLimits: "none"})
	storm := `printf 'env -i setsid sh "$0" & exit 0' > "$HOME/hop"
		for i in 1 2 3 4 5 6 7 8; do env -i sh "$HOME/hop"; done; echo $$ | tee said`
	for escape, script := range map[string]string{
		"a storm": storm, "a hidden orphan": hidden["a hidden orphan"],
		"a hidden hop":   hidden["a hidden one that forks and ends"],
		"a stubborn one": `trap '' TERM INT HUP; echo $$ | tee said`,
	} {
		for end, cause := range ends {
			t.Run(escape+", "+end, func(t *testing.T) { outlive(t, h, script, cause) })
		}
	}
}

func TestBox_Orphans_AreReapedByTheInit(t *testing.T) {
	eachBox(t, func(t *testing.T, try func(...string) heardFrom) {
		out := try(`i=0; while [ $i -lt 50 ]; do (sh -c 'true &' &); i=$((i+1)); done
			for try in $(seq 150); do
				left=$(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l)
				[ $left = 0 ] && break; sleep 0.2
			done; echo $left`)
		require.Empty(t, out.Error, out.Stderr)
		assert.Equal(t, "0", out.Stdout)
	})
}

func TestBox_WhenItsWorkerIsKilled_EverythingInItDies(t *testing.T) {
	self := everybodys(t)
	for name, prepare := range map[string]func(*exec.Cmd){"of root": nil, "of a user without rights": unprivileged} {
		t.Run(name, func(t *testing.T) {
			if prepare == nil {
				requireRoot(t)
			}
			if out := worker(t, self, prepare, "auto", "required", "true"); out.Refused != "" {
				t.Skip("needs namespaces: " + out.Refused)
			}
			cmd := exec.Command(self, "keep", "auto,required", "forever",
				`env -i setsid sh -c 'trap "" TERM; (sleep 301 &); sleep 301' & readlink /proc/self/ns/pid; wait`)
			cmd.Dir = "/"
			if prepare != nil {
				prepare(cmd)
			}
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			var space string
			_, err = fmt.Fscan(out, &space)
			require.NoError(t, err)
			require.Contains(t, space, "pid:[")
			members := processesIn(t, space)
			require.NotEmpty(t, members)
			keepNamespace(t, fmt.Sprintf("/proc/%d/ns/pid", members[0]))
			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait()
			require.Eventually(t, func() bool { return len(processesIn(t, space)) == 0 }, 30*time.Second,
				time.Millisecond)
		})
	}
}

func TestBox_WhenNamespacesAreNotAllowed_ProgramsRunWithout(t *testing.T) {
	requireRoot(t)
	self := everybodys(t)
	// A user namespace in which no other namespaces can be made.
	confined := func(cmd *exec.Cmd) {
		script := `cd /proc/sys/user; echo 0 >max_pid_namespaces && echo 0 >max_user_namespaces || exit 9; cd /; exec "$@"`
		cmd.Args = append([]string{"unshare", "-Urmpf", "sh", "-c", script, "sh", cmd.Path}, cmd.Args[1:]...)
		var err error
		cmd.Path, err = exec.LookPath("unshare")
		require.NoError(t, err)
	}
	if b, err := exec.Command("unshare", "-Urmpf", "true").CombinedOutput(); err != nil {
		t.Skipf("needs user namespaces to forbid them: %s", b)
	}
	out := worker(t, self, confined, "none", "auto", "echo hello; readlink /proc/self/ns/pid")
	require.Empty(t, out.Refused)
	assert.Empty(t, out.Error)
	assert.Contains(t, out.Stdout, "hello")
	assert.Equal(t, NamespacesNone, out.Namespaces)
	out = worker(t, self, confined, "none", "required", "echo hello")
	assert.Contains(t, out.Refused, "no namespaces for programs", "what the operator demands must hold")
}

func TestBox_WhenItCannotBeMadeAnyMore_TheRunIsTriedAgain(t *testing.T) {
	if !boxesWork(t) {
		t.Skip("needs namespaces")
	}
	h := testHost(t, Options{ExecAllow: []string{"sh"}})
	gone := *h.boxes
	gone.room = filepath.Join(t.TempDir(), "gone")
	h.boxes = &gone
	_, err := run(t.Context(), &program{host: h}, shell(t, "echo never"), &recorder{})
	requireRunError(t, err, "cannot_start", false)
	assert.Contains(t, err.Error(), "prepare its namespaces: hide scratch directories: no such file or directory")
}

func TestBox_WhenItsInitHangs_TheRunStillEnds(t *testing.T) {
	if !boxesWork(t) {
		t.Skip("needs namespaces")
	}
	h := testHost(t, Options{ExecAllow: []string{"sh"}})
	w, p := &program{host: h}, &recorder{}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	done := make(chan error, 1)
	tk := shell(t, "echo x; exec sleep 300")
	go func() { _, err := run(ctx, w, tk, p); done <- err }()
	require.Eventually(t, func() bool { return p.text("stdout") != "" }, 20*time.Second, time.Millisecond)
	space := namespaceOf(t, w)
	require.NoError(t, unix.Kill(w.family.child, unix.SIGSTOP))
	began := testfiles.StartStopwatch(t)
	cancel(ports.ErrFenced)
	require.ErrorIs(t, <-done, ports.ErrFenced)
	assert.Less(t, began.Took(), time.Minute)
	assert.Empty(t, processesIn(t, space))
}

func TestBox_WhatCannotStart_FailsAsWithout(t *testing.T) {
	folder, err := os.MkdirTemp("", "workloads-test-") //nolint:usetesting // other users pass through it
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	require.NoError(t, os.Chmod(folder, 0o755)) //nolint:gosec // others execute it
	for name, text := range map[string]string{"garbage": "\x00\x01garbage", "gone": "#!/no/such/interpreter"} {
		require.NoError(t, os.WriteFile(folder+"/"+name, []byte(text), 0o755)) //nolint:gosec // others execute it
		var texts []string
		for _, namespaces := range []string{"auto", "none"} {
			h := testHost(t, Options{ExecAllow: []string{folder + "/" + name}, ExecNamespaces: namespaces})
			_, err := run(t.Context(), &program{host: h}, task(`{"command":["`+folder+"/"+name+`"]}`), &recorder{})
			requireRunError(t, err, "cannot_start", true)
			texts = append(texts, err.Error())
		}
		assert.Equal(t, texts[1], texts[0])
	}
}

func TestBox_WithLargeInput_GetsAllOfIt(t *testing.T) {
	long := strings.Repeat("x", 100<<10)
	script := `printf %s "$0$1$2$3$4$5$6$7" | wc -c`
	in, err := json.Marshal(map[string]any{"command": []string{"sh", "-c", script, long, long,
		long, long, long, long, long, long + "\xff"}})
	require.NoError(t, err)
	p := &recorder{}
	h := testHost(t, Options{ExecAllow: []string{"sh"}})
	_, err = run(t.Context(), &program{host: h}, task(string(in)), p)
	require.NoError(t, err)
	assert.Equal(t, strconv.Itoa(8*100<<10+3), p.text("stdout"))
}
