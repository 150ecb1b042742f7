package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/niyanta/niyanta/adapters/internal/metric"
	"github.com/niyanta/niyanta/core/ports"
)

// The metrics of scale exporters.
var (
	exportRounds = define("scale_export_rounds_total", metric.Counter, metric.Exporters,
		"Looks at the coordinators and the group, by whether all of it succeeded.", label("result", "done, failed"))
	exportFailures = define("scale_export_failures_total", metric.Counter, metric.Exporters,
		"Steps that failed.", label("step", "machines, fleet, publish, protect, lifecycle"),
		label("reason", names(ports.CloudFailures()...)))
	exportPublished = define("scale_export_published_timestamp_seconds", metric.Gauge, metric.Exporters,
		"When figures were last published, in seconds since 1970. Absent before.")
	exportMachines = define("scale_export_machines", metric.Gauge, metric.Exporters,
		"Machines of the group, as last seen.",
		label("state", names(ports.MachineStarting, ports.MachineInService, ports.MachineWaiting, ports.MachineLeaving)))
	exportProtected = define("scale_export_protected_machines", metric.Gauge, metric.Exporters,
		"Machines that have work and are protected.")
	exportReleased = define("scale_export_released_machines_total", metric.Counter, metric.Exporters,
		"Machines that were let go after their workers had drained.")
)

// ExporterDefinitions returns the metrics of scale exporters, in the order of the documentation.
func ExporterDefinitions() []metric.Definition {
	return []metric.Definition{
		exportRounds, exportFailures, exportPublished, exportMachines, exportProtected, exportReleased,
	}
}

// ExporterMetrics are the metrics of a scale exporter. Safe for concurrent use.
type ExporterMetrics struct {
	registry  *prometheus.Registry
	rounds    *prometheus.CounterVec
	failures  *prometheus.CounterVec
	published *prometheus.GaugeVec
	machines  *prometheus.GaugeVec
	protected *prometheus.GaugeVec
	released  *prometheus.CounterVec
}

// NewExporterMetrics returns metrics in a registry of their own.
func NewExporterMetrics(steps ...string) *ExporterMetrics {
	reg := prometheus.NewRegistry()
	m := &ExporterMetrics{
		registry: reg, rounds: counters(reg, &exportRounds), failures: counters(reg, &exportFailures),
		published: gauges(reg, &exportPublished), machines: gauges(reg, &exportMachines),
		protected: gauges(reg, &exportProtected), released: counters(reg, &exportReleased),
	}
	for _, result := range []string{"done", "failed"} {
		m.rounds.WithLabelValues(result)
	}
	for _, step := range steps {
		for _, reason := range ports.CloudFailures() {
			m.failures.WithLabelValues(step, string(reason))
		}
	}
	m.released.WithLabelValues()
	return m
}

// Round counts a round.
func (m *ExporterMetrics) Round(ok bool) {
	result := "done"
	if !ok {
		result = "failed"
	}
	m.rounds.WithLabelValues(result).Inc()
}

// Failed counts a step that failed.
func (m *ExporterMetrics) Failed(step string, reason ports.CloudFailure) {
	m.failures.WithLabelValues(step, string(reason)).Inc()
}

// Published notes when figures were published.
func (m *ExporterMetrics) Published(at time.Time) {
	m.published.WithLabelValues().Set(float64(at.UnixMilli()) / 1000)
}

// Group notes what was seen of a group and done for it.
func (m *ExporterMetrics) Group(machines map[ports.MachineState]int, protected, released int) {
	for _, s := range []ports.MachineState{
		ports.MachineStarting, ports.MachineInService, ports.MachineWaiting, ports.MachineLeaving,
	} {
		m.machines.WithLabelValues(string(s)).Set(float64(machines[s]))
	}
	m.protected.WithLabelValues().Set(float64(protected))
	m.released.WithLabelValues().Add(float64(released))
}

// Handler serves the metrics.
func (m *ExporterMetrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}
