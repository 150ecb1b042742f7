package main

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServers_WhenStarted_HoldNoSecretsInTheirEnvironment(t *testing.T) {
	c := newFleet(t)
	worker := c.worker("w1")
	for name, p := range map[string]*process{"coordinator": c.coordinator, "worker": worker} {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.Process.Pid))
		if os.Geteuid() != 0 {
			require.ErrorIs(t, err, os.ErrPermission, name)
			continue
		}
		require.NoError(t, err)
		assert.Contains(t, string(b), "PATH=", name)
		assert.NotContains(t, string(b), c.workerKey, name)
		assert.NotContains(t, string(b), c.adminKey, name)
	}
}

func TestServes_TellsServersFromClients(t *testing.T) {
	for _, line := range [][]string{{"dev"}, {"dev", "--workers", "3"}, {"coordinator"}, {"worker"}} {
		assert.True(t, serves(line), "%q", line)
	}
	for _, line := range [][]string{nil, {"worker", "list"}, {"workload", "list"}, {"config"}, {"migrate", "up"}, {"nonsense"}} {
		assert.False(t, serves(line), "%q", line)
	}
}
