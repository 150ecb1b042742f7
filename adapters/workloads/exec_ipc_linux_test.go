package workloads

import (
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestUsers_WhatARunLeavesOfSystemV_GoesWithIt(t *testing.T) {
	requireRoot(t)
	made := func() (all string) {
		for _, kind := range []string{"shm", "sem", "msg"} {
			b, err := os.ReadFile("/proc/sysvipc/" + kind)
			if err != nil {
				t.Skip("this kernel has none: " + err.Error())
			}
			for line := range strings.Lines(string(b)) {
				if strings.Contains(line, " 20000") { // others come and go
					all += line
				}
			}
		}
		return all
	}
	before := made()
	const leave = `ipcmk -M 1048576 && ipcmk -Q && ipcmk -S 1 && grep -q " $(id -u) " /proc/sysvipc/shm && echo there`
	for _, namespaces := range []string{"auto", "none"} {
		h := testHost(t, Options{ExecAllow: []string{"sh"}, ExecNamespaces: namespaces})
		p := &recorder{}
		_, err := run(t.Context(), &program{host: h}, shell(t, leave), p)
		require.NoError(t, err, p.text("stderr"))
		assert.Contains(t, p.text("stdout"), "there")
		assert.Equal(t, before, made(), namespaces)
	}
	// A worker that died left it.
	pool, _, err := newUsers("2000050000-2000050001", slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	cmd := exec.Command("sh", "-c", leave)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 2000050000, Gid: 2000050000}}
	require.NoError(t, cmd.Run())
	require.NotEqual(t, before, made())
	u, err := pool.take()
	require.NoError(t, err)
	assert.Equal(t, before, made(), "the next run with the user cannot reach it")
	u.giveBack()
}
