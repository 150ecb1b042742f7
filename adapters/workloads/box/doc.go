// Package box encloses a program in a PID, a mount and an IPC namespace of its own. Process 1 of the
// namespace, its init, is this executable again: importing the package is all that a binary needs for
// that. When the init ends, the kernel kills everything that the program has started, whatever it
// hides. The package works on Linux only.
package box
