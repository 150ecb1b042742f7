// Package scheduling places waiting workloads on workers. One Tick runs cycles: each reads a
// snapshot, has placement.Planner decide over it, commits the decisions under the leader's epoch,
// and sends the commands to the workers.
//
// Every few seconds a cycle also reviews the lanes that cannot be served: it marks workloads that
// no worker can run, and forgets lanes without work. If preemption is on, it asks running workloads
// of lower tiers to make room. It saves the throughput that estimates are made from.
//
// The service works on the leader only. On any other coordinator a Tick does nothing.
package scheduling
