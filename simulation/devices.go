package simulation

import (
	"context"
	"fmt"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
)

// licence is a custom resource of the workers.
const licence = "licence"

// offer draws what a process of a worker has. It has at least what some requests need, so that every
// workload fits some worker if it is empty. Processes of the same worker need not have the same.
func (w *World) offer(id domain.WorkerID) domain.Offer {
	more := 0
	if w.P != (Probabilities{}) {
		more = w.rng.IntN(2)
	}
	device := func(n int, model string) domain.Device {
		return domain.Device{ID: fmt.Sprint("gpu", n), Model: model}
	}
	switch home(id) {
	case "w0":
		o := domain.Offer{
			Amounts: domain.Amounts{CPUCores: 4 * domain.One, MemoryMB: 4096},
			Custom:  map[string]int64{licence: int64(2 + more)},
		}
		for n := range 2 + more { // with more, other ids as well
			o.Devices = append(o.Devices, device(n+more, "A10"))
		}
		return o
	case "w1":
		return domain.Offer{
			Amounts: domain.Amounts{CPUCores: domain.Milli(2+more) * domain.One, DiskMB: 1000},
			Devices: []domain.Device{device(0, "H100"), device(1+more, "A10")},
		}
	}
	return domain.Offer{Custom: map[string]int64{licence: 2}} // its cores are not limited
}

// resources draws what a workload reserves. It fits w0 if that is empty.
func (w *World) resources() domain.Resources {
	all := []domain.Resources{
		{GPUs: 300},
		{GPUs: 600},
		{GPUs: 500, GPUModels: []string{"A10"}},
		{GPUs: domain.One},
		{GPUs: 2 * domain.One, Amounts: domain.Amounts{CPUCores: 1500}},
		{Amounts: domain.Amounts{CPUCores: 2500, MemoryMB: 1500}},
		{Custom: map[string]int64{licence: 1}},
		{GPUs: 400, Custom: map[string]int64{licence: 2}, Amounts: domain.Amounts{DiskMB: 400}},
	}
	return all[w.rng.IntN(len(all))]
}

// reserved returns what a workload reserves. The checker has seen its submission, unless the
// backend is opaque: then the store is asked.
func (c *checker) reserved(id domain.WorkloadID) domain.Resources {
	if r, known := c.reserves[id]; known {
		return r
	}
	found, err := c.w.stores.Workloads.GetAny(context.Background(), id)
	if err != nil || len(found) == 0 {
		return domain.Resources{}
	}
	c.reserves[id] = found[0].Run.Resources
	return c.reserves[id]
}

// holder is a run and the devices that it holds.
type holder struct {
	id      domain.WorkloadID
	devices []domain.DeviceShare
}

// given checks that the last of the holders got what it reserves, and that all holders together
// have no more of it than there is (I13). It adds up by itself: it shares no code with the planner
// and the stores.
func (c *checker) given(where string, o domain.Offer, holders []holder) {
	last := holders[len(holders)-1]
	r := c.reserved(last.id)
	c.asReserved(&last, r, &o)
	for _, d := range last.devices {
		var sum domain.Milli
		for _, h := range holders {
			for _, other := range h.devices {
				if other.ID == d.ID {
					sum += other.Share
				}
			}
		}
		if sum > 1000 {
			c.fail("I13", "%s gets device %s of %s, of which %d thousandths are held then", last.id, d.ID, where, sum)
		}
	}
	var cores, memory, disk int64
	custom := map[string]int64{}
	for _, h := range holders {
		held := c.reserved(h.id)
		cores, memory, disk = cores+int64(held.CPUCores), memory+int64(held.MemoryMB), disk+int64(held.DiskMB)
		for name, n := range held.Custom {
			custom[name] += n
		}
	}
	check := func(what string, needs, held, has int64, stated bool) {
		if needs > 0 && held > has && stated {
			c.fail("I13", "%s gets %d of %s of %s, of which %d are held then, but it has %d", last.id, needs, what, where,
				held, has)
		}
	}
	check("the cores", int64(r.CPUCores), cores, int64(o.CPUCores), o.CPUCores > 0)
	check("the memory", int64(r.MemoryMB), memory, int64(o.MemoryMB), o.MemoryMB > 0)
	check("the disk", int64(r.DiskMB), disk, int64(o.DiskMB), o.DiskMB > 0)
	for name, n := range r.Custom {
		check(name, n, custom[name], o.Custom[name], true)
	}
}

// asReserved checks that a run has as many devices as it reserves, each for itself, and of a model
// that it allows.
func (c *checker) asReserved(h *holder, r domain.Resources, o *domain.Offer) {
	number, share := int(r.GPUs/1000), domain.Milli(1000)
	if r.GPUs > 0 && r.GPUs < 1000 {
		number, share = 1, r.GPUs
	}
	if len(h.devices) != number {
		c.fail("I13", "%s reserves %d thousandths of GPUs and gets %v", h.id, r.GPUs, h.devices)
	}
	seen := map[string]bool{}
	for _, d := range h.devices {
		i := slices.IndexFunc(o.Devices, func(has domain.Device) bool { return has.ID == d.ID })
		if i < 0 || seen[d.ID] || d.Share != share ||
			len(r.GPUModels) > 0 && !slices.Contains(r.GPUModels, o.Devices[i].Model) {
			c.fail("I13", "%s reserves %+v and gets %v of %v", h.id, r, h.devices, o.Devices)
		}
		seen[d.ID] = true
	}
}

// assignedResources checks what an assignment gives, beside what the session holds.
func (c *checker) assignedResources(t *domain.Transition) {
	if r := c.reserved(t.WorkloadID); r.IsZero() && len(t.Devices) == 0 {
		return
	}
	var holders []holder
	for id := range c.state {
		if s := c.state[id]; s.Status.Held() && s.SessionID == t.SessionID && id != t.WorkloadID {
			holders = append(holders, holder{id, s.Devices})
		}
	}
	for run, e := range c.ending {
		if e.SessionID == t.SessionID {
			holders = append(holders, holder{run.WorkloadID, e.Devices})
		}
	}
	holders = append(holders, holder{t.WorkloadID, c.state[t.WorkloadID].Devices})
	c.given(string(t.WorkerID), c.offers[t.SessionID], holders)
}

// begins checks that the process of a worker has what a run that begins holds, beside its other
// runs. It returns the function that the end of the run calls.
func (k *worker) begins(run domain.RunID, devices []domain.DeviceShare) (ends func()) {
	h := &holder{run.WorkloadID, devices}
	k.holders = append(k.holders, h)
	if k.w.check.reserved(h.id).GPUs > 0 {
		all := make([]holder, len(k.holders))
		for i, h := range k.holders {
			all[i] = *h
		}
		k.w.check.given("the process of "+string(k.id), k.offer, all)
	}
	return func() { k.holders = slices.DeleteFunc(k.holders, func(o *holder) bool { return o == h }) }
}
