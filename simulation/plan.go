package simulation

// Harm is what happens at a boundary: where something a process does becomes visible outside.
type Harm int

// The harms.
const (
	None        Harm = iota
	LoseRequest      // it never happens; the process is told that it failed
	LoseAnswer       // it happens, but the process is told that it failed
	CrashBefore      // the process ends before it happens
	CrashAfter       // it happens, and the process ends before it knows
)

func (h Harm) String() string {
	return [...]string{"none", "request lost", "answer lost", "crash before", "crash after"}[h]
}

// Harms are all of them.
var Harms = []Harm{LoseRequest, LoseAnswer, CrashBefore, CrashAfter}

// Plan does one harm at one boundary of a run.
type Plan struct {
	// At is the number of the boundary; -1: none.
	At   int
	Harm Harm
	// Seen are the boundaries that were met, in order, up to the one that was harmed.
	Seen []string
	// Done tells that the harm was done.
	Done bool
}

// Boundary tells the plan that something is about to become visible outside, and returns what is to
// happen to it.
func (w *World) Boundary(label string) Harm {
	p := w.Plan
	if p == nil || w.healed || p.Done {
		return None
	}
	p.Seen = append(p.Seen, label)
	if len(p.Seen)-1 != p.At {
		return None
	}
	p.Done = true
	w.Faults++
	w.note("%s: %s", p.Harm, label)
	return p.Harm
}

// Die ends the process of the coordinator that acts, at a boundary in its storage.
func (w *World) Die() { w.die() }
