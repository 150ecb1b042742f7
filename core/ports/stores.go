package ports

// Stores bundles the store ports of one storage. Every backend has one method that returns it.
type Stores struct {
	Workloads   WorkloadStore
	Queue       QueueStore
	Insight     InsightStore
	Statistics  StatisticsStore
	Workers     WorkerStore
	Fleet       FleetStore
	Checkpoints CheckpointStore
	Uploads     UploadStore
	Customers   CustomerStore
	Configs     ConfigStore
	Keys        KeyStore
	Tickets     TicketStore
	Audit       AuditStore
	AdminAudit  AdminAuditStore
	Logs        LogStore
	Answers     AnswerStore
	Retention   RetentionStore
	Events      EventStore
	Erasure     ErasureStore
	Leader      LeaderLease
}
