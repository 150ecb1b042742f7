// Package bootstrap turns configuration into a running process: typed configuration, the providers
// that Wire puts together, and the App and WorkerApp that commands and end-to-end tests start. It
// is the only importer of adapters, and the place of loops, goroutines and real time.
package bootstrap
