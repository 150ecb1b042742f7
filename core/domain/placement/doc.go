// Package placement is the scheduler's pure part: it decides which waiting workload runs on which
// worker, and says why the others wait.
//
// Everything works on a Snapshot. Planner fills a batch in the order of the queue, FairShare keeps
// the shares of the customers, Planner.Preempt chooses what makes room, Explainer gives the reasons
// why a workload waits, and EstimateWait says for how long. The same snapshot always gives the same
// plan: time and randomness come in as arguments.
//
// What does not live here: the entities, what stores choose and return of the queue, and the rules
// that a commit checks again (core/domain); reading the snapshot and committing the plan
// (core/services/scheduling).
package placement
