// Package telemetry implements ports.Observer with Prometheus metrics and OpenTelemetry traces, and
// makes the process's logger: log/slog in front, zerolog behind. The number of series is bounded:
// labels are states, events and tiers, never ids.
package telemetry
