package hardware

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// smiTimeout bounds nvidia-smi, which takes seconds where the driver is not kept loaded.
const smiTimeout = 20 * time.Second

// Offer returns what a worker has by the settings, and by the machine where they say nothing. What
// cannot be detected is logged and left out.
func Offer(ctx context.Context, s Settings, log *slog.Logger) (o domain.Offer, err error) {
	if o.CPUCores, err = ParseCPU(s.CPU); err != nil {
		return o, fmt.Errorf("%s: %w", VariableCPU, err)
	}
	if o.MemoryMB, err = ParseMB(s.MemoryMB); err != nil {
		return o, fmt.Errorf("%s: %w", VariableMemory, err)
	}
	if o.DiskMB, err = ParseMB(s.DiskMB); err != nil {
		return o, fmt.Errorf("%s: %w", VariableDisk, err)
	}
	if o.Devices, err = ParseDevices(s.Devices); err != nil {
		return o, fmt.Errorf("%s: %w", VariableDevices, err)
	}
	if o.Custom, err = ParseCustom(s.Custom); err != nil {
		return o, fmt.Errorf("%s: %w", VariableCustom, err)
	}
	if s.CPU == "" {
		o.CPUCores = domain.Milli(runtime.GOMAXPROCS(0)) * domain.One // it knows the limits of containers
	}
	if s.MemoryMB == "" {
		o.MemoryMB = memoryMB("/")
	}
	if s.DiskMB == "" {
		o.DiskMB = freeDiskMB(os.TempDir())
	}
	if s.Devices == "" {
		if o.Devices, err = gpus(ctx); err != nil {
			log.Warn("the GPUs of this machine could not be read; state them with "+VariableDevices, "error", err)
		}
	}
	return o, o.Validate("resources")
}

// memoryMB returns the memory that this process may use, 0 if that is not known. It reads files
// below root.
func memoryMB(root string) int {
	kb := 0
	raw, _ := os.ReadFile(filepath.Join(root, "proc/meminfo")) // no such file on other systems
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			kb, _ = strconv.Atoi(f[1]) // 0 if the kernel says something else
		}
	}
	limit, _ := os.ReadFile(filepath.Join(root, "sys/fs/cgroup/memory.max"))
	if n, err := strconv.Atoi(strings.TrimSpace(string(limit))); err == nil && n>>10 < kb {
		kb = n >> 10
	}
	return kb >> 10
}

// gpus returns the GPUs of the machine, as nvidia-smi lists them, or else as the driver does.
func gpus(ctx context.Context) ([]domain.Device, error) {
	smi, err := exec.LookPath("nvidia-smi")
	if err != nil {
		return driverGPUs("/proc/driver/nvidia/gpus")
	}
	ctx, cancel := context.WithTimeout(ctx, smiTimeout)
	defer cancel()
	out, err := exec.CommandContext(
		ctx, smi, "--query-gpu=uuid,memory.total,mig.mode.current,name", "--format=csv,noheader,nounits",
	).Output()
	if err != nil {
		return nil, fmt.Errorf("nvidia-smi: %w", err)
	}
	return parseSMI(string(out))
}

// parseSMI parses the answer of nvidia-smi. A GPU that is split into instances (MIG) is left out:
// it cannot be used as a whole.
func parseSMI(out string) (devices []domain.Device, err error) {
	for line := range strings.Lines(out) {
		f := strings.SplitN(strings.TrimSpace(line), ",", 4)
		if len(f) == 1 && f[0] == "" {
			continue
		}
		if len(f) != 4 {
			return nil, fmt.Errorf("nvidia-smi: unexpected line %q", strings.TrimSpace(line))
		}
		for i := range f {
			f[i] = strings.TrimSpace(f[i])
		}
		if f[2] == "Enabled" {
			continue
		}
		mb, _ := strconv.Atoi(f[1]) // "[N/A]" on devices that share the memory of the machine
		devices = append(devices, domain.Device{ID: f[0], Model: model(f[3]), MemoryMB: mb})
	}
	return devices, nil
}

// driverGPUs reads what the driver says of each GPU in a file of the folder.
func driverGPUs(folder string) (devices []domain.Device, err error) {
	files, err := filepath.Glob(filepath.Join(folder, "*", "information"))
	if err != nil {
		return nil, err
	}
	for _, file := range slices.Sorted(slices.Values(files)) {
		raw, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var d domain.Device
		for line := range strings.Lines(string(raw)) {
			key, value, _ := strings.Cut(line, ":")
			switch strings.TrimSpace(key) {
			case "Model":
				d.Model = model(value)
			case "GPU UUID":
				d.ID = strings.TrimSpace(value)
			}
		}
		if d.ID != "" {
			devices = append(devices, d)
		}
	}
	return devices, nil
}

// model returns the model of a device without the names of the maker.
func model(name string) string {
	for _, maker := range []string{"NVIDIA ", "Tesla ", "GeForce "} {
		name = strings.TrimPrefix(strings.TrimSpace(name), maker)
	}
	return name
}
