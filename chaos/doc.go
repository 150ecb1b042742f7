// Package chaos runs the production set as real processes and servers under load, and breaks them:
// `make chaos DURATION=5m`. Clients note what was acknowledged. Workloads report each effect to a
// sink, which refuses older generations. In the end, the clients' notes, the tables, the audit and
// the sink are compared. The report lists the faults, how long recovery took, and violations. The
// package holds tests, and the worker that they run.
package chaos
