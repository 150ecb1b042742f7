// Package controlplane is the coordinator's side of the worker protocol: sessions and their leases,
// reports, checkpoints, commands, reconciliation of what a worker says it holds with what the store
// says. Service implements ports.ControlPlane; in one process workers call it directly, otherwise
// adapters carry the same calls over a bus or HTTP to any coordinator.
package controlplane
