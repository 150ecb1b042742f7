// Package hardware finds out what a worker has: processors, memory, disk and GPUs. It reads what the
// operator says, and where that is nothing, what the machine says.
package hardware
