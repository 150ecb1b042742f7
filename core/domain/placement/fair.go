package placement

import (
	"cmp"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// FairShare keeps the accounts of PolicyFair. It is weighted start-time fair queueing between
// customers, where the service is the time that they hold slots.
//
// The tag of a customer is the service that it has received: slot-seconds divided by the weight of
// its tier. The customer with the smallest tag is served next. Nobody knows in advance how long a
// workload runs. So each placement is charged one slot-second at once, and what a customer holds
// beyond that is charged as time passes. A customer with short workloads and one with long
// workloads get the same number of slots, not the same number of placements.
//
// A customer that has nothing to place, or that its own limit holds back, gathers no credit. When
// it competes again it starts at the virtual time at least. That is the median of the tags of the
// competing customers, weighted by tier: a customer far behind, because the workers that it needs
// are taken, does not move it, nor does one far ahead.
//
// The accounts live with the leader. A new leader starts every customer at zero. Not safe for
// concurrent use.
type FairShare struct {
	at       time.Time // of the last Settle
	virtual  float64
	accounts map[domain.CustomerID]*account
}

type account struct {
	tag    float64
	weight float64
	// prepaid are the slot-seconds that placements were charged in advance and that have not
	// passed.
	prepaid float64
	running int
	// placements counts the customer's placements, for LongestWaitShare.
	placements int
	// competing is set while the customer has something to place and its own limit does not hold it
	// back.
	competing bool
}

// placementCharge is what a placement is charged at once, in slot-seconds.
const placementCharge = 1

// NewFairShare returns empty accounts.
func NewFairShare() *FairShare { return &FairShare{accounts: map[domain.CustomerID]*account{}} }

// Settle charges the slots held since the last call. Then it notes how many slots each customer
// holds now, and which customers have something to place.
func (f *FairShare) Settle(
	now time.Time, running map[domain.CustomerID]int, waiting map[domain.CustomerID]domain.Entitlements,
) {
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
			delete(f.accounts, id) // the customer will start at the virtual time anyway
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

// settle charges the slots held in these seconds. The prepaid slot-seconds are used up first.
func (a *account) settle(seconds float64, running int) {
	held := float64(a.running+running) / 2 * seconds // a run that ended in between ended half-way on average
	paid := min(held, a.prepaid)
	a.tag += (held - paid) / a.weight
	a.running = running
	a.prepaid = min(a.prepaid-paid, placementCharge*float64(running))
}

// advance moves the virtual time to the weighted median of the tags of the competing customers. The
// virtual time never goes back.
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

// tag returns the customer's tag; a customer without an account is at the virtual time.
func (f *FairShare) tag(id domain.CustomerID) float64 {
	if a := f.accounts[id]; a != nil {
		return a.tag
	}
	return f.virtual
}

// charge charges the customer for one placement.
func (f *FairShare) charge(id domain.CustomerID) {
	if a := f.accounts[id]; a != nil {
		a.tag += placementCharge / a.weight
		a.prepaid += placementCharge
		a.running++
		a.placements++
	}
}

// placements returns the number of placements charged to the customer.
func (f *FairShare) placements(id domain.CustomerID) int {
	if a := f.accounts[id]; a != nil {
		return a.placements
	}
	return 0
}

// stopCompeting notes that the customer cannot place anything for a reason of its own.
func (f *FairShare) stopCompeting(id domain.CustomerID) {
	if a := f.accounts[id]; a != nil {
		a.competing = false
	}
}
