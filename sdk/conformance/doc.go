// Package conformance tries a worker against the worker protocol. It starts a scripted coordinator
// for each case, starts the worker as a process, and says of each rule whether the worker keeps it.
//
// The coordinator of this package is written from the protocol's page alone. It shares no code with
// the coordinator of Niyanta, so a mistake in one of them does not hide in the other.
//
// The worker must offer the workload type "count". Its input is
//
//	{"to": 30, "step_ms": 50, "fail_at": 7, "bytes": 0}
//
// It counts from 0 to "to", one number each step_ms. Its state is the JSON object {"at": n}; with
// "bytes" the object also has "padding", a string of that length. It saves a checkpoint after each
// tenth number, and when it is asked for one. At "fail_at" it fails. Its result is {"counted": to}.
package conformance
