// Package placement is the pure part of the scheduler. It decides which waiting workload runs on
// which worker, and says why the others wait.
//
// All of it works on a Snapshot. Planner fills a batch in the order of the queue. FairShare keeps
// the shares of the customers. Planner.Preempt chooses which running workloads to ask to make room.
// Explainer gives the reasons why a workload waits, and EstimateWait says for how long. Time and
// randomness come in as arguments, so that the same snapshot always gives the same plan.
//
// What does not live here: the entities, what stores choose and return of the queue, and the rules
// that a store checks again when a plan is committed (core/domain); reading the snapshot and
// committing the plan (core/services/scheduling).
package placement
