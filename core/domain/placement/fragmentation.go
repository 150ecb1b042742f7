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
	kinds   []deviceKind
	found   []found // in the space that is measured, by kind
	models  map[string]int
	states  map[string]*deviceState
	key     []byte
}

// mixClass is a class of the mix, prepared.
type mixClass struct {
	weight  float64 // the weights of all classes add up to 1
	amounts domain.Amounts
	kind    int // of its devices, an index
}

// deviceKind is what classes of the mix need of devices.
type deviceKind struct {
	devices int
	share   domain.Milli
	allows  []bool // by model
}

// found is what a space has for a kind.
type found struct {
	tooFull domain.Milli // what is free on devices that are too full
	fit     int          // workloads that the devices are enough for
}

// deviceState is the state of the free resources of a worker with devices.
type deviceState struct {
	space
	fragmented float64
	choices    []choice // by shape.index
}

// space is what is free on a worker.
type space struct {
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
		if mix[i].Weight > 0 {
			f.classes = append(f.classes, mixClass{mix[i].Weight / all, r.Amounts, f.kindOf(r)})
		}
	}
	f.found = make([]found, len(f.kinds))
	for _, w := range workers {
		f.update(w)
	}
	return f
}

// kindOf returns the index of the kind of devices that a workload needs.
func (f *fragmentation) kindOf(r *domain.Resources) int {
	k := deviceKind{allows: make([]bool, len(f.models))}
	k.devices, k.share = r.PerDevice()
	for model, n := range f.models {
		k.allows[n] = r.Allows(model)
	}
	i := slices.IndexFunc(f.kinds, func(o deviceKind) bool {
		return o.devices == k.devices && o.share == k.share && slices.Equal(o.allows, k.allows)
	})
	if i < 0 {
		i, f.kinds = len(f.kinds), append(f.kinds, k)
	}
	return i
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
	r := space{left: h.Left(), devices: make([]rest, len(w.Resources.Devices))}
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
		s = &deviceState{space: r, fragmented: f.of(&r)}
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
	after := space{left: less(st.left, r.Amounts), total: st.total - r.GPUs}
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

// of returns how much of the free devices the mix cannot use, in thousandths of a device. It is the
// mean of both measures.
func (f *fragmentation) of(r *space) float64 {
	for i := range f.kinds {
		f.found[i] = f.kinds[i].in(r)
	}
	sum := 0.0
	for i := range f.classes {
		c := &f.classes[i]
		unusable := 2 * r.total
		if d := f.found[c.kind]; d.fit > 0 {
			if fit := c.limit(r, d.fit); fit > 0 {
				k := &f.kinds[c.kind]
				unusable = d.tooFull + r.total - domain.Milli(fit*k.devices)*k.share
			}
		}
		sum += c.weight * float64(unusable)
	}
	return sum / 2
}

// in returns what the space has for the kind.
func (k *deviceKind) in(r *space) (out found) {
	if k.devices == 0 {
		return out
	}
	for _, d := range r.devices {
		switch {
		case d.left < k.share || !k.allows[d.model]:
			out.tooFull += d.left
		case k.share == domain.One:
			out.fit++
		default:
			out.fit += int(d.left / k.share)
		}
	}
	out.fit /= k.devices
	return out
}

// limit returns for how many workloads of the class the amounts are enough, if that is less than fit.
func (c *mixClass) limit(r *space, fit int) int {
	left, need := &r.left, &c.amounts
	if left.CPUCores < need.CPUCores || left.MemoryMB < need.MemoryMB || left.DiskMB < need.DiskMB {
		return 0
	}
	if domain.Milli(fit)*need.CPUCores > left.CPUCores {
		fit = int(left.CPUCores / need.CPUCores)
	}
	if fit*need.MemoryMB > left.MemoryMB {
		fit = left.MemoryMB / need.MemoryMB
	}
	if fit*need.DiskMB > left.DiskMB {
		fit = left.DiskMB / need.DiskMB
	}
	return fit
}
