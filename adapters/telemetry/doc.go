// Package telemetry implements ports.Observer with Prometheus metrics and makes the process's logger: log/slog in front,
// zerolog behind. Series are bounded: labels are states, events and tiers, never ids.
package telemetry
