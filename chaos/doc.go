// Package chaos runs the production set as real processes and servers under load, and injects
// faults into them: `make chaos DURATION=5m`. Clients record what was acknowledged. Workloads
// report each effect to a sink, which refuses effects of older generations. In the end the test
// compares the clients' records, the tables, the audit and the sink. Its report lists the faults,
// the recovery times and the violations. The package holds tests, and the worker that they run.
package chaos
