package domain

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Milli is an amount in thousandths: of a core, or of a GPU. Sums of it are exact.
type Milli int64

// One is a whole core or a whole GPU.
const One Milli = 1000

// MilliOf returns the amount that is nearest to v. What no amount can hold, NaN included, is
// negative, and so validation refuses it.
func MilliOf(v float64) Milli {
	if !(math.Abs(v) <= 1e12) {
		return -1
	}
	return Milli(math.Round(v * 1000))
}

// Float returns the amount as a number of units.
func (m Milli) Float() float64 { return float64(m) / 1000 }

// MarshalJSON implements json.Marshaler: 2500 thousandths are 2.5.
func (m Milli) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, m.Float(), 'f', -1, 64), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Milli) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("null")) {
		return nil
	}
	v, err := strconv.ParseFloat(string(b), 64)
	if err != nil {
		return Invalid("", "must be a number")
	}
	*m = MilliOf(v)
	return nil
}

// Amounts are the resources that every worker has. A zero field is not stated.
type Amounts struct {
	CPUCores Milli `json:"cpu_cores,omitempty"`
	MemoryMB int   `json:"memory_mb,omitempty"`
	DiskMB   int   `json:"disk_mb,omitempty"`
}

// Resources are what a workload reserves. A zero field is not stated.
type Resources struct {
	Amounts
	// GPUs is 0, a share of one GPU, or a number of whole GPUs.
	GPUs Milli `json:"gpus,omitempty"`
	// GPUModels are the models that it may get. Empty: any.
	GPUModels []string `json:"gpu_models,omitempty"`
	// Custom are amounts of whatever else operators declare.
	Custom map[string]int64 `json:"custom,omitempty"`
}

// Offer is what a worker has. A worker that does not state an amount of Amounts is not limited in
// it. A worker has no devices and no custom resources but those that it states.
type Offer struct {
	Amounts
	Devices []Device         `json:"devices,omitempty"`
	Custom  map[string]int64 `json:"custom,omitempty"`
}

// Device is one GPU of a worker.
type Device struct {
	ID       string `json:"id"`
	Model    string `json:"model,omitempty"`
	MemoryMB int    `json:"memory_mb,omitempty"`
}

// DeviceShare is what a run holds of one device.
type DeviceShare struct {
	ID    string `json:"id"`
	Share Milli  `json:"share"`
}

// Bounds of resources.
const (
	minGPUShare  = 50 * One / 1000
	maxGPUShare  = 950 * One / 1000
	maxGPUs      = 64
	maxGPUModels = 32
	maxDevices   = 64
	maxCustom    = 32
	maxAmount    = 1 << 40
)

// ResourceNames returns the names of the resources that are not custom, in the order in which they are
// shown.
func ResourceNames() []string { return []string{"cpu_cores", "memory_mb", "disk_mb", "gpus"} }

// DefaultLimits are the limits of a config that states none.
func DefaultLimits() Amounts { return Amounts{CPUCores: One, MemoryMB: 512, DiskMB: 1024} }

// IsZero reports whether nothing is asked for.
func (r Resources) IsZero() bool {
	return r.Amounts == Amounts{} && r.GPUs == 0 && len(r.GPUModels) == 0 && len(r.Custom) == 0
}

// Equal reports whether both ask for the same.
func (r Resources) Equal(o Resources) bool {
	return r.Amounts == o.Amounts && r.GPUs == o.GPUs && slices.Equal(r.GPUModels, o.GPUModels) &&
		maps.Equal(r.Custom, o.Custom)
}

// Clone returns a deep copy.
func (r Resources) Clone() Resources {
	r.GPUModels, r.Custom = slices.Clone(r.GPUModels), maps.Clone(r.Custom)
	return r
}

// Canonical returns the same resources in the form that is kept: models are a set, and an amount of
// 0 is not stated.
func (r Resources) Canonical() Resources {
	r = r.Clone()
	slices.Sort(r.GPUModels)
	if r.GPUModels = slices.Compact(r.GPUModels); len(r.GPUModels) == 0 {
		r.GPUModels = nil
	}
	maps.DeleteFunc(r.Custom, func(_ string, amount int64) bool { return amount == 0 })
	if len(r.Custom) == 0 {
		r.Custom = nil
	}
	return r
}

// Allows reports whether the workload may get a device of the model.
func (r *Resources) Allows(model string) bool {
	return len(r.GPUModels) == 0 || slices.Contains(r.GPUModels, model)
}

// PerDevice returns how many devices the workload gets, and what it holds of each.
func (r *Resources) PerDevice() (devices int, share Milli) {
	if r.GPUs < One {
		return min(int(r.GPUs), 1), r.GPUs
	}
	return int(r.GPUs / One), One
}

// Validate checks what a workload asks for. field is its place in the request.
func (r Resources) Validate(field string) error {
	if err := r.Amounts.validate(field); err != nil {
		return err
	}
	share := r.GPUs >= minGPUShare && r.GPUs <= maxGPUShare
	whole := r.GPUs >= 0 && r.GPUs <= maxGPUs*One && r.GPUs%One == 0
	if !share && !whole {
		return Invalid(field+".gpus", "must be 0, a share of 0.05 to 0.95, or a whole number up to %d", maxGPUs)
	}
	if len(r.GPUModels) > maxGPUModels {
		return Invalid(field+".gpu_models", "must name at most %d models", maxGPUModels)
	}
	if len(r.GPUModels) > 0 && r.GPUs == 0 {
		return Invalid(field+".gpu_models", "must be left out where gpus is 0")
	}
	for _, m := range r.GPUModels {
		if err := validateText(field+".gpu_models", m, 1, 63); err != nil {
			return err
		}
	}
	return validateCustom(field+".custom", r.Custom)
}

// Clone returns a deep copy.
func (o Offer) Clone() Offer {
	o.Devices, o.Custom = slices.Clone(o.Devices), maps.Clone(o.Custom)
	return o
}

// Split divides what one machine has among n workers of it, so that together they state it once. Each
// gets an equal part of the amounts. The first gets the devices and the custom amounts, because parts
// of them would fit less.
func (o Offer) Split(n int) []Offer {
	out := make([]Offer, n)
	for i := range out {
		out[i].Amounts = Amounts{o.CPUCores / Milli(n), o.MemoryMB / n, o.DiskMB / n}
	}
	out[0].Devices, out[0].Custom = o.Devices, o.Custom
	return out
}

// Validate checks what a worker states. field is its place in the registration.
func (o Offer) Validate(field string) error {
	if err := o.Amounts.validate(field); err != nil {
		return err
	}
	if len(o.Devices) > maxDevices {
		return Invalid(field+".devices", "must have at most %d entries", maxDevices)
	}
	seen := map[string]bool{}
	for _, d := range o.Devices {
		if err := validateText(field+".devices.id", d.ID, 1, 63); err != nil {
			return err
		}
		if strings.Contains(d.ID, ",") { // programs get the ids as a list with commas
			return Invalid(field+".devices.id", "%q must not contain a comma", d.ID)
		}
		if seen[d.ID] {
			return Invalid(field+".devices.id", "%q must be stated once", d.ID)
		}
		seen[d.ID] = true
		if err := validateText(field+".devices.model", d.Model, 0, 63); err != nil {
			return err
		}
		if d.MemoryMB < 0 || d.MemoryMB > maxMemoryMB {
			return Invalid(field+".devices.memory_mb", "must be 0 to %d", maxMemoryMB)
		}
	}
	return validateCustom(field+".custom", o.Custom)
}

// ValidateShares checks what a worker says that a run holds of its devices.
func ValidateShares(field string, shares []DeviceShare) error {
	if len(shares) > maxDevices {
		return Invalid(field+".devices", "must have at most %d entries", maxDevices)
	}
	for _, s := range shares {
		if err := validateText(field+".devices.id", s.ID, 1, 63); err != nil {
			return err
		}
		if s.Share <= 0 || s.Share > One {
			return Invalid(field+".devices.share", "must be more than 0 and at most 1")
		}
	}
	return nil
}

const maxMemoryMB = 64 << 20

func (a Amounts) validate(field string) error {
	switch {
	case a.CPUCores < 0 || a.CPUCores > 1024*One:
		return Invalid(field+".cpu_cores", "must be 0 to 1024")
	case a.MemoryMB < 0 || a.MemoryMB > maxMemoryMB:
		return Invalid(field+".memory_mb", "must be 0 to %d", maxMemoryMB)
	case a.DiskMB < 0 || a.DiskMB > 1<<30:
		return Invalid(field+".disk_mb", "must be 0 to %d", 1<<30)
	}
	return nil
}

// validateCustom checks a map of names to amounts.
func validateCustom(field string, custom map[string]int64) error {
	if len(custom) > maxCustom {
		return Invalid(field, "must have at most %d entries", maxCustom)
	}
	for _, name := range slices.Sorted(maps.Keys(custom)) {
		if err := validateName(field, name); err != nil {
			return err
		}
		if slices.Contains(ResourceNames(), name) {
			return Invalid(field+"."+name, "must be stated beside custom, not in it")
		}
		if custom[name] < 0 || custom[name] > maxAmount {
			return Invalid(field+"."+name, "must be 0 to %d", int64(maxAmount))
		}
	}
	return nil
}

// minus returns a less n times b.
func (a Amounts) minus(b Amounts, n int) Amounts {
	return Amounts{a.CPUCores - Milli(n)*b.CPUCores, a.MemoryMB - n*b.MemoryMB, a.DiskMB - n*b.DiskMB}
}
