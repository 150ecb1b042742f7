// Package simulation runs coordinators, workers and clients in one thread, in virtual time, on the
// real services, and injects faults:
//
//   - processes crash, also in the middle of a call, and freeze; their clocks are wrong
//   - messages are lost, repeated and reordered; the bus is disconnected
//   - stores fail before a commit and after it, or stall for longer than a lease
//   - workers are drained and removed
//   - customers are deleted, whatever they have
//
// One seed decides all of it. The same seed gives the same run, event for event.
//
// A checker sees every commit and compares it with the invariants, by their numbers in
// docs/DOMAIN.md:
//
//   - I1 one committed outcome, of the current generation
//   - I2 generations and epochs only grow
//   - I3 nothing that was acknowledged is lost
//   - I4 only legal transitions
//   - I5 a held workload is held by exactly one session
//   - I6 limits
//   - I7 one audit event per transition
//   - I8 one idempotency key, one workload
//   - I9 checkpoints never go back, and a run continues from the newest
//   - I10 faults of the system do not spend a workload's own retries
//   - I11 a cancelled workload stops
//   - I12 another customer sees nothing
//   - I13 affinity, and no device, share or amount given twice
//   - I14 nothing is left behind
//   - I15 counts equal a recount
//   - I16 a deleted customer leaves nothing, and nobody else loses anything
//
// It also checks that a worker stops its runs before its lease is given up. Most runs end by
// healing all faults: then every workload and every deletion must finish within a bound (liveness).
// Every tenth run ends among its faults (safety).
//
// The same world runs in three ways: on memory, seed after seed; on PostgreSQL, with one harm at
// each boundary (package crashpoints); and through every ordering of a few actions (the exhaustive
// check).
package simulation
