package memory_test

import (
	"testing"
	"time"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/core/domain"
)

func newClock() *contracttests.Clock {
	return contracttests.NewClock(time.Date(2026, 1, 2, 3, 4, 5, 678_912_345, time.UTC))
}

func openStores(*testing.T) contracttests.StoreHarness {
	clock := newClock()
	s := memory.NewStore(clock)
	return contracttests.StoreHarness{
		Open:    s.Stores,
		Advance: clock.Advance,
		Sizes:   func(contracttests.T) map[string]int { return memory.Sizes(s) },
		Traces: func(_ contracttests.T, c domain.CustomerID, ws []domain.WorkloadID) map[string]int {
			return s.Traces(c, ws)
		},
	}
}

func TestStoresKeepTheirContracts(t *testing.T) { contracttests.RunStores(t, "memory", openStores) }
