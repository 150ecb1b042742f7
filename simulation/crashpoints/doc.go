// Package crashpoints runs a fixed sequence on PostgreSQL, again and again, and does one harm in
// each run, at another boundary. The sequence contains every event that can happen to a workload, and
// the deletion of a customer (simulation.World.Journey).
//
// A boundary is a point where an effect of a process becomes visible to others: each request to the
// database, each message on the bus, each call of a worker to a coordinator. Requests to the
// database are found on the connection, so that new code cannot be forgotten. The harms at a
// boundary are: the request is lost; the request is executed, but its answer is lost; the process
// ends before the request; the request is executed, but the process ends before it gets the answer.
//
// After the harm, the run goes on without faults. In the end the stored workloads must have legal
// histories, and nothing that was acknowledged may be missing. The package holds tests only.
package crashpoints
