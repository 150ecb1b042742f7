// Package insight answers questions about the queue: why a workload waits, what is before it, when
// it may start. It only reads, so every coordinator can answer.
package insight
