// Package contracttests proves that an adapter keeps the contract of its port. It holds one suite
// per port; every adapter of the port runs all of it.
//
// A suite is a list of cases. Each case names the clause of the port's comment that it proves, and
// prints it when it fails. To test an adapter, give Run a harness that opens it:
//
//	func TestBus_KeepsItsContract(t *testing.T) {
//		contracttests.Run(t, "Bus", "mine", contracttests.BusCases(), func(t *testing.T) contracttests.BusHarness {
//			b := mine.NewBus()
//			t.Cleanup(func() { _ = b.Close() })
//			return contracttests.BusHarness{Open: func() ports.Bus { return b }}
//		})
//	}
//
// A storage runs the suites of all store ports with RunStores, and random sequences of commands
// against the reference in memory with RunModel. The suites are tested themselves: each planted
// defect must be caught by the case that names it.
//
// The package also holds the test that guards the architecture. It is imported by tests only, and
// knows the core and test libraries, but no adapter.
package contracttests
