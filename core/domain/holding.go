package domain

import (
	"cmp"
	"maps"
	"slices"
)

// Holding is what a worker has and what runs hold of it. Not safe for concurrent use.
//
// What is held is a fact: Take and Return record it even if it is more than the worker has, as when
// a worker comes back with fewer devices. Fits, Choose and Allows say what may be given. They never
// give what is not free.
type Holding struct {
	offer *Offer
	// left is what is left of the amounts: about NoLimit of what the worker does not state, and
	// negative where runs hold more than there is.
	left   Amounts
	custom map[string]int64 // held
	// free is what is left of each device of the offer, by index. It is negative where runs hold
	// more than there is.
	free []Milli
}

// NewHolding returns a holding of the offer of which nothing is held. The offer must not be changed
// while the holding is used.
func NewHolding(o *Offer) Holding {
	h := Holding{offer: o, left: Amounts{
		cmp.Or(o.CPUCores, NoLimit), cmp.Or(o.MemoryMB, NoLimit), cmp.Or(o.DiskMB, NoLimit),
	}}
	if len(o.Devices) > 0 {
		h.free = make([]Milli, len(o.Devices))
		for i := range h.free {
			h.free[i] = One
		}
	}
	return h
}

// Clone returns a copy that changes by itself.
func (h *Holding) Clone() Holding {
	c := *h
	c.custom, c.free = maps.Clone(h.custom), slices.Clone(h.free)
	return c
}

// Take records that n runs hold these resources, and all of them together these devices. Devices
// that the worker does not have are left out.
func (h *Holding) Take(r *Resources, devices []DeviceShare, n int) { h.change(r, devices, n, -1) }

// Return records that n runs no longer hold what Take recorded.
func (h *Holding) Return(r *Resources, devices []DeviceShare, n int) { h.change(r, devices, -n, 1) }

func (h *Holding) change(r *Resources, devices []DeviceShare, n int, sign Milli) {
	h.left = h.left.minus(r.Amounts, n)
	for name, amount := range r.Custom {
		if h.custom == nil {
			h.custom = map[string]int64{}
		}
		h.custom[name] += int64(n) * amount
	}
	for _, d := range devices {
		if i := h.index(d.ID); i >= 0 {
			h.free[i] += sign * d.Share
		}
	}
}

func (h *Holding) index(id string) int {
	return slices.IndexFunc(h.offer.Devices, func(d Device) bool { return d.ID == id })
}

// Free returns what is left of device i of the offer.
func (h *Holding) Free(i int) Milli { return h.free[i] }

// NoLimit is more than any amount that can be stated.
const NoLimit = 1 << 50

// Left returns what is left of the amounts.
func (h *Holding) Left() Amounts { return h.left }

// LeftCustom returns what is left of a custom resource.
func (h *Holding) LeftCustom(name string) int64 { return h.offer.Custom[name] - h.custom[name] }

// Fits reports whether a run with these resources fits beside what is held.
func (h *Holding) Fits(r *Resources) bool {
	return (r.CPUCores <= h.left.CPUCores || r.CPUCores == 0) &&
		(r.MemoryMB <= h.left.MemoryMB || r.MemoryMB == 0) && (r.DiskMB <= h.left.DiskMB || r.DiskMB == 0) &&
		(len(r.Custom) == 0 || h.shortCustom(r) == "") && (r.GPUs == 0 || h.hasDevices(r))
}

// Short returns the first resource of which too little is left for the run, by the name of its
// field. It is empty if the run fits.
func (h *Holding) Short(r *Resources) string {
	switch {
	case r.CPUCores > h.left.CPUCores && r.CPUCores > 0:
		return "cpu_cores"
	case r.MemoryMB > h.left.MemoryMB && r.MemoryMB > 0:
		return "memory_mb"
	case r.DiskMB > h.left.DiskMB && r.DiskMB > 0:
		return "disk_mb"
	case r.GPUs > 0 && !h.hasDevices(r):
		return "gpus"
	}
	return h.shortCustom(r)
}

func (h *Holding) shortCustom(r *Resources) string {
	if len(r.Custom) == 0 {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(r.Custom)) {
		if need := r.Custom[name]; need > 0 && h.custom[name]+need > h.offer.Custom[name] {
			return name
		}
	}
	return ""
}

// hasDevices reports whether the devices that the run needs are free.
func (h *Holding) hasDevices(r *Resources) bool {
	n, share := r.PerDevice()
	for i := range h.free {
		if h.free[i] >= share && r.Allows(h.offer.Devices[i].Model) {
			if n--; n == 0 {
				return true
			}
		}
	}
	return n == 0
}

// Choose returns devices for a run that fits: those that come first of the free ones. prefer says of
// which device to take a share; nil: any.
func (h *Holding) Choose(r *Resources, prefer func(Device, Milli) bool) []DeviceShare {
	n, share := r.PerDevice()
	if n == 0 {
		return nil
	}
	out := make([]DeviceShare, 0, n)
	for i := range h.free {
		d := &h.offer.Devices[i]
		if h.free[i] >= share && r.Allows(d.Model) && (prefer == nil || n > 1 || prefer(*d, h.free[i])) {
			if out = append(out, DeviceShare{d.ID, share}); len(out) == n {
				return out
			}
		}
	}
	return nil
}

// refusal says why a run with these resources may not be given these devices now. It is empty if it
// may.
func (h *Holding) refusal(r *Resources, devices []DeviceShare) string {
	switch {
	case h == nil:
		return "it is not known what the worker has"
	case h.Allows(r, devices):
		return ""
	case !h.Fits(r):
		return "the worker has not enough " + h.Short(r) + " left"
	}
	return "the devices are taken, or not those that the workload may get"
}

// Allows reports whether a run with these resources may be given these devices now: it fits, and the
// devices are as many as it needs, of models that it allows, different, and free.
func (h *Holding) Allows(r *Resources, devices []DeviceShare) bool {
	n, share := r.PerDevice()
	if len(devices) != n || !h.Fits(r) {
		return false
	}
	for k, d := range devices {
		i := h.index(d.ID)
		if i < 0 || d.Share != share || h.free[i] < share || !r.Allows(h.offer.Devices[i].Model) {
			return false
		}
		if slices.ContainsFunc(devices[:k], func(o DeviceShare) bool { return o.ID == d.ID }) {
			return false
		}
	}
	return true
}
