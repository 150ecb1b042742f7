// Package days simulates whole days of the scheduler in virtual time, to show how the policies
// treat the tiers: how long workloads wait, and which share of the slots each customer gets.
//
// Scheduling, leadership and transitions are the real services on the memory adapter. The workers
// are only timers, and nothing goes wrong: faults are the subject of package simulation. One seed
// decides everything, and a customer whose workloads arrive at a rate brings the same work under
// every policy.
//
// The tests check two promises: shares follow the weights, and no workload waits for ever. The
// plots in docs/plots are drawn from the series (make plots).
package days
