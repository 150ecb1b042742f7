// Package mocks holds generated mocks of ports, for tests that must inject an error which no
// reference adapter produces. Imported by tests only.
package mocks

//go:generate mockgen -package mocks -destination mock_ports.go github.com/niyanta/niyanta/core/ports LeaderLease,QueueStore,WorkloadStore,WorkerStore,CheckpointStore,InsightStore,Notifier,Observer
