// Package sourcestats is the demo's workload: it walks a tree of Go source, counts lines, functions
// and imports per package, and checkpoints as it goes. Definition is shared by the worker that runs
// it and the client that submits it; Count does the same in one go, without Niyanta, to compare
// with.
package sourcestats
