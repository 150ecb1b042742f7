// Package memory implements every port in one process: the reference that other adapters are compared with, and what
// runs on a laptop. It lacks nothing but durability.
//
// All stores are views of one Store behind one mutex, so that what the ports promise to be atomic is. Indexes are
// kept for what the scheduler asks (lanes, delayed work, what each session holds), so that the cost of a cycle
// does not grow with what waits.
package memory
