package placement

import (
	"cmp"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// FairShare keeps the accounts of PolicyFair: weighted start-time fair queueing between customers, whose service is slot-time. A customer's
// tag is what it has received, in slot-seconds divided by its tier's weight; the smallest tag is served next. Nobody knows beforehand how long a
// workload runs, so each placement is charged a second at once, and what it holds beyond that as the time passes: a customer of
// short workloads and one of long ones get equal slots, not equal numbers of placements.
//
// Who has nothing to place, or is kept from it by its own limit, gathers no credit: it joins again at the virtual time, which is the median
// tag of those that compete, by weight: neither one that is far behind because what it needs is taken, nor one far ahead moves it. The
// accounts live with the leader; a new one starts everybody at zero. Not safe for concurrent use.
type FairShare struct {
	at       time.Time
	virtual  float64
	accounts map[domain.CustomerID]*account
}

type account struct {
	tag    float64
	weight float64
	// prepaid are slot-seconds charged at placements that have not passed yet.
	prepaid float64
	running int
	// placements counts what was placed, for its tenth of the longest waiting.
	placements int
	competing  bool // it had something to place, and was not kept from it by its own limit
}

// placementCharge is what a placement costs at once, in slot-seconds.
const placementCharge = 1

// NewFairShare returns empty accounts.
func NewFairShare() *FairShare { return &FairShare{accounts: map[domain.CustomerID]*account{}} }

// Settle charges what was held since the last call, and takes over who runs how much and who has something to place now.
func (f *FairShare) Settle(now time.Time, running map[domain.CustomerID]int, waiting map[domain.CustomerID]domain.Entitlements) {
	seconds := 0.0
	if !f.at.IsZero() {
		seconds = max(now.Sub(f.at).Seconds(), 0)
	}
	f.at = now
	for id, a := range f.accounts {
		a.settle(seconds, running[id])
		if _, has := waiting[id]; !has {
			a.competing = false
		}
	}
	f.advance()
	for id, a := range f.accounts {
		if !a.competing && a.running == 0 && a.tag <= f.virtual {
			delete(f.accounts, id) // it would join at the virtual time anyway
		}
	}
	for id, entitlements := range waiting {
		a := f.accounts[id]
		if a == nil {
			a = &account{running: running[id]}
			f.accounts[id] = a
		}
		a.weight = float64(entitlements.Tier.Weight())
		if !a.competing {
			a.competing = true
			a.tag = max(a.tag, f.virtual)
		}
	}
}

func (a *account) settle(seconds float64, running int) {
	held := float64(a.running+running) / 2 * seconds // what ended meanwhile ended on average in the middle
	paid := min(held, a.prepaid)
	a.tag += (held - paid) / a.weight
	a.running = running
	a.prepaid = min(a.prepaid-paid, placementCharge*float64(running))
}

// advance moves the virtual time to the median tag of those that compete, by weight; it never goes back.
func (f *FairShare) advance() {
	var competing []*account
	total := 0.0
	for _, a := range f.accounts {
		if a.competing {
			competing, total = append(competing, a), total+a.weight
		}
	}
	slices.SortFunc(competing, func(a, b *account) int { return cmp.Compare(a.tag, b.tag) })
	upTo := 0.0
	for _, a := range competing {
		if upTo += a.weight; 2*upTo >= total {
			f.virtual = max(f.virtual, a.tag)
			return
		}
	}
}

// tag is a customer's place among the customers.
func (f *FairShare) tag(id domain.CustomerID) float64 {
	if a := f.accounts[id]; a != nil {
		return a.tag
	}
	return f.virtual
}

// charge charges one placement.
func (f *FairShare) charge(id domain.CustomerID) {
	if a := f.accounts[id]; a != nil {
		a.tag += placementCharge / a.weight
		a.prepaid += placementCharge
		a.running++
		a.placements++
	}
}

// placements is how many a customer has had.
func (f *FairShare) placements(id domain.CustomerID) int {
	if a := f.accounts[id]; a != nil {
		return a.placements
	}
	return 0
}

// kept notes that a customer could not place anything for a reason of its own.
func (f *FairShare) kept(id domain.CustomerID) {
	if a := f.accounts[id]; a != nil {
		a.competing = false
	}
}
