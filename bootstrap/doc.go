// Package bootstrap turns configuration into a running process. It holds the typed configuration,
// the providers that Wire puts together, and the App and WorkerApp that commands and end-to-end
// tests start. It wires the adapters to the core, and it is where loops, goroutines and real time
// are.
package bootstrap
