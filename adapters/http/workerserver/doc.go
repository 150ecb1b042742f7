// Package workerserver answers the probes and serves the metrics of a worker over HTTP. It needs
// nothing but the standard library, because the SDK uses it too.
package workerserver
