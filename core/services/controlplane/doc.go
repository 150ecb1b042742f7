// Package controlplane is the coordinator's side of the worker protocol: sessions and their leases,
// reports, checkpoints, commands, and the reconciliation of what a worker says it holds with what
// the store says. Service implements ports.ControlPlane. In one process workers call it directly.
// Otherwise adapters carry the same calls over a bus or HTTP to any coordinator.
package controlplane
