// Package process protects the secrets of this process with the means of the operating system, and
// supervises a child. Secrets leave the environment, which other processes may read; memory and
// descriptors are closed to others. The package knows nothing of workloads: adapters/workloads
// starts the programs of customers.
package process
