// Package transitions is the one write path of workloads. Every service that changes a workload
// hands a batch to the Applier, which has the store execute it and then tells whoever should know:
// metrics, followers, the worker that must stop, the leader that may place again.
//
// What is legal is the domain's (domain.Decide); how a batch is executed is the store's.
package transitions
