package trace

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
)

// The policies below are those that the planner is compared with. They share one loop: for each
// task, the node on which it costs least, the first one among equals.

// RandomFit places a task on any node that it fits.
func RandomFit(t *Trace, arrivals []int, seed uint64) []bool {
	rng := rand.New(rand.NewPCG(seed, 11))
	return replay(t, arrivals, func(_, _ *node) float64 { return 0 }, func(n int) bool { return rng.IntN(n) == 0 })
}

// BestFit places a task where least is left.
func BestFit(t *Trace, arrivals []int, _ uint64) []bool {
	return replay(t, arrivals, bestFit, firstOfEquals)
}

// bestFit is the mean of the processors and the GPUs that are left, as shares of the largest node.
func bestFit(_, after *node) float64 {
	return float64(after.CPUCores)/128_000 + float64(after.total())/8_000
}

// firstOfEquals says to take no later one of equally good nodes.
func firstOfEquals(int) bool { return false }

// Gradient is fragmentation gradient descent as published by Weng et al. (USENIX ATC 2023). The mix
// is the most common classes, without memory, which make up 95 % of the tasks.
func Gradient(t *Trace, arrivals []int, _ uint64) []bool {
	mix := t.Mix()
	slices.SortStableFunc(mix, func(a, b domain.MixClass) int { return cmp.Compare(b.Weight, a.Weight) })
	common := 0.0
	for i := range mix {
		if common += mix[i].Weight; common >= 0.95*float64(len(t.Tasks)) {
			mix = mix[:i+1]
			break
		}
	}
	return replay(t, arrivals, func(before, after *node) float64 {
		return (after.fragmented(mix) - before.fragmented(mix)) / common
	}, firstOfEquals)
}

// node is what is free on a node.
type node struct {
	domain.Amounts
	model   string
	devices []domain.Milli
	// frag is the fragmentation, once it is computed.
	frag     float64
	measured bool
	// after has, by class, the node with one more task of the class, once it is known.
	after []option
}

// option is a node with one more task; it is nil if the task does not fit.
type option struct {
	known bool
	node  *node
	cost  float64
}

func (n *node) total() (sum domain.Milli) {
	for _, d := range n.devices {
		sum += d
	}
	return sum
}

// fragmented returns how much of the free GPUs one more task of the mix cannot use, summed up.
func (n *node) fragmented(mix []domain.MixClass) float64 {
	if n.measured {
		return n.frag
	}
	n.measured = true
	total := n.total()
	for i := range mix {
		r := &mix[i].Resources
		devices, share := r.PerDevice()
		var tooFull domain.Milli
		for _, d := range n.devices {
			if d < share {
				tooFull += d
			} else {
				devices--
			}
		}
		if r.GPUs == 0 || devices > 0 || r.CPUCores > n.CPUCores || !r.Allows(n.model) {
			tooFull = total
		}
		n.frag += mix[i].Weight * float64(tooFull)
	}
	return n.frag
}

// with returns the node with one more task, which takes whole devices or a share of device i; nil if
// it does not fit.
func (n *node) with(r *domain.Resources, i int) *node {
	devices, share := r.PerDevice()
	if r.CPUCores > n.CPUCores || r.MemoryMB > n.MemoryMB || devices > 0 && !r.Allows(n.model) {
		return nil
	}
	after := &node{model: n.model, devices: slices.Clone(n.devices)}
	after.CPUCores, after.MemoryMB = n.CPUCores-r.CPUCores, n.MemoryMB-r.MemoryMB
	for ; devices > 0 && i < len(after.devices); i++ {
		if after.devices[i] >= share {
			after.devices[i] -= share
			devices--
		}
	}
	if devices > 0 {
		return nil
	}
	return after
}

func replay(t *Trace, arrivals []int, cost func(before, after *node) float64, swap func(equals int) bool) []bool {
	nodes := t.emptyNodes()
	placed := make([]bool, len(arrivals))
	for k, class := range arrivals {
		if at, after := cheapest(nodes, class, &t.Classes[class], cost, swap); after != nil {
			nodes[at], placed[k] = after, true
		}
	}
	return placed
}

// emptyNodes returns the nodes with nothing on them.
func (t *Trace) emptyNodes() []*node {
	nodes := make([]*node, len(t.Nodes))
	for i, o := range t.Nodes {
		nodes[i] = &node{Amounts: o.Amounts, after: make([]option, len(t.Classes))}
		for _, d := range o.Devices {
			nodes[i].model, nodes[i].devices = d.Model, append(nodes[i].devices, domain.One)
		}
	}
	return nodes
}

// cheapest returns the node on which a task of the class costs least, and the node with it. after is
// nil if the task fits nowhere. Of equally good nodes it takes a later one if swap says so.
func cheapest(
	nodes []*node, class int, r *domain.Resources, cost func(before, after *node) float64, swap func(equals int) bool,
) (at int, after *node) {
	var best *option
	equals := 0
	for i, n := range nodes {
		o := &n.after[class]
		if !o.known {
			*o = n.cheapest(r, cost)
		}
		switch {
		case o.node == nil:
		case best == nil || o.cost < best.cost:
			best, at, equals = o, i, 1
		case o.cost == best.cost:
			if equals++; swap(equals) {
				best, at = o, i
			}
		}
	}
	if best == nil {
		return 0, nil
	}
	best.node.after = make([]option, len(nodes[at].after))
	return at, best.node
}

// cheapest returns the cheapest way to place one more task on the node.
func (n *node) cheapest(r *domain.Resources, cost func(before, after *node) float64) option {
	best := option{known: true}
	for i := range max(len(n.devices), 1) {
		after := n.with(r, i)
		if after == nil {
			break
		}
		if c := cost(n, after); best.node == nil || c < best.cost {
			best.node, best.cost = after, c
		}
		if count, _ := r.PerDevice(); count != 1 {
			break
		}
	}
	return best
}
