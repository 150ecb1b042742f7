// Package preemption watches for the notice that the machine will be taken away, as clouds give it
// for spot instances: a file, an answer of a metadata service, or a signal.
package preemption
