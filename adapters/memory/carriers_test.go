package memory_test

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/core/ports"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBusKeepsItsContract(t *testing.T) {
	contracttests.Run(t, "Bus", "memory", contracttests.BusCases(), func(t *testing.T) contracttests.BusHarness {
		b := memory.NewBus()
		t.Cleanup(func() { _ = b.Close() })
		return contracttests.BusHarness{Open: func() ports.Bus { return b }}
	})
}

func TestRateLimiterKeepsItsContract(t *testing.T) {
	contracttests.Run(t, "RateLimiter", "memory", contracttests.LimiterCases(),
		func(*testing.T) contracttests.LimiterHarness {
			clock := newClock()
			l := memory.NewRateLimiter(clock)
			return contracttests.LimiterHarness{Open: func() ports.RateLimiter { return l }, Advance: clock.Advance}
		})
}

func TestNotifierKeepsItsContract(t *testing.T) {
	contracttests.Run(t, "Notifier", "memory", contracttests.NotifierCases(),
		func(*testing.T) contracttests.NotifierHarness {
			n := memory.NewNotifier()
			return contracttests.NotifierHarness{Open: func() (ports.Notifier, ports.Listener) { return n, n }}
		})
}

// wall is the clock of the machine.
type wall struct{}

// Now implements ports.Clock.
func (wall) Now() time.Time { return time.Now() }

func TestBlobs_KeepTheirContract(t *testing.T) {
	contracttests.Run(t, "BlobStore", "memory", contracttests.BlobCases(), func(*testing.T) contracttests.BlobHarness {
		b := memory.NewBlobs(wall{})
		return contracttests.BlobHarness{Open: func() ports.BlobStore { return b }}
	})
}

func TestBlobs_WithKeys_KeepTheirContract(t *testing.T) {
	cases := contracttests.BlobCases()
	contracttests.Run(t, "BlobStore", "memory-keys", cases, func(*testing.T) contracttests.BlobHarness {
		b := memory.NewKeyedBlobs(wall{})
		return contracttests.BlobHarness{Open: func() ports.BlobStore { return b }, Under: b.Under}
	})
}
