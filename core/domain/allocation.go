package domain

import (
	"slices"
	"strings"
)

// Allocation is what runs hold of a worker's resources.
type Allocation struct {
	Amounts
	Devices []DeviceShare    `json:"devices,omitempty"`
	Custom  map[string]int64 `json:"custom,omitempty"`
}

// ResourceUsage is what runs hold of a resource of all workers together, and what is free.
type ResourceUsage struct {
	// Resource is cpu_cores, memory_mb, disk_mb, gpus or the name of a custom resource. Model is
	// that of the GPUs.
	Resource, Model string
	Allocated, Free float64
}

// Add adds what the runs of a lane hold, the ending ones included.
func (a *Allocation) Add(o *Occupancy) {
	n, r := o.Count+o.Ending, &o.Lane.Resources
	a.Amounts = a.Amounts.minus(r.Amounts, -n)
	for _, s := range o.Devices {
		a.Devices = addShare(a.Devices, s)
	}
	for name, amount := range r.Custom {
		if a.Custom == nil {
			a.Custom = map[string]int64{}
		}
		a.Custom[name] += int64(n) * amount
	}
}

// addShare adds what is held of a device to sums that are ordered by the devices' ids.
func addShare(sums []DeviceShare, s DeviceShare) []DeviceShare {
	i, known := place(sums, s.ID)
	if !known {
		sums = slices.Insert(sums, i, DeviceShare{ID: s.ID})
	}
	sums[i].Share += s.Share
	return sums
}

// place returns where the device stands in sums that are ordered by the devices' ids, or would stand.
func place(sums []DeviceShare, id string) (i int, known bool) {
	return slices.BinarySearchFunc(sums, id, func(d DeviceShare, id string) int { return strings.Compare(d.ID, id) })
}
