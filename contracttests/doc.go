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
// An adapter for storage runs the suites of all store ports with RunStores. With RunModel it runs
// random sequences of commands, and its results must equal those of the adapter in memory. The
// suites are tested too: for each planted defect, the case that is named for it must fail.
//
// The package also holds the test of the import policy. Only tests import it. It imports the core
// and test libraries, but no adapter.
package contracttests
