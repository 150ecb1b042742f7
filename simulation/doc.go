// Package simulation runs coordinators, workers and clients in one thread and virtual time, on the real services and the memory
// adapters, while it lets everything go wrong that may: processes crash and freeze, messages are lost, repeated and reordered,
// stores fail before a commit and after it. One seed decides all of it; the same seed gives the same run, event for event.
//
// What is really committed is checked against the invariants, each by its number: I1 one committed outcome, of the current
// generation; I2 generations and epochs only grow; I3 nothing acknowledged is lost; I4 only legal transitions; I5 held by exactly one
// session; I6 limits; I7 one audit event per transition; I8 one key, one workload; I9 checkpoints never go back, a run continues from the
// newest; I10 faults do not spend a workload's own budget; I13 affinity; and that a worker stops its runs before its lease is
// given up. A run ends by healing everything: then all that was acknowledged must finish within a bound.
package simulation
