package niyanta

import (
	"context"
	"log/slog"

	"github.com/niyanta/niyanta/adapters/hardware"
	"github.com/niyanta/niyanta/core/domain"
)

// Resources are what a run reserves on its worker. Only what is stated is reserved.
type Resources struct {
	CPUCores float64 `json:"cpu_cores,omitempty"`
	MemoryMB int     `json:"memory_mb,omitempty"`
	DiskMB   int     `json:"disk_mb,omitempty"`

	// GPUs is a share of one GPU from 0.05 to 0.95, or a whole number of GPUs.
	GPUs float64 `json:"gpus,omitempty"`
	// GPUModels are the models that it may get. Empty: any.
	GPUModels []string `json:"gpu_models,omitempty"`
	// Custom are amounts of what else operators declare, by name.
	Custom map[string]int64 `json:"custom,omitempty"`
}

// WorkerResources are what a worker has. It is not limited in cores, memory and disk that it does
// not state.
type WorkerResources struct {
	CPUCores float64          `json:"cpu_cores,omitempty"`
	MemoryMB int              `json:"memory_mb,omitempty"`
	DiskMB   int              `json:"disk_mb,omitempty"`
	Devices  []Device         `json:"devices,omitempty"`
	Custom   map[string]int64 `json:"custom,omitempty"`
}

// AllocatedResources are what runs hold of a worker's resources.
type AllocatedResources struct {
	CPUCores float64          `json:"cpu_cores,omitempty"`
	MemoryMB int              `json:"memory_mb,omitempty"`
	DiskMB   int              `json:"disk_mb,omitempty"`
	Devices  []DeviceShare    `json:"devices,omitempty"`
	Custom   map[string]int64 `json:"custom,omitempty"`
}

// Device is one GPU of a worker. CUDA_VISIBLE_DEVICES names it by ID.
type Device struct {
	ID       string `json:"id"`
	Model    string `json:"model,omitempty"`
	MemoryMB int    `json:"memory_mb,omitempty"`
}

// DeviceShare is what a run holds of one device. A Share of 1 is all of it.
type DeviceShare struct {
	ID    string  `json:"id"`
	Share float64 `json:"share"`
}

// Amounts are limits of a run. They reserve nothing.
type Amounts struct {
	// CPUCores counts processors.
	CPUCores *float64 `json:"cpu_cores,omitempty"`

	// DiskMb is in MiB.
	DiskMb *int `json:"disk_mb,omitempty"`

	// MemoryMb is in MiB.
	MemoryMb *int `json:"memory_mb,omitempty"`
}

// WithResources says what the workload reserves on its worker, instead of what the config of its
// type says.
func WithResources(r Resources) SubmitOption { return func(o *submitOptions) { o.Resources = &r } }

// Devices returns what this run holds of the worker's devices. It must use no others.
func (t *Task[In, State]) Devices() []DeviceShare {
	out := make([]DeviceShare, len(t.info.Devices))
	for i, d := range t.info.Devices {
		out[i] = DeviceShare{d.ID, d.Share.Float()}
	}
	return out
}

// offer returns what the worker states when it registers.
func (o *WorkerOptions) offer(ctx context.Context, log *slog.Logger) (domain.Offer, error) {
	if o.Resources == nil {
		return hardware.Offer(ctx, hardware.FromEnvironment(), log)
	}
	r := o.Resources
	offer := domain.Offer{
		Amounts: domain.Amounts{CPUCores: domain.MilliOf(r.CPUCores), MemoryMB: r.MemoryMB, DiskMB: r.DiskMB},
		Custom:  r.Custom,
	}
	for _, d := range r.Devices {
		offer.Devices = append(offer.Devices, domain.Device{ID: d.ID, Model: d.Model, MemoryMB: d.MemoryMB})
	}
	return offer, public(offer.Validate("Resources"))
}
