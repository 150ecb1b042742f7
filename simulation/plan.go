package simulation

// Harm is a fault at a boundary. A boundary is a point where an effect of a process becomes visible
// to others: a request to the store, a call to a coordinator, a message on the bus.
type Harm int

// The harms.
const (
	None        Harm = iota // no harm
	LoseRequest             // the effect does not happen, and the process gets an error
	LoseAnswer              // the effect happens, but the process gets an error
	CrashBefore             // the process ends before the effect happens
	CrashAfter              // the effect happens, and the process ends before it gets the answer
)

func (h Harm) String() string {
	return [...]string{"none", "request lost", "answer lost", "crash before", "crash after"}[h]
}

// Harms lists all harms but None.
var Harms = []Harm{LoseRequest, LoseAnswer, CrashBefore, CrashAfter}

// Plan does one harm at one boundary of a run.
type Plan struct {
	// At is the number of the boundary. With -1 there is no harm, and boundaries are only counted.
	At   int
	Harm Harm
	// Seen lists the labels of the boundaries so far, up to the one that was harmed.
	Seen []string
	// Done reports whether the harm has been done.
	Done bool
}

// Boundary records a boundary of the run, and returns the harm that must be done there.
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

// Die ends the process of the coordinator that is acting, at a boundary in its storage.
func (w *World) Die() { w.die() }
