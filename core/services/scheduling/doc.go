// Package scheduling places what waits on workers: one Tick reads a snapshot, has the domain plan over it, commits the
// assignments under the leader's epoch and sends them. Now and then it takes a survey: it marks what no worker can run, asks lower tiers to
// make room if that is switched on, and keeps the throughput for estimates. It runs on the leader only; on any other coordinator a Tick
// does nothing.
package scheduling
