package telemetry

import (
	"fmt"
	"strings"

	"github.com/niyanta/niyanta/adapters/internal/metric"
	"github.com/niyanta/niyanta/core/domain"
)

// namespace begins the name of every metric.
const namespace = "niyanta_"

// latencyBuckets reach from a millisecond to an hour.
var latencyBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}

// durationBuckets reach from 10 milliseconds to a day.
var durationBuckets = []float64{.01, .05, .1, .5, 1, 5, 10, 30, 60, 300, 900, 3600, 3 * 3600, 12 * 3600, 24 * 3600}

// requestBuckets reach from a millisecond to a long poll's minute.
var requestBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 60}

// cycleBuckets reach from 50 microseconds to 2 seconds.
var cycleBuckets = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2}

// sizeBuckets reach from 256 bytes to 16 MiB.
var sizeBuckets = []float64{1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24}

// Labels that several metrics have.
var (
	ofTier = metric.Label{Name: "tier", Values: names(domain.Tiers()...) + ", other"}
	ofType = metric.Label{Name: "workload_type",
		Values: fmt.Sprintf("the first %d types that have run, other", typesLimit)}
	ofCustomer = metric.Label{Name: "customer_id", Values: "those in NIYANTA_METRICS_CUSTOMERS"}
	ofWorkers  = metric.Label{Name: "worker_pool", Values: "the names in NIYANTA_POOLS"}
	ofResource = metric.Label{Name: "resource", Values: fmt.Sprintf(
		"cpu_cores, memory_mb, disk_mb, gpus, those that workers declare; after %d series: other", seriesLimit)}
	ofModel = metric.Label{Name: "model", Values: "those of the workers' GPUs, empty for other resources"}
	ofPool  = metric.Label{Name: "pool", Values: "main, leases, reads, replica 1, replica 2 and so on"}
)

const (
	withBus         = "NIYANTA_BUS is nats or redis"
	withPostgres    = "NIYANTA_STORE is postgres"
	withHints       = "NIYANTA_STORE is postgres, without a bus"
	withReplica     = "NIYANTA_POSTGRES_REPLICA_URL is set"
	withCertificate = "NIYANTA_TLS_CERT_FILE, NIYANTA_NATS_CERT_FILE or NIYANTA_REDIS_CERT_FILE is set, or a URL of " +
		"PostgreSQL has sslcert"
	withCheckpoints = "NIYANTA_CHECKPOINT_URL is set"
	withPools       = "NIYANTA_POOLS is set"
	withList        = "NIYANTA_METRICS_CUSTOMERS is set"
)

// The metrics of coordinators.
var (
	submissions = define("workload_submissions_total", metric.Counter, metric.Coordinators,
		"Submissions by the customer's tier and what became of them.", ofTier, label("result", submitResults()))
	workloadDuration = withBuckets(define("workload_duration_seconds", metric.Histogram, metric.Coordinators,
		"Time from the last start to the end of workloads that have finished.",
		ofType, label("result", "completed, failed, cancelled")), durationBuckets)
	executions = define("workload_executions_total", metric.Counter, metric.Coordinators, "Runs that have ended.",
		ofType, label("result", executionResults()))
	workloadWait = withBuckets(define("workload_wait_seconds", metric.Histogram, metric.Coordinators,
		"Time from when a workload begins to wait to its first assignment.", ofTier), latencyBuckets)
	transitions = define("transitions_total", metric.Counter, metric.Coordinators,
		"Transitions of workloads by event and outcome.", label("event", eventNames()), label("outcome", names(outcomes...)))
	retries = define("retries_total", metric.Counter, metric.Coordinators,
		"Failed runs whose workloads wait for another one.", label("reason", names(retryReasons...)))
	redistributions = define("redistributions_total", metric.Counter, metric.Coordinators,
		"Workloads that were taken or given back and wait for another worker.",
		label("reason", redistributionReasons()))
	checkpointDuration = withBuckets(define("checkpoint_duration_seconds", metric.Histogram, metric.Coordinators,
		"Time to store a checkpoint.", label("result", names(checkpointResults...))), requestBuckets)
	checkpointBytes = withBuckets(define("checkpoint_bytes", metric.Histogram, metric.Coordinators,
		"Size of checkpoints as the runs gave them.", label("result", names(checkpointResults...))), sizeBuckets)
	checkpoints = define("checkpoints_total", metric.Counter, metric.Coordinators, "Attempts to save a checkpoint.",
		label("result", names(checkpointResults...)))
	throttled = define("throttled_requests_total", metric.Counter, metric.Coordinators,
		"Requests that were refused because there were too many.", ofTier,
		label("reason", "rate: 429, above the customer's rate; in_flight: 503, too many at once"))
	purged = define("retention_purged_total", metric.Counter, metric.Coordinators,
		"What was removed because it was kept for its time.", label("what", names(domain.AllKept()...)))
	events = define("events_total", metric.Counter, metric.Coordinators, "Rare events by name.",
		label("event", names(rareEvents...)+", other"))
	requests = withBuckets(define("http_request_seconds", metric.Histogram, metric.Coordinators,
		"API requests by method, route and class of status.", label("method", "those of HTTP, other"),
		label("route", "those of the API, other"), label("status", "1xx, 2xx, 3xx, 4xx, 5xx, other")), requestBuckets)
	leader = define("leader", metric.Gauge, metric.Coordinators, "1 while this process leads.")
	epoch  = define("leader_epoch", metric.Gauge, metric.Coordinators, "Epoch of the last leadership of this process.")
	cycle  = withBuckets(define("scheduler_cycle_seconds", metric.Histogram, metric.Coordinators,
		"Parts of a scheduling cycle.", label("part", "read, plan, apply")), cycleBuckets)
	placed  = define("scheduler_placed_total", metric.Counter, metric.Coordinators, "Assignments committed.")
	refused = define("scheduler_refused_total", metric.Counter, metric.Coordinators,
		"Planned assignments that the store did not apply.")
	preferences = define("scheduler_preferences_total", metric.Counter, metric.Coordinators,
		"Placements of workloads that prefer some workers (soft affinity), by whether they got one.",
		label("matched", "true, false"))
	preempted = define("scheduler_preemption_requests_total", metric.Counter, metric.Coordinators,
		"Running workloads that were asked to make room for a higher tier's.")

	queueDepth = define("scheduler_queue_depth", metric.Gauge, metric.Leader,
		"Workloads that wait, by tier. Blocked ones are due, but their customer runs as many as it may or is suspended.",
		ofTier, label("state", "waiting, delayed, blocked"))
	queueTotal = define("queue_depth_total", metric.Gauge, metric.Leader,
		"Workloads that wait and may be placed now: the sum of niyanta_scheduler_queue_depth{state=\"waiting\"}.")
	queueOldest = define("queue_oldest_seconds", metric.Gauge, metric.Leader,
		"The longest wait of a workload that may be placed now.")
	queueOldestOfTier = define("scheduler_oldest_wait_seconds", metric.Gauge, metric.Leader,
		"The longest wait of a workload that may be placed now, by tier.", ofTier)
	running  = define("running_total", metric.Gauge, metric.Leader, "Workloads that are assigned or run, by tier.", ofTier)
	poolSize = define("worker_pool_size", metric.Gauge, metric.Leader, "Workers by status.",
		label("status", names(workerStatuses...)))
	capacity = define("worker_capacity_total", metric.Gauge, metric.Leader, "Slots of the healthy workers in all.")
	used     = define("worker_capacity_used", metric.Gauge, metric.Leader,
		"Slots of the healthy workers that runs take, those included that were told to end and have not returned.")
	utilization = define("worker_utilization_percent", metric.Gauge, metric.Leader,
		"Used slots of the healthy workers in percent. Without any slot it is 0.")
	ending = define("worker_ending_runs", metric.Gauge, metric.Leader,
		"Runs that were told to end and have not returned. They keep their slots.")
	resourceAllocated = define("worker_resource_allocated", metric.Gauge, metric.Leader,
		"What runs hold of the resources that the healthy workers state.", ofResource, ofModel)
	resourceFree = define("worker_resource_free", metric.Gauge, metric.Leader,
		"What is free of the resources that the healthy workers state.", ofResource, ofModel)
	lanes      = define("scheduler_lanes", metric.Gauge, metric.Leader, "Lanes with eligible work, as last seen.")
	passedOver = define("scheduler_lanes_passed_over", metric.Gauge, metric.Leader,
		"Lanes that could not be served when last seen.",
		label("obstacle", names(domain.Obstacles()...)+", "+laneAside+", "+laneCut))
	scalingWaiting = when(define("scaling_waiting", metric.Gauge, metric.Leader,
		"Workloads that may be placed now and that workers of the pool could run.", ofWorkers), withPools)
	scalingWorkers = when(define("scaling_workers", metric.Gauge, metric.Leader,
		"Workers of the pool that take new work.", ofWorkers), withPools)
	scalingDesired = when(define("scaling_desired_workers", metric.Gauge, metric.Leader,
		"How many workers the pool needs.", ofWorkers), withPools)
	customerQueue = when(define("customer_queue_depth", metric.Gauge, metric.Leader,
		"Workloads of a customer that wait; see niyanta_scheduler_queue_depth.", ofCustomer,
		label("state", "waiting, delayed, blocked")), withList)
	customerRunning = when(define("customer_running", metric.Gauge, metric.Leader,
		"Workloads of a customer that are assigned or run.", ofCustomer), withList)

	// StreamsOpen and the others below have values that are asked for; see Metrics.Gauge.
	StreamsOpen  = define("streams_open", metric.Gauge, metric.Coordinators, "Streams of live updates that are open.")
	BusConnected = when(define("bus_connected", metric.Gauge, metric.Coordinators, "1 while the bus answers."), withBus)
	BusDropped   = when(define("bus_dropped", metric.Gauge, metric.Coordinators,
		"Messages that found a full buffer, and handlers that panicked."), withBus)
	// CheckpointStorageConnected is asked for rarely, because object storages charge for it.
	CheckpointStorageConnected = when(define("checkpoint_storage_connected", metric.Gauge, metric.Coordinators,
		"1 while the storage of large checkpoints can be listed. It is looked at once a minute while it can be."),
		withCheckpoints)
	CertificateExpiry = when(define("certificate_expiry_timestamp_seconds", metric.Gauge, metric.Coordinators,
		"When the coordinator's certificate for a connection expires, in seconds since 1970.",
		label("connection", "api, bus, database, rate_limiter")), withCertificate)
	HintsConnected = when(define("hints_connected", metric.Gauge, metric.Coordinators,
		"1 while notifications of the database arrive."), withHints)
	PoolConnections = when(define("pool_connections", metric.Gauge, metric.Coordinators, "Connections of a pool.",
		ofPool, label("state", "used, idle")), withPostgres)
	PoolWaits = when(define("pool_waits", metric.Gauge, metric.Coordinators,
		"Acquisitions that had to wait for a connection.", ofPool), withPostgres)
	EventLag = when(define("event_lag_seconds", metric.Gauge, metric.Coordinators,
		"How long streams of live updates of customers wait for a transaction to end."), withPostgres)
	ReplicaLag = when(define("replica_lag_seconds", metric.Gauge, metric.Coordinators,
		"How far the read replica that is the last is behind. Those that do not answer do not count; it is "+
			"absent while none answers."), withReplica)
)

// Definitions returns the metrics of coordinators, in the order of the documentation.
func Definitions() []metric.Definition {
	return []metric.Definition{
		submissions, workloadDuration, executions, workloadWait, transitions, retries, redistributions,
		checkpointDuration, checkpointBytes, checkpoints, throttled, purged, events, requests, leader, epoch, cycle,
		placed, refused, preferences, preempted, queueDepth, queueTotal, queueOldest, queueOldestOfTier, running,
		poolSize, capacity, used, utilization, ending, resourceAllocated, resourceFree, lanes, passedOver,
		scalingWaiting, scalingWorkers, scalingDesired,
		customerQueue, customerRunning, StreamsOpen, BusConnected, BusDropped, CheckpointStorageConnected,
		CertificateExpiry, HintsConnected,
		PoolConnections, PoolWaits, EventLag, ReplicaLag,
	}
}

func define(
	name string, kind metric.Type, place metric.Place, help string, labels ...metric.Label,
) metric.Definition {
	return metric.Definition{Name: namespace + name, Type: kind, Place: place, Help: help, Labels: labels}
}

func label(name, values string) metric.Label { return metric.Label{Name: name, Values: values} }

func withBuckets(d metric.Definition, buckets []float64) metric.Definition {
	d.Buckets = buckets
	return d
}

func when(d metric.Definition, condition string) metric.Definition {
	d.When = condition
	return d
}

func names[T ~string](values ...T) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return strings.Join(out, ", ")
}
