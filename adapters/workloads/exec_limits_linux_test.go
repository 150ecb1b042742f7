package workloads

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/workloads/cgroup"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// requireGroups skips a test where control groups cannot be made.
func requireGroups(t *testing.T) {
	t.Helper()
	tree, err := cgroup.Open()
	if err != nil {
		t.Skip("needs control groups: " + err.Error())
	}
	require.NoError(t, tree.Close())
}

// eachLimits runs a test with each way to hold programs to their limits that works here.
func eachLimits(t *testing.T, f func(t *testing.T, h *host)) {
	t.Helper()
	for _, limits := range []string{"cgroup", "rlimit"} {
		for _, users := range []string{"auto", "none"} {
			t.Run(limits+", users "+users, func(t *testing.T) {
				if limits == "cgroup" {
					requireGroups(t)
				}
				f(t, testHost(t, Options{ExecAllow: []string{"sh"}, ExecUsers: users, ExecLimits: limits}))
			})
		}
	}
}

// limited returns the task of running a script within limits.
func limited(t *testing.T, limits domain.Amounts, script string) ports.Task {
	t.Helper()
	tk := shell(t, script)
	tk.Limits = limits
	return tk
}

const (
	// hog is a program that takes memory until it is stopped.
	hog = `awk 'BEGIN { s = "x"; while (1) s = s s }'`
	// holder is one that takes 134 MB and keeps them.
	holder = `awk 'BEGIN { s = "x"; while (length(s) < 100000000) s = s s; system("sleep 300") }'`
	// sharer is one that takes 200 MB of memory that processes can share, in one of these ways.
	sharer = `exec /usr/bin/python3 -c 'import mmap, os, sys, time
how, size = sys.argv[1], 200 << 20
if how == "mapped":
    m = mmap.mmap(-1, size)
    for at in range(0, size, 4096): m[at] = 1
else:
    f = os.memfd_create("x")
    for _ in range(200): os.write(f, bytes(1 << 20))
time.sleep(300)' `
)

// withSharers adds programs that take memory that processes can share, if this machine has Python.
func withSharers(scripts map[string]string) map[string]string {
	if _, err := os.Stat("/usr/bin/python3"); err == nil {
		scripts["shared memory"], scripts["a file in memory"] = sharer+"mapped", sharer+"file"
	}
	return scripts
}

func TestExec_OverItsMemory_IsKilledAndFailsAsResources(t *testing.T) {
	eachLimits(t, func(t *testing.T, h *host) {
		for name, script := range withSharers(map[string]string{
			"the program":              "exec " + hog,
			"a child":                  hog + "; exit 3",
			"one whose end is ignored": holder + "; exit 0",
			"many children": `for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
				awk 'BEGIN { s = "x"; while (length(s) < 8000000) s = s s; system("sleep 300") }' & done; wait`,
			"one that left its session": `setsid sh -c 'setsid ` + strings.ReplaceAll(holder, "'", `'\''`) + ` &' & sleep 300`,
		}) {
			t.Run(name, func(t *testing.T) {
				w := &program{host: h}
				_, err := run(t.Context(), w, limited(t, domain.Amounts{MemoryMB: 64}, script), &recorder{})
				requireRunError(t, err, "resources", false)
				assert.Regexp(t, `^the run used \d+ MB of memory, and its limit is 64 MB$`, err.Error())
				assert.Empty(t, (&identity{mark: w.mark, uid: w.family.uid, own: w.family.own}).claim())
			})
		}
		_, err := run(t.Context(), &program{host: h}, limited(t, domain.Amounts{MemoryMB: 64},
			`awk 'BEGIN { s = "x"; while (length(s) < 8000000) s = s s }'`), &recorder{})
		require.NoError(t, err, "it stays within its limit")
	})
}

func TestExec_WithALargeFileMapped_IsNotOverItsMemory(t *testing.T) {
	if _, err := os.Stat("/usr/bin/python3"); err != nil {
		t.Skip("needs Python: " + err.Error())
	}
	const reads = `dd if=/dev/zero of=big bs=1M count=200 2>&1; exec /usr/bin/python3 -c 'import mmap, sys, time
f = open("big")
m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
sum(m[at] for at in range(0, len(m), 4096))
time.sleep(float(sys.argv[1]))' `
	h := testHost(t, Options{ExecAllow: []string{"sh"}, ExecLimits: "rlimit"})
	for _, stays := range []string{"0", "2"} {
		p := &recorder{}
		_, err := run(t.Context(), &program{host: h}, limited(t, domain.Amounts{MemoryMB: 64}, reads+stays), p)
		require.NoError(t, err, stays)
		if stays != "0" {
			assert.Less(t, p.used.PeakMemoryMB, int64(100), "what was seen of the file does not count")
		}
	}
}

func TestExec_WhatItUses_IsStated(t *testing.T) {
	eachLimits(t, func(t *testing.T, h *host) {
		p := &recorder{}
		// It keeps its memory for a while: what a short program had at its peak is not known without
		// control groups if it had less than this process. The next look comes ten times as long after a
		// look as that took.
		keep := "0"
		if h.limits.how == LimitsRlimit {
			keep = "5"
		}
		_, err := run(t.Context(), &program{host: h}, shell(t, `awk 'BEGIN { s = "x"; while (length(s) < 30000000) s = s s
			for (i = 0; i < 3000000; i++) n += i; system("sleep `+keep+`") }'; exit 3`), p)
		requireRunError(t, err, "exit_status", false)
		assert.GreaterOrEqual(t, p.used.CPUMS, int64(20))
		assert.GreaterOrEqual(t, p.used.PeakMemoryMB, int64(30))
		assert.Less(t, p.used.PeakMemoryMB, int64(300))
	})
}

func TestExec_OverItsCPU_HasToWait(t *testing.T) {
	requireGroups(t)
	h := testHost(t, Options{ExecAllow: []string{"sh"}, ExecLimits: "cgroup"})
	w, p := &program{host: h}, &recorder{}
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	tk := limited(t, domain.Amounts{CPUCores: 50}, "echo x; while :; do :; done")
	go func() { _, err := w.runAll(ctx, tk, p); done <- err }()
	require.Eventually(t, func() bool { return p.text("stdout") != "" }, 20*time.Second, time.Millisecond)
	began := time.Now()
	from, err := w.bounds.group.Usage()
	require.NoError(t, err)
	time.Sleep(2 * time.Second) // the time in which it uses what it may
	to, err := w.bounds.group.Usage()
	require.NoError(t, err)
	share := float64(to.CPU-from.CPU) / float64(time.Since(began))
	assert.Less(t, share, 0.08, "it may use a twentieth of a core")
	assert.Greater(t, share, 0.005)
	cancel(ports.ErrFenced)
	require.Error(t, <-done)
}

// runAll is run for a program that the test looks into.
func (p *program) runAll(ctx context.Context, t ports.Task, to ports.Progress) (domain.JSON, error) {
	return run(ctx, p, t, to)
}

func TestExec_AForkBomb_IsBoundedAndEndsWithItsRun(t *testing.T) {
	requireRoot(t) // users of their own: with rlimits, the kernel counts processes by user
	for _, limits := range []string{"cgroup", "rlimit"} {
		t.Run(limits, func(t *testing.T) {
			if limits == "cgroup" {
				requireGroups(t)
			}
			h := testHost(t, Options{ExecAllow: []string{"sh"}, ExecLimits: limits})
			w := &program{host: h}
			_, err := run(t.Context(), w, shell(t, `i=0; while :; do sleep 300 & i=$((i+1))
				if [ $i -gt 1100 ]; then echo escaped; exit 3; fi; done`), &recorder{})
			requireRunError(t, err, "exit_status", false)
			assert.Contains(t, strings.ToLower(err.Error()), "fork", "the shell cannot start more")
			outlive(t, h, `bomb() { bomb | bomb & }; bomb; echo $$`, ports.ErrCancelled)
		})
	}
}

func TestExec_WithControlGroups_HidingDoesNotHelpWithoutUsersEither(t *testing.T) {
	requireGroups(t)
	h := testHost(t, Options{ExecAllow: []string{"sh"}, ExecUsers: "none", ExecNamespaces: "none", ExecLimits: "cgroup"})
	for escape, script := range hidden {
		for end, cause := range ends {
			t.Run(escape+", "+end, func(t *testing.T) { outlive(t, h, script, cause) })
		}
	}
}

func TestExec_OverItsDisk_IsKilledAndFailsAsResources(t *testing.T) {
	eachLimits(t, func(t *testing.T, h *host) {
		fillers := map[string]string{
			"one file":          `dd if=/dev/zero of=big bs=1M count=4096`,
			"a hidden folder":   `mkdir -p a/b; cd a/b; dd if=/dev/zero of=.big bs=1M count=4096`,
			"many files":        `i=0; while :; do : > $i; i=$((i+1)); done`,
			"a removed file":    `exec 9> big; rm big; dd if=/dev/zero bs=1M count=4096 >&9`,
			"a file of a child": `(setsid sh -c 'dd if=/dev/zero of=big bs=1M count=4096 &' &); sleep 300`,
		}
		if h.users != nil {
			fillers["a temporary folder"] = `f=$(mktemp -d /var/tmp/fill-XXXXXX); dd if=/dev/zero of=$f/big bs=1M count=4096`
		}
		for name, script := range fillers {
			t.Run(name, func(t *testing.T) {
				_, err := run(t.Context(), &program{host: h}, limited(t, domain.Amounts{DiskMB: 8}, script), &recorder{})
				requireRunError(t, err, "resources", false)
				assert.Regexp(t, `take \d+ MB, and its limit is 8 MB$`, err.Error())
			})
		}
		_, err := run(t.Context(), &program{host: h}, limited(t, domain.Amounts{DiskMB: 8},
			`dd if=/dev/zero of=sparse bs=1 count=1 seek=1G; dd if=/dev/zero of=small bs=1M count=6; ln -s / all; sleep 0.5`),
			&recorder{})
		require.NoError(t, err, "it takes less than its limit: holes take nothing, and links are not followed")
	})
}

func TestExec_WhileItsFilesAreLookedAt_ItsMemoryIsWatched(t *testing.T) {
	w := &program{host: testHost(t, Options{ExecAllow: []string{"sh"}, ExecLimits: "rlimit"})}
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, ports.ErrTimeout)
	defer cancel()
	require.NoError(t, w.Init(ctx, limited(t, domain.Amounts{MemoryMB: 64, DiskMB: 64}, holder)))
	defer func() { assert.NoError(t, w.Close()) }()
	w.bounds.files = func(ended <-chan struct{}) error { <-ended; return nil } // there are very many
	_, err := w.Execute(ctx, &recorder{})
	requireRunError(t, err, "resources", false)
	assert.Contains(t, err.Error(), "MB of memory")
}

func TestBounds_AfterALongLookAtFiles_TheNextOneComesSoon(t *testing.T) {
	h := testHost(t, Options{ExecAllow: []string{"sh"}, ExecLimits: "rlimit"})
	b, err := h.limits.bound(domain.Amounts{}, nil, t.TempDir(), &identity{})
	require.NoError(t, err)
	b.watched.Store(1 << 30) // as if the look had taken very long
	looks := 0
	began := time.Now()
	b.repeat(nil, watchInterval, func() error {
		if looks++; looks == 1 {
			return nil
		}
		return os.ErrInvalid
	})
	assert.Less(t, time.Since(began), 30*time.Second)
	require.ErrorIs(t, b.over, os.ErrInvalid)
	assert.Equal(t, 10*time.Second, maxPause, "docs/operations/exec-protocol.md says so")
}

func TestLimits_WithoutLimits_NothingIsKilled(t *testing.T) {
	h := testHost(t, Options{ExecAllow: []string{"sh"}, ExecLimits: "none"})
	assert.Equal(t, LimitsNone, h.limits.how)
	_, err := run(t.Context(), &program{host: h}, limited(t, domain.Amounts{MemoryMB: 1, DiskMB: 1},
		`dd if=/dev/zero of=big bs=1M count=4; sleep 0.5`), &recorder{})
	require.NoError(t, err)
}

func TestLimits_SaysWhatIsInForce(t *testing.T) {
	want := LimitsRlimit
	if tree, err := cgroup.Open(); err == nil {
		want = map[int]Enforcement{1: LimitsCgroup1, 2: LimitsCgroup2}[tree.Version()]
		require.NoError(t, tree.Close())
	} else {
		_, err := New(Options{ExecAllow: []string{"sh"}, ExecLimits: "cgroup"}, slog.New(slog.DiscardHandler))
		require.Error(t, err, "what the operator demands must hold")
	}
	for setting, want := range map[string]Enforcement{"": want, "auto": want, "rlimit": LimitsRlimit, "none": LimitsNone} {
		require.NoError(t, ValidateLimits(setting))
		offer, err := New(Options{ExecAllow: []string{"sh"}, ExecLimits: setting}, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		assert.Equal(t, want, offer.Limits, setting)
		require.NoError(t, offer.Close())
	}
	require.Error(t, ValidateLimits("cgroups"))
	offer, err := New(Options{}, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	assert.Empty(t, offer.Limits)
	require.NoError(t, offer.Close())
}

func TestExec_WhenItsWorkerIsKilled_TheNextOneRemovesScratchAndGroups(t *testing.T) {
	requireRoot(t)
	requireGroups(t)
	self := everybodys(t)
	cmd := exec.Command(self, "keep", "auto", "forever", `setsid sh -c 'echo big > left; echo $PWD; sleep 300'; sleep 300`)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var scratch string
	_, err = fmt.Fscan(out, &scratch)
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(scratch, "left"))
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	h := testHost(t, Options{ExecAllow: []string{"sh"}})
	assert.NoDirExists(t, scratch)
	assert.NoDirExists(t, filepath.Dir(scratch))
	all, _ := snapshot(nil)
	for i := range all {
		where, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", all[i].pid))
		assert.False(t, strings.HasPrefix(where, scratch), "%+v", all[i])
	}
	_, err = run(t.Context(), &program{host: h}, shell(t, "true"), &recorder{})
	require.NoError(t, err)
}
