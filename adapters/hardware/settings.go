package hardware

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/niyanta/niyanta/core/domain"
)

// Settings are what the operator says that a worker has. What is empty is detected.
type Settings struct {
	// CPU is a number of cores, MemoryMB and DiskMB are MiB. "0" is not limited.
	CPU, MemoryMB, DiskMB string
	// Devices lists MODEL:COUNT, or MODEL@ID for one device, separated by commas; None: no device.
	Devices string
	// Custom lists NAME=AMOUNT, separated by commas.
	Custom string
}

// None as Settings.Devices is no device.
const None = "none"

// The variables of FromEnvironment.
const (
	VariableCPU     = "NIYANTA_WORKER_CPU"
	VariableMemory  = "NIYANTA_WORKER_MEMORY_MB"
	VariableDisk    = "NIYANTA_WORKER_DISK_MB"
	VariableDevices = "NIYANTA_WORKER_DEVICES"
	VariableCustom  = "NIYANTA_WORKER_RESOURCES"
)

// FromEnvironment returns the settings that the environment has.
func FromEnvironment() Settings {
	return Settings{
		CPU: os.Getenv(VariableCPU), MemoryMB: os.Getenv(VariableMemory), DiskMB: os.Getenv(VariableDisk),
		Devices: os.Getenv(VariableDevices), Custom: os.Getenv(VariableCustom),
	}
}

// ParseCPU parses a number of cores. Empty is 0.
func ParseCPU(s string) (domain.Milli, error) {
	if s == "" {
		return 0, nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || domain.MilliOf(v) < 0 {
		return 0, fmt.Errorf("must be a number of cores, not %q", s)
	}
	return domain.MilliOf(v), domain.Offer{Amounts: domain.Amounts{CPUCores: domain.MilliOf(v)}}.Validate("resources")
}

// ParseMB parses a number of MiB. Empty is 0.
func ParseMB(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("must be a number of MiB, not %q", s)
	}
	return n, domain.Offer{Amounts: domain.Amounts{MemoryMB: n}}.Validate("resources")
}

// ParseDevices parses Settings.Devices. Devices without an id are numbered from 0.
func ParseDevices(s string) ([]domain.Device, error) {
	if s == "" || s == None {
		return nil, nil
	}
	wrong := func() error {
		return fmt.Errorf("must look like A10:2,H100@GPU-6f1c…, or be none, not %q", s)
	}
	var out []domain.Device
	for entry := range strings.SplitSeq(s, ",") {
		entry = strings.TrimSpace(entry)
		if model, id, ok := strings.Cut(entry, "@"); ok {
			out = append(out, domain.Device{ID: strings.TrimSpace(id), Model: strings.TrimSpace(model)})
			continue
		}
		i := strings.LastIndexByte(entry, ':')
		if i <= 0 {
			return nil, wrong()
		}
		n, err := strconv.Atoi(strings.TrimSpace(entry[i+1:]))
		if err != nil || n < 1 || n > 64 {
			return nil, wrong()
		}
		for range n {
			out = append(out, domain.Device{ID: strconv.Itoa(len(out)), Model: strings.TrimSpace(entry[:i])})
		}
	}
	return out, domain.Offer{Devices: out}.Validate("resources")
}

// ParseCustom parses Settings.Custom.
func ParseCustom(s string) (map[string]int64, error) {
	if s == "" {
		return nil, nil
	}
	out := map[string]int64{}
	for pair := range strings.SplitSeq(s, ",") {
		name, amount, ok := strings.Cut(pair, "=")
		n, err := strconv.ParseInt(strings.TrimSpace(amount), 10, 64)
		if !ok || err != nil {
			return nil, fmt.Errorf("must look like licence=3,fpga=1, not %q", s)
		}
		out[strings.TrimSpace(name)] = n
	}
	return out, domain.Offer{Custom: out}.Validate("resources")
}
