package telemetry

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Metrics implements ports.Observer. Safe for concurrent use.
type Metrics struct {
	registry    *prometheus.Registry
	submissions *prometheus.CounterVec
	transitions map[transitionKey]prometheus.Counter
	queueWait   *prometheus.HistogramVec
	runTime     prometheus.Histogram
	cycle       *prometheus.HistogramVec
	placed      prometheus.Counter
	refused     prometheus.Counter
	lanes       prometheus.Gauge
	passedOver  *prometheus.GaugeVec
	preferences *prometheus.CounterVec
	preempted   prometheus.Counter
	leading     prometheus.Gauge
	epoch       prometheus.Gauge
	events      *prometheus.CounterVec
	purged      *prometheus.CounterVec
	requests    *prometheus.HistogramVec
	workers     *prometheus.GaugeVec
	slots       *prometheus.GaugeVec
	oldest      prometheus.Gauge
	routes      firstFew
	eventNames  firstFew
}

// seriesLimit bounds the routes and the names of rare events that have series of their own.
const seriesLimit = 200

type transitionKey struct {
	event   domain.Event
	outcome domain.Outcome
}

var submitNames = map[domain.Admission]string{
	domain.Admitted: "accepted", domain.AdmittedBefore: "duplicate", domain.AdmissionConflict: "conflict",
	domain.AdmissionQueueFull: "queue_full", domain.AdmissionNoCustomer: "no_customer",
	domain.AdmissionSuspended: "suspended",
}

var outcomes = []domain.Outcome{
	domain.OutcomeApplied, domain.OutcomeAlready, domain.OutcomeFenced,
	domain.OutcomeIllegal, domain.OutcomeNotFound, domain.OutcomeRefused,
}

// latencyBuckets reach from a millisecond to an hour.
var latencyBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}

// requestBuckets reach from a millisecond to a long poll's minute.
var requestBuckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5, 30, 60}

// cycleBuckets reach from 50 microseconds to 2 seconds.
var cycleBuckets = []float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2}

// NewMetrics returns metrics in a registry of their own, beside those of the Go runtime and the
// process.
func NewMetrics() *Metrics {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := &Metrics{
		registry:    reg,
		submissions: counters(reg, "submissions_total", "Submissions by result.", "result"),
		transitions: map[transitionKey]prometheus.Counter{},
		routes:      firstFew{limit: seriesLimit},
		eventNames:  firstFew{limit: seriesLimit},
		runTime:     histogram(reg, "run_seconds", "Time from start to completion of runs.", latencyBuckets),
		placed:      counter(reg, "scheduler_placed_total", "Assignments committed."),
		refused:     counter(reg, "scheduler_refused_total", "Planned assignments that the store did not apply."),
		lanes:       gauge(reg, "scheduler_lanes", "Lanes with eligible work, as last seen."),
		preferences: counters(reg, "scheduler_preferences_total",
			"Placements of workloads that prefer some workers (soft affinity), by whether they got one.", "matched"),
		preempted: counter(reg, "scheduler_preemption_requests_total",
			"Running workloads that were asked to make room for a higher tier's."),
		leading: gauge(reg, "leader", "1 while this process leads."),
		epoch:   gauge(reg, "leader_epoch", "Epoch of the last leadership of this process."),
		events:  counters(reg, "events_total", "Rare events by name.", "event"),
		purged: counters(reg, "retention_purged_total",
			"What was removed because it was kept for its time.", "what"),
	}
	m.cycle = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "niyanta", Name: "scheduler_cycle_seconds", Help: "Parts of a scheduling cycle.", Buckets: cycleBuckets,
	}, []string{"part"})
	m.requests = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "niyanta", Name: "http_request_seconds",
		Help: "API requests by method, route and class of status.", Buckets: requestBuckets,
	}, []string{"method", "route", "status"})
	m.workers = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "niyanta", Name: "workers",
		Help: "Workers by status, as the leader sees them."}, []string{"status"})
	m.slots = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "niyanta", Name: "worker_slots",
		Help: "Slots of healthy workers: free, in all, and kept by runs that have ended but do not return (ending).",
	}, []string{"kind"})
	m.oldest = gauge(reg, "queue_oldest_wait_seconds", "The longest wait of a workload that may be placed.")
	m.queueWait = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "niyanta", Name: "queue_wait_seconds",
		Help: "Time from when a workload begins to wait to its first assignment, by tier.", Buckets: latencyBuckets,
	}, []string{"tier"})
	m.passedOver = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "niyanta", Name: "scheduler_lanes_passed_over",
		Help: "Lanes that could not be served when last seen, by obstacle.",
	}, []string{"obstacle"})
	reg.MustRegister(m.cycle, m.requests, m.workers, m.slots, m.queueWait, m.passedOver)
	for _, t := range domain.Tiers() { // what has not happened yet is 0, not missing
		m.queueWait.WithLabelValues(string(t))
	}
	for _, o := range domain.Obstacles() {
		m.passedOver.WithLabelValues(string(o))
	}
	m.passedOver.WithLabelValues(laneAside)
	m.passedOver.WithLabelValues(laneCut)
	for _, k := range domain.AllKept() {
		m.purged.WithLabelValues(string(k))
	}
	for _, matched := range []bool{true, false} {
		m.preferences.WithLabelValues(strconv.FormatBool(matched))
	}
	vec := counters(reg, "transitions_total", "Transitions by event and outcome.", "event", "outcome")
	for _, r := range domain.Rules() {
		for _, o := range outcomes {
			m.transitions[transitionKey{r.Event, o}] = vec.WithLabelValues(string(r.Event), string(o))
		}
	}
	return m
}

func counter(reg *prometheus.Registry, name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "niyanta", Name: name, Help: help})
	reg.MustRegister(c)
	return c
}

func counters(reg *prometheus.Registry, name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "niyanta", Name: name, Help: help}, labels)
	reg.MustRegister(c)
	return c
}

func gauge(reg *prometheus.Registry, name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "niyanta", Name: name, Help: help})
	reg.MustRegister(g)
	return g
}

func histogram(reg *prometheus.Registry, name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "niyanta", Name: name, Help: help, Buckets: buckets})
	reg.MustRegister(h)
	return h
}

// Gauge adds a metric whose value is asked for when metrics are read. The labels are fixed, so that
// series stay bounded.
func (m *Metrics) Gauge(name, help string, labels map[string]string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "niyanta", Name: name, Help: help,
		ConstLabels: labels}, value))
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Submitted implements ports.Observer.
func (m *Metrics) Submitted(results []ports.SubmitResult) {
	for _, r := range results {
		name, known := submitNames[r.Status]
		if !known {
			name = other
		}
		m.submissions.WithLabelValues(name).Inc()
	}
}

// Transitioned implements ports.Observer.
func (m *Metrics) Transitioned(b domain.Batch, results []domain.Result) {
	for i := range results {
		r, e := &results[i], b.Transitions[i].Event
		if c := m.transitions[transitionKey{e, r.Outcome}]; c != nil {
			c.Inc()
		}
		if r.Outcome != domain.OutcomeApplied {
			continue
		}
		if e == domain.EventComplete && !r.State.StartedAt.IsZero() {
			m.runTime.Observe(r.State.FinishedAt.Sub(r.State.StartedAt).Seconds())
		}
	}
}

// Cycle implements ports.Observer.
func (m *Metrics) Cycle(c ports.SchedulingCycle) {
	m.cycle.WithLabelValues("read").Observe(c.Read.Seconds())
	m.cycle.WithLabelValues("plan").Observe(c.Plan.Seconds())
	m.cycle.WithLabelValues("apply").Observe(c.Apply.Seconds())
	m.placed.Add(float64(c.Placed))
	m.refused.Add(float64(c.Refused))
	m.preempted.Add(float64(c.Preempted))
	for _, p := range c.Placements {
		if p.First {
			m.queueWait.WithLabelValues(within(tierNames, string(p.Tier))).Observe(p.Waited.Seconds())
		}
		if p.Preferred {
			m.preferences.WithLabelValues(strconv.FormatBool(p.Matched)).Inc()
		}
	}
	for _, status := range []domain.WorkerStatus{domain.WorkerHealthy, domain.WorkerDraining, domain.WorkerDead} {
		m.workers.WithLabelValues(string(status)).Set(float64(c.Workers[status]))
	}
	m.slots.WithLabelValues("all").Set(float64(c.Slots))
	m.slots.WithLabelValues("free").Set(float64(c.FreeSlots))
	m.slots.WithLabelValues("ending").Set(float64(c.EndingRuns))
	if c.Queue == nil {
		return
	}
	m.lanes.Set(float64(c.Queue.Lanes))
	m.passedOver.WithLabelValues(laneAside).Set(float64(c.Queue.Aside))
	m.passedOver.WithLabelValues(laneCut).Set(float64(c.Queue.Cut))
	m.oldest.Set(c.Queue.OldestWait.Seconds())
	if c.Queue.PassedOver != nil || c.Queue.Lanes == 0 {
		for _, o := range domain.Obstacles() {
			m.passedOver.WithLabelValues(string(o)).Set(float64(c.Queue.PassedOver[o]))
		}
	}
}

// Request counts a request of the API.
func (m *Metrics) Request(method, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(within(methods, method), m.routes.value(route), statusClass(status)).Observe(took.Seconds())
}

// Leader implements ports.Observer.
func (m *Metrics) Leader(leading bool, epoch int64) {
	m.leading.Set(0)
	if leading {
		m.leading.Set(1)
	}
	m.epoch.Set(float64(epoch))
}

// Count implements ports.Observer.
func (m *Metrics) Count(name string, n int) {
	m.events.WithLabelValues(m.eventNames.value(name)).Add(float64(n))
}

// Purged implements ports.Observer.
func (m *Metrics) Purged(what domain.Kept, n int) {
	m.purged.WithLabelValues(string(what)).Add(float64(n))
}

// Labels of lanes that a cycle did not consider: no worker admits them, or their customer has more
// lanes than are considered.
const (
	laneAside = "set_aside"
	laneCut   = "beyond_bound"
)
