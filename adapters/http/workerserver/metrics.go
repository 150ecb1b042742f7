package workerserver

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/niyanta/niyanta/adapters/internal/metric"
	"github.com/niyanta/niyanta/core/services/execution"
)

var (
	capacity = metric.Definition{Name: "niyanta_worker_capacity_total", Type: metric.Gauge, Place: metric.Workers,
		Help: "Slots of this worker."}
	capacityUsed = metric.Definition{Name: "niyanta_worker_capacity_used", Type: metric.Gauge, Place: metric.Workers,
		Help: "Slots of this worker that runs take, those included that were told to end and have not returned."}
	utilization = metric.Definition{Name: "niyanta_worker_utilization_percent", Type: metric.Gauge,
		Place: metric.Workers, Help: "Used slots of this worker in percent."}
	ready = metric.Definition{Name: "niyanta_worker_ready", Type: metric.Gauge, Place: metric.Workers,
		Help: "1 while this worker is registered and does not drain."}
	draining = metric.Definition{Name: "niyanta_worker_draining", Type: metric.Gauge, Place: metric.Workers,
		Help: "1 while this worker takes no new work."}
	started = metric.Definition{Name: "niyanta_worker_runs_started_total", Type: metric.Counter, Place: metric.Workers,
		Help: "Runs that this process has started.", Labels: []metric.Label{{Name: "workload_type", Values: ofTypes}}}
	certificateExpiry = metric.Definition{Name: "niyanta_certificate_expiry_timestamp_seconds", Type: metric.Gauge,
		Place: metric.Workers, Labels: []metric.Label{{Name: "connection", Values: "coordinator, bus, probes"}},
		Help: "When the worker's certificate for a connection expires, in seconds since 1970.",
		When: "NIYANTA_COORDINATOR_CERT_FILE, NIYANTA_NATS_CERT_FILE, NIYANTA_REDIS_CERT_FILE or NIYANTA_TLS_CERT_FILE " +
			"is set"}
	ended = metric.Definition{Name: "niyanta_worker_runs_ended_total", Type: metric.Counter, Place: metric.Workers,
		Help: "Runs of this process that have ended.", Labels: []metric.Label{
			{Name: "workload_type", Values: ofTypes}, {Name: "result", Values: results()},
		}}
)

const ofTypes = "those that the worker offers"

func results() string {
	names := make([]string, 0, len(execution.RunResults()))
	for _, r := range execution.RunResults() {
		names = append(names, string(r))
	}
	return strings.Join(names, ", ")
}

// Definitions returns the metrics that a worker serves.
func Definitions() []metric.Definition {
	return []metric.Definition{capacity, capacityUsed, utilization, ready, draining, started, ended, certificateExpiry}
}

// exposition returns the metrics in the text format of Prometheus.
func exposition(w *Worker) []byte {
	var b bytes.Buffer
	s := w.Stats()
	single := func(d *metric.Definition, value float64) {
		head(&b, d)
		fmt.Fprintf(&b, "%s %v\n", d.Name, value)
	}
	single(&capacity, float64(s.Slots))
	single(&capacityUsed, float64(s.Used))
	single(&utilization, 100*float64(s.Used)/float64(max(s.Slots, 1)))
	single(&ready, one(s.Ready()))
	single(&draining, one(s.Draining))
	types := slices.Sorted(maps.Keys(s.Runs))
	head(&b, &started)
	for _, t := range types {
		fmt.Fprintf(&b, "%s{workload_type=%q} %d\n", started.Name, t, s.Runs[t].Started)
	}
	head(&b, &ended)
	for _, t := range types {
		for _, r := range execution.RunResults() {
			fmt.Fprintf(&b, "%s{workload_type=%q,result=%q} %d\n", ended.Name, t, r, s.Runs[t].Ended[r])
		}
	}
	if len(w.Certificates) > 0 {
		head(&b, &certificateExpiry)
	}
	for _, connection := range slices.Sorted(maps.Keys(w.Certificates)) {
		fmt.Fprintf(&b, "%s{connection=%q} %d\n", certificateExpiry.Name, connection, w.Certificates[connection]().Unix())
	}
	return b.Bytes()
}

func head(b *bytes.Buffer, d *metric.Definition) {
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s %s\n", d.Name, d.Help, d.Name, d.Type)
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
