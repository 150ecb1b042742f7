// Package scaleexport keeps a cloud's group of machines informed about the work of its workers. It
// publishes how much waits and how many workers there should be, protects machines whose workers
// have work from being chosen when the group shrinks, and lets a machine that is about to be
// terminated go when its worker has drained.
//
// It holds no state between rounds. So several exporters may run for one group, and one that is
// killed at any point is replaced by another.
package scaleexport
