package domain

import (
	"math"
	"slices"
	"time"
)

// Waits counts workloads by how long they had waited. Each class reaches a fifth further than the one
// below it, so that a quantile is right within a tenth, whether it is milliseconds or days. The key is
// the class, the value how many there are.
type Waits map[int]int

// The first class reaches to waitUnit. waitSteps classes further on, they reach twice as far.
const (
	waitUnit  = time.Millisecond
	waitSteps = 4
)

// Add counts a workload that had waited for d.
func (w Waits) Add(d time.Duration) {
	class := 0
	if d > waitUnit {
		class = int(math.Ceil(waitSteps * math.Log2(float64(d)/float64(waitUnit))))
	}
	w[class]++
}

// Merge counts what o has counted, too.
func (w Waits) Merge(o Waits) {
	for class, n := range o {
		w[class] += n
	}
}

// Count returns how many there are.
func (w Waits) Count() (n int) {
	for _, of := range w {
		n += of
	}
	return n
}

// Quantile returns how long the share q of the workloads had waited at most; 0 if there are none.
func (w Waits) Quantile(q float64) time.Duration {
	classes := make([]int, 0, len(w))
	for class := range w {
		classes = append(classes, class)
	}
	slices.Sort(classes)
	rank, passed := int(math.Ceil(q*float64(w.Count()))), 0
	for _, class := range classes {
		if passed += w[class]; passed >= rank {
			// The middle of the class.
			return time.Duration(float64(waitUnit) * math.Exp2((float64(class)-0.5)/waitSteps))
		}
	}
	return 0
}
