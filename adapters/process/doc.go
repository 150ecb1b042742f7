// Package process holds what the operating system offers to a process that guards secrets: an environment that others may
// read, secrets that come another way, and memory and descriptors that nobody else may look into. It knows nothing of
// workloads; what starts programs for customers is adapters/workloads.
package process
