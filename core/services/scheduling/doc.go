// Package scheduling places what waits on workers: one Tick reads a snapshot, has the domain plan over it, commits the
// assignments under the leader's epoch and sends them. It runs on the leader only; on any other coordinator a Tick
// does nothing.
package scheduling
