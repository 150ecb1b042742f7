// Package memory implements every port in one process. It is the reference that other adapters
// are compared with, and what runs on a laptop. It lacks nothing but durability.
//
// All stores are views of one Store behind one mutex. That makes atomic what the ports promise to
// be atomic. Indexes answer what the scheduler asks (lanes, delayed work, what each session
// holds), so the cost of a cycle does not grow with the queue.
package memory
