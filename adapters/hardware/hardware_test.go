package hardware

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

func TestParseDevices(t *testing.T) {
	got, err := ParseDevices("A10:2, H100 80GB HBM3@GPU-6f1c,T4:1")
	require.NoError(t, err)
	assert.Equal(t, []domain.Device{
		{ID: "0", Model: "A10"}, {ID: "1", Model: "A10"}, {ID: "GPU-6f1c", Model: "H100 80GB HBM3"}, {ID: "3", Model: "T4"},
	}, got)
	for _, none := range []string{"", None} {
		got, err = ParseDevices(none)
		require.NoError(t, err)
		assert.Empty(t, got)
	}
	for _, bad := range []string{"A10", ":2", "A10:0", "A10:-1", "A10:65", "A10:x", "A10:1,", "A@x,B@x", "A@"} {
		_, err = ParseDevices(bad)
		assert.Error(t, err, bad)
	}
}

func TestParseCustom(t *testing.T) {
	got, err := ParseCustom("licence=3, fpga = 1")
	require.NoError(t, err)
	assert.Equal(t, map[string]int64{"licence": 3, "fpga": 1}, got)
	for _, bad := range []string{"licence", "licence=", "licence=x", "=3", "licence=-1", "licence=1.5"} {
		_, err = ParseCustom(bad)
		assert.Error(t, err, bad)
	}
}

func TestParseSMI(t *testing.T) {
	got, err := parseSMI("GPU-1, 23028, [N/A], NVIDIA A10\nGPU-2, 81559, Disabled, NVIDIA H100 80GB HBM3\n" +
		"GPU-3, 40960, Enabled, NVIDIA A100-SXM4-40GB\nGPU-4, [N/A], [N/A], Tesla T4\n")
	require.NoError(t, err)
	assert.Equal(t, []domain.Device{
		{ID: "GPU-1", Model: "A10", MemoryMB: 23028}, {ID: "GPU-2", Model: "H100 80GB HBM3", MemoryMB: 81559},
		{ID: "GPU-4", Model: "T4"},
	}, got)
	_, err = parseSMI("Failed to initialize NVML: Driver/library version mismatch\n")
	require.Error(t, err)
	got, err = parseSMI("\n")
	require.NoError(t, err)
	assert.Empty(t, got)
}

func TestDriverGPUs(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string]string{
		"0000:01:00.0": "Model: \t\t NVIDIA A10\nIRQ:   \t\t 60\nGPU UUID: \t GPU-1\n",
		"0000:02:00.0": "Model: \t\t Tesla T4\nGPU UUID: \t GPU-2\n", "0000:03:00.0": "Model: broken\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(folder, name), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(folder, name, "information"), []byte(text), 0o600))
	}
	got, err := driverGPUs(folder)
	require.NoError(t, err)
	assert.Equal(t, []domain.Device{{ID: "GPU-1", Model: "A10"}, {ID: "GPU-2", Model: "T4"}}, got)
	got, err = driverGPUs(filepath.Join(folder, "missing"))
	require.NoError(t, err)
	assert.Empty(t, got)
}

func TestMemoryMB_IsBoundedByTheContainer(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o600))
	}
	assert.Zero(t, memoryMB(root))
	write("proc/meminfo", "MemTotal:        8388608 kB\nMemFree: 1 kB\n")
	assert.Equal(t, 8192, memoryMB(root))
	write("sys/fs/cgroup/memory.max", "max\n")
	assert.Equal(t, 8192, memoryMB(root))
	write("sys/fs/cgroup/memory.max", "1073741824\n")
	assert.Equal(t, 1024, memoryMB(root))
}

func TestOffer_TakesTheOperatorsWord(t *testing.T) {
	o, err := Offer(t.Context(), Settings{
		CPU: "2.5", MemoryMB: "100", DiskMB: "0", Devices: "A10:1", Custom: "licence=3",
	}, silent)
	require.NoError(t, err)
	assert.Equal(t, domain.Offer{
		Amounts: domain.Amounts{CPUCores: 2500, MemoryMB: 100}, Devices: []domain.Device{{ID: "0", Model: "A10"}},
		Custom: map[string]int64{"licence": 3},
	}, o)
	for variable, s := range map[string]Settings{
		VariableCPU: {CPU: "x"}, VariableMemory: {MemoryMB: "-1"}, VariableDisk: {DiskMB: "1.5"},
		VariableDevices: {Devices: "A10"}, VariableCustom: {Custom: "x"},
	} {
		_, err := Offer(t.Context(), s, silent)
		assert.ErrorContains(t, err, variable)
	}
}

func TestOffer_DetectsTheMachine(t *testing.T) {
	o, err := Offer(t.Context(), Settings{}, silent)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, o.CPUCores, domain.One)
}
