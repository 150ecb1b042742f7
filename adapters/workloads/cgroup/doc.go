// Package cgroup holds groups of processes to limits of CPU time, memory and number, and measures
// what they consume. It uses the control groups of Linux, version 2 or 1. On other systems it is
// empty.
package cgroup
