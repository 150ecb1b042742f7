package placement

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// fragmentation measures how much of the free devices of a worker the mix cannot use. It follows
// Weng et al., "Beware of Fragmentation" (USENIX ATC 2023), with one addition.
//
// Their measure asks whether one more workload of a class fits, and counts the devices that are too
// full for it. It does not see that a worker has free devices for eight workloads but processors for
// two only. So the mean is taken of their measure and of a second one, which fills the worker with
// workloads of the class and counts what stays free.
//
// Workers in the same state share what is computed for it. When a worker takes a workload, only its
// own state is replaced.
type fragmentation struct {
	classes []mixClass
	models  map[string]int
	states  map[string]*deviceState
	key     []byte
}

// mixClass is a class of the mix, prepared.
type mixClass struct {
	weight  float64 // the weights of all classes add up to 1
	amounts domain.Amounts
	devices int
	share   domain.Milli
	allows  []bool // by model
}

// deviceState is the state of the free resources of a worker with devices.
type deviceState struct {
	room
	fragmented float64
	choices    []choice // by shape.index
}

// room is what is free on a worker.
type room struct {
	left    domain.Amounts
	devices []rest // by model, then by how much is left
	total   domain.Milli
}

// rest is what is left of a device.
type rest struct {
	model int
	left  domain.Milli
}

// choice is the best way to place a workload on a worker, with the fragmentation that it adds, in
// thousandths of a device.
type choice struct {
	known  bool
	device rest // the device to take, for a share of one
	adds   float64
}

// headroomWeight is how much a workload prefers, for each device that stays free on the worker, to
// go there. It decides between choices that fragment nearly alike: a worker with many free devices
// has more ways to be filled to the end.
const headroomWeight = 0.02

// newFragmentation returns the measure for these workers, nil if it makes no difference: no worker
// has devices, or the mix is unknown.
func newFragmentation(mix []domain.MixClass, workers []*fleetWorker) *fragmentation {
	f := &fragmentation{models: map[string]int{}, states: map[string]*deviceState{}}
	for _, w := range workers {
		for i := range w.Resources.Devices {
			if m := w.Resources.Devices[i].Model; !f.has(m) {
				f.models[m] = len(f.models)
			}
		}
	}
	all := 0.0
	for i := range mix {
		all += max(mix[i].Weight, 0)
	}
	if len(f.models) == 0 || all == 0 {
		return nil
	}
	for i := range mix {
		r := &mix[i].Resources
		c := mixClass{weight: mix[i].Weight / all, amounts: r.Amounts, allows: make([]bool, len(f.models))}
		c.devices, c.share = r.PerDevice()
		for model, n := range f.models {
			c.allows[n] = r.Allows(model)
		}
		if c.weight > 0 {
			f.classes = append(f.classes, c)
		}
	}
	for _, w := range workers {
		f.update(w)
	}
	return f
}

func (f *fragmentation) has(model string) bool {
	_, ok := f.models[model]
	return ok
}

// update gives the worker the state of what is free on it now, and of what is free of that for work
// with devices if something is reserved.
func (f *fragmentation) update(w *fleetWorker) {
	if len(w.Resources.Devices) == 0 {
		return
	}
	w.state, w.keptState = f.stateOf(w, &w.holding), nil
	if w.kept != nil {
		w.keptState = f.stateOf(w, w.kept)
	}
}

// stateOf returns the state of what the holding leaves free on the worker.
func (f *fragmentation) stateOf(w *fleetWorker, h *domain.Holding) *deviceState {
	r := room{left: h.Left(), devices: make([]rest, len(w.Resources.Devices))}
	for i := range r.devices {
		r.devices[i] = rest{f.models[w.Resources.Devices[i].Model], max(h.Free(i), 0)}
		r.total += r.devices[i].left
	}
	slices.SortFunc(r.devices, func(a, b rest) int {
		return cmp.Or(cmp.Compare(a.model, b.model), cmp.Compare(a.left, b.left))
	})
	key := f.key[:0]
	for _, n := range []int64{int64(r.left.CPUCores), int64(r.left.MemoryMB), int64(r.left.DiskMB)} {
		key = binary.AppendVarint(key, n)
	}
	for _, d := range r.devices {
		key = binary.AppendVarint(binary.AppendVarint(key, int64(d.model)), int64(d.left))
	}
	f.key = key
	s := f.states[string(key)]
	if s == nil {
		s = &deviceState{room: r, fragmented: f.of(&r)}
		f.states[string(key)] = s
	}
	return s
}

// choose returns the best way to place a workload of the lane, which fits and ends at end at the
// latest, on the worker.
func (f *fragmentation) choose(w *fleetWorker, s *shape, l *domain.Lane, end time.Time) choice {
	if w.state == nil {
		return choice{} // it has no devices, so nothing is fragmented
	}
	st := w.state
	if w.open(l, end) == w.kept {
		st = w.keptState
	}
	if s.index >= len(st.choices) {
		st.choices = append(st.choices, make([]choice, s.index+1-len(st.choices))...)
	}
	c := &st.choices[s.index]
	if !c.known {
		*c = f.best(st, s, &l.Resources)
	}
	return *c
}

func (f *fragmentation) best(st *deviceState, s *shape, r *domain.Resources) choice {
	n, share := r.PerDevice()
	after := room{left: less(st.left, r.Amounts), total: st.total - r.GPUs}
	best := choice{known: true, adds: math.Inf(1)}
	for i, d := range st.devices {
		if n > 0 && (d.left < share || !s.allows[d.model]) || n == 1 && i > 0 && d == st.devices[i-1] {
			continue // it is too full, or like the one before
		}
		after.devices = append(after.devices[:0], st.devices...)
		for k := i; n > 0 && k < len(after.devices); k++ {
			if d := &after.devices[k]; d.left >= share && s.allows[d.model] {
				d.left -= share
				if n--; n == 0 {
					break
				}
			}
		}
		adds := f.of(&after) - st.fragmented
		if r.GPUs > 0 {
			adds -= headroomWeight * float64(after.total)
		}
		if adds < best.adds {
			best = choice{true, d, adds}
		}
		if n, share = r.PerDevice(); n != 1 {
			break // whole devices are taken in order
		}
	}
	return best
}

// less returns what is left when a workload takes these amounts.
func less(left, amounts domain.Amounts) domain.Amounts {
	return domain.Amounts{
		CPUCores: left.CPUCores - amounts.CPUCores, MemoryMB: left.MemoryMB - amounts.MemoryMB,
		DiskMB: left.DiskMB - amounts.DiskMB,
	}
}

// of returns how much of the free devices the mix cannot use, in thousandths of a device.
func (f *fragmentation) of(r *room) float64 {
	sum := 0.0
	for i := range f.classes {
		c := &f.classes[i]
		sum += c.weight * float64(c.unusable(r))
	}
	return sum / 2
}

// unusable returns the sum of both measures for one class.
func (c *mixClass) unusable(r *room) domain.Milli {
	if c.devices == 0 || r.total == 0 || r.left.CPUCores < c.amounts.CPUCores ||
		r.left.MemoryMB < c.amounts.MemoryMB || r.left.DiskMB < c.amounts.DiskMB {
		return 2 * r.total
	}
	var tooFull domain.Milli
	devices, fit := 0, 0
	for _, d := range r.devices {
		if d.left < c.share || !c.allows[d.model] {
			tooFull += d.left
			continue
		}
		devices++
		if c.share == domain.One {
			fit++
		} else {
			fit += int(d.left / c.share)
		}
	}
	if devices < c.devices {
		return 2 * r.total
	}
	fit /= c.devices
	if c.amounts.CPUCores > 0 {
		fit = min(fit, int(r.left.CPUCores/c.amounts.CPUCores))
	}
	if c.amounts.MemoryMB > 0 {
		fit = min(fit, r.left.MemoryMB/c.amounts.MemoryMB)
	}
	if c.amounts.DiskMB > 0 {
		fit = min(fit, r.left.DiskMB/c.amounts.DiskMB)
	}
	return tooFull + r.total - domain.Milli(fit*c.devices)*c.share
}
