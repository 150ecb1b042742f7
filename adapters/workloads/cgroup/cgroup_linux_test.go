package cgroup

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLocate_FindsTheGroupsOfThisProcess(t *testing.T) {
	offers := t.TempDir()
	require.NoError(t, os.MkdirAll(offers+"/system.slice/niyanta.service", 0o700))
	for _, folder := range []string{"", "/system.slice/niyanta.service"} {
		require.NoError(t, os.WriteFile(offers+folder+"/cgroup.controllers", []byte("cpuset cpu io memory pids\n"), 0o600))
	}
	one := "31 23 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
		"32 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
	pids := "33 23 0:28 /docker/abc /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
	empty := "34 23 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	for name, c := range map[string]struct {
		mounts, own string
		version     int
		memory      string
		pids        string
		wrong       string
	}{
		"version 2, a service": {
			mounts: "30 23 0:26 / " + offers + " rw - cgroup2 cgroup2 rw\n", own: "0::/system.slice/niyanta.service\n",
			version: 2, memory: offers + "/system.slice/niyanta.service", pids: offers + "/system.slice/niyanta.service",
		},
		"version 2, a container": {
			mounts: "30 23 0:26 /kubepods/x " + offers + " rw - cgroup2 cgroup rw\n", own: "0::/kubepods/x\n",
			version: 2, memory: offers, pids: offers,
		},
		"version 2, a view from outside": {
			mounts: "30 23 0:26 / " + offers + " rw - cgroup2 cgroup rw\n", own: "0::/../other\n",
			version: 2, memory: offers + "/../other", pids: offers + "/../other",
		},
		"version 1": {
			mounts: one + pids + empty, own: "5:pids:/docker/abc/run\n4:cpu,cpuacct:/\n3:memory:/m/x\n0::/\n",
			version: 1, memory: "/sys/fs/cgroup/memory/m/x", pids: "/sys/fs/cgroup/pids/run",
		},
		"version 1 without a controller": {
			mounts: one + empty, own: "5:pids:/\n4:cpu,cpuacct:/\n3:memory:/m/x\n0::/\n", wrong: "no control group has pids",
		},
		"nothing": {wrong: "no control group has memory, cpu, cpuacct, pids"},
	} {
		t.Run(name, func(t *testing.T) {
			of, version, err := locate(c.mounts, c.own)
			if c.wrong != "" {
				require.EqualError(t, err, c.wrong)
				return
			}
			if name == "version 2, a view from outside" { // nothing can be read there
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.version, version)
			assert.Equal(t, c.memory, of["memory"])
			assert.Equal(t, c.pids, of["pids"])
		})
	}
}

func TestLimits_AreSettingsOfTheKernel(t *testing.T) {
	l := Limits{CPU: 1500, Memory: 64 << 20, Processes: 10}
	assert.Equal(t, []setting{
		{"memory", "memory.max", "67108864", false}, {"memory", "memory.swap.max", "0", true},
		{"memory", "memory.oom.group", "1", true}, {"cpu", "cpu.max", "150000 100000", false},
		{"pids", "pids.max", "10", false},
	}, l.settings(2))
	assert.Equal(t, []setting{
		{"memory", "memory.limit_in_bytes", "67108864", false}, {"memory", "memory.memsw.limit_in_bytes", "67108864", true},
		{"cpu", "cpu.cfs_period_us", "100000", false}, {"cpu", "cpu.cfs_quota_us", "150000", false},
		{"pids", "pids.max", "10", false},
	}, l.settings(1))
	assert.Empty(t, Limits{}.settings(1))
	assert.Equal(t, "1000 100000", Limits{CPU: 1}.settings(2)[0].value, "the kernel takes no less")
}

func open(t *testing.T) *Tree {
	t.Helper()
	tree, err := Open()
	if err != nil {
		t.Skip("needs control groups: " + err.Error())
	}
	return tree
}

func TestTree_OfAWorkerThatIsGone_IsRemovedWithItsProcesses(t *testing.T) {
	dead := open(t)
	g, err := dead.New(Limits{Processes: 5})
	require.NoError(t, err)
	cmd := exec.Command("sleep", "300")
	require.NoError(t, cmd.Start())
	require.NoError(t, g.Add(cmd.Process.Pid))
	alive := open(t)
	assert.DirExists(t, g.folders[0], "its worker lives")
	require.NoError(t, dead.lock.Close()) // as if the process had died
	require.NoError(t, open(t).Close())
	state, err := cmd.Process.Wait()
	require.NoError(t, err)
	assert.False(t, state.Exited(), "it was killed")
	for _, parent := range dead.parents {
		assert.NoDirExists(t, filepath.Join(parent, dead.name))
		assert.DirExists(t, filepath.Join(parent, alive.name))
	}
	require.NoError(t, alive.Close())
	for _, parent := range dead.parents {
		left, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
		require.NoError(t, err)
		assert.NotContains(t, left, filepath.Join(parent, alive.name))
	}
}

func TestGroup_MeasuresWhatItsProcessesUse(t *testing.T) {
	tree := open(t)
	defer func() { assert.NoError(t, tree.Close()) }()
	g, err := tree.New(Limits{})
	require.NoError(t, err)
	cmd := exec.Command("sh", "-c", `read x; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; (sleep 300 &)`)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.NoError(t, g.Add(cmd.Process.Pid))
	_, err = in.Write([]byte("x\n"))
	require.NoError(t, err)
	require.NoError(t, cmd.Wait())
	left, err := processes(g.of["pids"])
	require.NoError(t, err)
	assert.Len(t, left, 1, "its orphan")
	require.NoError(t, g.Kill())
	left, err = processes(g.of["pids"])
	require.NoError(t, err)
	assert.Empty(t, left)
	u, err := g.Usage()
	require.NoError(t, err)
	assert.Positive(t, u.CPU)
	assert.Positive(t, u.Memory)
	assert.False(t, u.Killed)
	require.NoError(t, g.Close())
	for _, folder := range g.folders {
		assert.NoDirExists(t, folder)
	}
}
