// Package live serves live updates: streams of what happens to a workload, or to the workloads of a
// customer or of all.
//
// A stream is read from the store, from a position on. So it continues at any coordinator without
// loss or repetition. Updates on the bus only tell when to read. A stream that hears nothing costs
// no reads of its own: Tick looks for all of them whether an update was lost.
//
// What does not live here: how events are written to clients, who may read them, and how many
// streams there may be. The HTTP adapter decides that.
package live
