// Package contracttests holds one suite per port, which every adapter of the port must pass, and the test that guards the
// architecture. A suite is a list of cases; each names the clause of the port's comment that it proves, and prints it
// when it fails. An adapter hooks in with a harness of a few lines. The suites are themselves tested: planted defects must
// each be caught by a named case.
//
// Imported by tests only. It knows the core and test libraries, no adapter.
package contracttests
