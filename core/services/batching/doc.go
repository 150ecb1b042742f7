// Package batching holds the committer: concurrent calls share a commit. While one batch commits,
// the next gathers; there is no timer, so an idle system has no added latency and a busy one
// amortises its commits.
package batching
