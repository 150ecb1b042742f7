// Package retention removes what has been kept for its time: finished workloads, which move to an
// archive, and logs, audit, keys, statistics, dead workers, ended sessions and lanes without work.
// It runs on the leader only, in small batches with pauses between them, so that nobody notices. The
// store decides what is due, by its own clock.
package retention
