package domain

import (
	"slices"
	"time"
)

// Pool describes workers that are alike and are scaled together. Pools are configuration, because
// none could be known of while no worker runs.
type Pool struct {
	Name string
	// Types are the capabilities that each of its workers offers: workload types, and programs as
	// "exec:" and their name.
	Types []string
	// Tags, Slots and Resources are those of each of its workers.
	Tags      map[string]string
	Slots     int
	Resources Offer
	// MinWorkers and MaxWorkers bound what is desired.
	MinWorkers, MaxWorkers int
	// TargetPercent is the utilisation of the slots that is aimed at.
	TargetPercent int
}

// PoolsLimit bounds the number of pools.
const PoolsLimit = 50

// The defaults of a pool.
const (
	DefaultTargetPercent = 70
	DefaultMaxWorkers    = 500
)

// poolWorkersLimit bounds MaxWorkers.
const poolWorkersLimit = 100_000

// ValidatePools checks pools one by one, and that their names differ.
func ValidatePools(pools []Pool) error {
	if len(pools) > PoolsLimit {
		return Invalid("pools", "must be at most %d, not %d", PoolsLimit, len(pools))
	}
	seen := map[string]bool{}
	for i := range pools {
		if err := pools[i].validate(); err != nil {
			return err
		}
		if seen[pools[i].Name] {
			return Invalid("pools", "%q must be stated once", pools[i].Name)
		}
		seen[pools[i].Name] = true
	}
	return nil
}

func (p *Pool) validate() error {
	lower := func(c rune) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
	if p.Name == "" || len(p.Name) > 63 || !only(p.Name, lower, '-') {
		return Invalid("pools", `need names of 1 to 63 lower case letters, digits and "-", not %q`, p.Name)
	}
	field := "pools." + p.Name
	w := Registration{
		WorkerID: "w", SessionID: "s", Capabilities: p.Types, Slots: p.Slots, Tags: p.Tags, Resources: p.Resources,
	}
	if err := w.Validate(); err != nil {
		return Invalid(field, "describes no worker: %s", err)
	}
	switch {
	case p.MaxWorkers < 1 || p.MaxWorkers > poolWorkersLimit:
		return Invalid(field+".max_workers", "must be 1 to %d, not %d", poolWorkersLimit, p.MaxWorkers)
	case p.MinWorkers < 0 || p.MinWorkers > p.MaxWorkers:
		return Invalid(field+".min_workers", "must be 0 to max_workers, not %d", p.MinWorkers)
	case p.TargetPercent < 1 || p.TargetPercent > 100:
		return Invalid(field+".target_percent", "must be 1 to 100, not %d", p.TargetPercent)
	}
	return nil
}

// worker returns a worker of the pool. It has no id: what must run on one worker needs that one.
func (p *Pool) worker() Worker {
	return Worker{Capabilities: p.Types, Slots: p.Slots, Tags: p.Tags, Resources: p.Resources}
}

// Fit returns how many workloads of the lane an empty worker of the pool can run at once. It is 0 if
// it can run none.
func (p *Pool) Fit(l *Lane) int {
	w := p.worker()
	if !slices.Contains(p.Types, l.Type) || !l.Affinity.Admits(&w) {
		return 0
	}
	slots := p.Slots
	if slices.Contains(l.Affinity.Anti.WorkloadTypes, l.Type) {
		slots = 1 // one keeps the others away
	}
	if l.Resources.IsZero() {
		return slots
	}
	h := NewHolding(&p.Resources)
	n := 0
	for ; n < slots && h.Fits(&l.Resources); n++ {
		h.Take(&l.Resources, h.Choose(&l.Resources, nil), 1)
	}
	return n
}

// describes reports whether a worker offers what those of the pool offer.
func (p *Pool) describes(w *Worker) bool {
	return w.HasTags(p.Tags) && !slices.ContainsFunc(p.Types, func(t string) bool {
		return !slices.Contains(w.Capabilities, t)
	})
}

// poolOf returns the index of the pool that a worker belongs to: of those that describe it the one
// that says most, and of equal ones the first. It is -1 if there is none.
func poolOf(pools []Pool, w *Worker) int {
	best := -1
	for i := range pools {
		p := &pools[i]
		if p.describes(w) && (best < 0 || len(p.Tags)+len(p.Types) > len(pools[best].Tags)+len(pools[best].Types)) {
			best = i
		}
	}
	return best
}

// WaitObjective is how long workloads of the tier should wait at most for a worker of a pool that
// can grow.
func (t Tier) WaitObjective() time.Duration { return tiers[t].wait }
