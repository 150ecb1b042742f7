// Package simulation runs coordinators, workers and clients in one thread and virtual time, on the
// real services, while it lets everything go wrong that may: processes crash, also in the middle of
// a call, and freeze; their clocks are wrong; messages are lost, repeated and reordered, the bus is
// away; stores fail before a commit and after it, or stall for longer than a lease; workers are
// drained and removed. One seed decides all of it; the same seed gives the same run, event for
// event.
//
// What is really committed is checked against the invariants, each by its number: I1 one committed
// outcome, of the current generation; I2 generations and epochs only grow; I3 nothing acknowledged
// is lost; I4 only legal transitions; I5 held by exactly one session; I6 limits; I7 one audit event
// per transition; I8 one key, one workload; I9 checkpoints never go back, a run continues from the
// newest; I10 faults do not spend a workload's own budget; I11 nothing goes on after a cancel; I12
// another customer sees nothing; I13 affinity; I14 nothing is left behind; I15 counts equal a
// recount; and that a worker stops its runs before its lease is given up. A run ends by healing
// everything: then all that is stored must finish within a bound (liveness); every tenth ends among
// its faults (safety).
//
// The same world runs on memory (seed after seed), on PostgreSQL (package crashpoints: one harm at
// every boundary), and through every ordering of a few actions (the exhaustive check).
package simulation
