// Package insight answers what people ask about the queue: why a workload waits, what is before it, when it may start. It reads, and decides
// nothing; any coordinator answers.
package insight
