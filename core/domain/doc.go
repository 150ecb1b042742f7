// Package domain holds what Niyanta is about and nothing of how it is stored or carried:
// entities and their validation, the workload state machine as data, the order of the queue,
// retry policy, error codes.
//
// Everything here is pure. Time, randomness and ids come in as arguments, so that one function
// gives the same answer in the memory adapter, inside a PostgreSQL transaction and in a simulator.
//
// What does not live here: the placement of work on workers (core/domain/placement), interfaces
// to the outside (core/ports), use cases (core/services), any technology (adapters).
package domain
