package placement

import (
	"cmp"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
)

// Usage returns what runs hold and what is free of the resources that the healthy workers state, at
// the time of the snapshot: cores, memory and disk, then GPUs by model, then custom resources by
// name.
func (p *Planner) Usage() []domain.ResourceUsage {
	u := usage{}
	for _, w := range p.fleet.workers {
		has, left := &w.Resources, w.holding.Left()
		u.add("cpu_cores", "", has.CPUCores.Float(), left.CPUCores.Float())
		u.add("memory_mb", "", float64(has.MemoryMB), float64(left.MemoryMB))
		u.add("disk_mb", "", float64(has.DiskMB), float64(left.DiskMB))
		for i := range has.Devices {
			u.add("gpus", has.Devices[i].Model, 1, w.holding.Free(i).Float())
		}
		for name, n := range has.Custom {
			u.add(name, "", float64(n), float64(w.holding.LeftCustom(name)))
		}
	}
	out := make([]domain.ResourceUsage, 0, len(u))
	for _, sum := range u {
		out = append(out, *sum)
	}
	first := domain.ResourceNames()
	place := func(r domain.ResourceUsage) int {
		if i := slices.Index(first, r.Resource); i >= 0 {
			return i
		}
		return len(first)
	}
	slices.SortFunc(out, func(a, b domain.ResourceUsage) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Model, b.Model))
	})
	return out
}

// usage sums up by resource and model.
type usage map[[2]string]*domain.ResourceUsage

// add adds what one worker has and has left of a resource. It adds nothing where the worker states
// none.
func (u usage) add(resource, model string, has, left float64) {
	if has == 0 {
		return
	}
	k := [2]string{resource, model}
	if u[k] == nil {
		u[k] = &domain.ResourceUsage{Resource: resource, Model: model}
	}
	u[k].Allocated += has - left
	u[k].Free += max(left, 0)
}
