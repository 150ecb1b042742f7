// Package chaos runs the production set as real processes and servers under load, and breaks them: `make chaos DURATION=5m`. Clients write
// down what was acknowledged; workloads report each effect to a sink, which refuses older generations; afterwards client history, tables,
// audit and sink are joined and judged. It prints a report: the faults, how long recovery took, and violations. It holds tests, and
// the worker they run.
package chaos
