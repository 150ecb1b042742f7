package telemetry

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/niyanta/niyanta/adapters/internal/metric"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Metrics implements ports.Observer. Safe for concurrent use.
type Metrics struct {
	registry        *prometheus.Registry
	submissions     *prometheus.CounterVec
	duration        *prometheus.HistogramVec
	executions      *prometheus.CounterVec
	wait            *prometheus.HistogramVec
	transitions     map[transitionKey]prometheus.Counter
	retries         *prometheus.CounterVec
	redistributions *prometheus.CounterVec
	saveTime        *prometheus.HistogramVec
	saveSize        *prometheus.HistogramVec
	saves           *prometheus.CounterVec
	throttled       *prometheus.CounterVec
	purged          *prometheus.CounterVec
	events          *prometheus.CounterVec
	requests        *prometheus.HistogramVec
	epoch           *prometheus.GaugeVec
	cycle           *prometheus.HistogramVec
	placed          *prometheus.CounterVec
	refused         *prometheus.CounterVec
	preferences     *prometheus.CounterVec
	preempted       *prometheus.CounterVec
	ofLeader        *leaderGauges
	routes          firstFew
	eventNames      firstFew
	types           firstFew
}

type transitionKey struct {
	event   domain.Event
	outcome domain.Outcome
}

// NewMetrics returns metrics in a registry of their own, beside those of the Go runtime and the
// process.
func NewMetrics() *Metrics {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := &Metrics{
		registry:        reg,
		submissions:     counters(reg, &submissions),
		duration:        histograms(reg, &workloadDuration),
		executions:      counters(reg, &executions),
		wait:            histograms(reg, &workloadWait),
		transitions:     map[transitionKey]prometheus.Counter{},
		retries:         counters(reg, &retries),
		redistributions: counters(reg, &redistributions),
		saveTime:        histograms(reg, &checkpointDuration),
		saveSize:        histograms(reg, &checkpointBytes),
		saves:           counters(reg, &checkpoints),
		throttled:       counters(reg, &throttled),
		purged:          counters(reg, &purged),
		events:          counters(reg, &events),
		requests:        histograms(reg, &requests),
		epoch:           gauges(reg, &epoch),
		cycle:           histograms(reg, &cycle),
		placed:          counters(reg, &placed),
		refused:         counters(reg, &refused),
		preferences:     counters(reg, &preferences),
		preempted:       counters(reg, &preempted),
		ofLeader:        newLeaderGauges(reg),
		routes:          firstFew{limit: seriesLimit},
		eventNames:      firstFew{limit: seriesLimit},
		types:           firstFew{limit: typesLimit},
	}
	m.zero(counters(reg, &transitions))
	return m
}

// zero makes the series whose labels are known beforehand: what has not happened yet is 0, not
// missing.
func (m *Metrics) zero(transitions *prometheus.CounterVec) {
	for _, r := range domain.Rules() {
		for _, o := range outcomes {
			m.transitions[transitionKey{r.Event, o}] = transitions.WithLabelValues(string(r.Event), string(o))
		}
	}
	for _, t := range domain.Tiers() {
		m.wait.WithLabelValues(string(t))
		for _, result := range submitNames {
			m.submissions.WithLabelValues(string(t), result)
		}
		for _, reason := range throttleReasons {
			m.throttled.WithLabelValues(string(t), reason)
		}
	}
	for _, reason := range retryReasons {
		m.retries.WithLabelValues(reason)
	}
	for _, reason := range losses {
		m.redistributions.WithLabelValues(reason)
	}
	m.redistributions.WithLabelValues(reasonDrained)
	m.redistributions.WithLabelValues(reasonPreempted)
	for _, result := range checkpointResults {
		m.saves.WithLabelValues(result)
		m.saveTime.WithLabelValues(result)
		m.saveSize.WithLabelValues(result)
	}
	for _, name := range rareEvents {
		m.Count(name, 0)
	}
	for _, k := range domain.AllKept() {
		m.purged.WithLabelValues(string(k))
	}
	for _, matched := range []bool{true, false} {
		m.preferences.WithLabelValues(strconv.FormatBool(matched))
	}
	m.placed.WithLabelValues()
	m.refused.WithLabelValues()
	m.preempted.WithLabelValues()
	m.epoch.WithLabelValues()
}

func counters(reg *prometheus.Registry, d *metric.Definition) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: d.Name, Help: d.Help}, d.LabelNames())
	reg.MustRegister(c)
	return c
}

func gauges(reg *prometheus.Registry, d *metric.Definition) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: d.Name, Help: d.Help}, d.LabelNames())
	reg.MustRegister(g)
	return g
}

func histograms(reg *prometheus.Registry, d *metric.Definition) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: d.Name, Help: d.Help, Buckets: d.Buckets},
		d.LabelNames())
	reg.MustRegister(h)
	return h
}

// Gauge adds series of a metric whose value is asked for when metrics are read. While ok is false
// they are absent. The values of the labels are fixed, so that series stay bounded.
func (m *Metrics) Gauge(d metric.Definition, value func() (v float64, ok bool), labels ...string) {
	m.registry.MustRegister(asked{
		desc: prometheus.NewDesc(d.Name, d.Help, nil, labelsOf(&d, labels)), value: value,
	})
}

func labelsOf(d *metric.Definition, values []string) prometheus.Labels {
	out := prometheus.Labels{}
	for i, name := range d.LabelNames() {
		out[name] = values[i]
	}
	return out
}

// asked is a gauge whose value is asked for.
type asked struct {
	desc  *prometheus.Desc
	value func() (float64, bool)
}

// Describe implements prometheus.Collector.
func (a asked) Describe(ch chan<- *prometheus.Desc) { ch <- a.desc }

// Collect implements prometheus.Collector.
func (a asked) Collect(ch chan<- prometheus.Metric) {
	if v, ok := a.value(); ok {
		ch <- prometheus.MustNewConstMetric(a.desc, prometheus.GaugeValue, v)
	}
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Submitted implements ports.Observer.
func (m *Metrics) Submitted(tier domain.Tier, results []ports.SubmitResult, _ time.Duration) {
	for _, r := range results {
		name, known := submitNames[r.Status]
		if !known {
			name = other
		}
		m.submissions.WithLabelValues(within(tierNames, string(tier)), name).Inc()
	}
}

// Transitioned implements ports.Observer.
func (m *Metrics) Transitioned(b domain.Batch, results []domain.Result, _ time.Duration) {
	for i := range results {
		r, t := &results[i], &b.Transitions[i]
		if c := m.transitions[transitionKey{t.Event, r.Outcome}]; c != nil {
			c.Inc()
		}
		if r.Outcome == domain.OutcomeApplied {
			m.applied(t, r)
		}
	}
}

func (m *Metrics) applied(t *domain.Transition, r *domain.Result) {
	if result, is := ends[t.Event]; is && r.From == domain.StatusRunning {
		m.executions.WithLabelValues(m.types.value(r.Type), result).Inc()
	}
	if result, is := finals[r.State.Status]; is && !r.State.StartedAt.IsZero() && r.From != r.State.Status {
		m.duration.WithLabelValues(m.types.value(r.Type), result).
			Observe(r.State.FinishedAt.Sub(r.State.StartedAt).Seconds())
	}
	switch {
	case r.State.Status == domain.StatusPending && (t.Event == domain.EventFail || t.Event == domain.EventTimeout):
		m.retries.WithLabelValues(retryReason(t.Event, t.Failure)).Inc()
	case r.State.Status == domain.StatusRedistributing:
		if reason := redistributionReason(t); reason != "" {
			m.redistributions.WithLabelValues(reason).Inc()
		}
	}
}

// Checkpointed implements ports.Observer.
func (m *Metrics) Checkpointed(c ports.CheckpointAttempt) {
	result := checkpointResult(c)
	m.saves.WithLabelValues(result).Inc()
	m.saveTime.WithLabelValues(result).Observe(c.Took.Seconds())
	m.saveSize.WithLabelValues(result).Observe(float64(c.Size))
}

// Cycle implements ports.Observer.
func (m *Metrics) Cycle(c ports.SchedulingCycle) {
	m.cycle.WithLabelValues("read").Observe(c.Read.Seconds())
	m.cycle.WithLabelValues("plan").Observe(c.Plan.Seconds())
	m.cycle.WithLabelValues("apply").Observe(c.Apply.Seconds())
	m.placed.WithLabelValues().Add(float64(c.Placed))
	m.refused.WithLabelValues().Add(float64(c.Refused))
	m.preempted.WithLabelValues().Add(float64(c.Preempted))
	for _, p := range c.Placements {
		if p.First {
			m.wait.WithLabelValues(within(tierNames, string(p.Tier))).Observe(p.Waited.Seconds())
		}
		if p.Preferred {
			m.preferences.WithLabelValues(strconv.FormatBool(p.Matched)).Inc()
		}
	}
	m.ofLeader.cycle(&c)
}

// Request counts a request of the API.
func (m *Metrics) Request(method, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(within(methods, method), m.routes.value(route), statusClass(status)).Observe(took.Seconds())
}

// throttleReasons are why requests are refused.
var throttleReasons = []string{"rate", "in_flight"}

// Throttled counts a request of a customer of this tier that was refused. An empty tier is that of a
// caller without a customer.
func (m *Metrics) Throttled(tier domain.Tier, reason string) {
	m.throttled.WithLabelValues(within(tierNames, string(tier)), within(setOf(throttleReasons...), reason)).Inc()
}

// Leader implements ports.Observer. What the leader has said so far is forgotten: it belongs to
// another leadership.
func (m *Metrics) Leader(_ bool, epoch int64) {
	m.ofLeader.forget()
	m.epoch.WithLabelValues().Set(float64(epoch))
}

// Leads sets what says whether this process leads. Until then it does not.
func (m *Metrics) Leads(leads func() bool) { m.ofLeader.leads.Store(&leads) }

// Queue receives what waits and runs. It belongs to the leader.
func (m *Metrics) Queue(customers []domain.CustomerQueue) { m.ofLeader.queue(customers) }

// Pools receives how large the pools of workers are and should be. It belongs to the leader.
func (m *Metrics) Pools(pools []domain.PoolScale) { m.ofLeader.pools(pools) }

// ListCustomers sets the customers that have series of their own.
func (m *Metrics) ListCustomers(ids ...string) { m.ofLeader.list(ids) }

// Count implements ports.Observer.
func (m *Metrics) Count(name string, n int) {
	m.events.WithLabelValues(m.eventNames.value(name)).Add(float64(n))
}

// Purged implements ports.Observer.
func (m *Metrics) Purged(what domain.Kept, n int) {
	m.purged.WithLabelValues(string(what)).Add(float64(n))
}
