package telemetry

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/niyanta/niyanta/adapters/internal/metric"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// leaderGauges holds what only a leader knows. On every other coordinator the gauges are absent, also
// on one that led before: a stale value beside the leader's would be counted twice. The process is
// asked whether it leads whenever metrics are read, because a leader that was frozen has not noticed
// yet that it leads no more.
type leaderGauges struct {
	descs map[string]*prometheus.Desc
	leads atomic.Pointer[func() bool]

	mu     sync.Mutex
	values map[seriesKey]float64
	listed map[domain.CustomerID]bool
}

// seriesKey is a metric with the values of its labels.
type seriesKey struct{ name, labels string }

// labelSeparator is in no value of a label.
const labelSeparator = "\x00"

func newLeaderGauges(reg *prometheus.Registry) *leaderGauges {
	g := &leaderGauges{descs: map[string]*prometheus.Desc{}, values: map[seriesKey]float64{}}
	for _, d := range Definitions() {
		if d.Place == metric.Leader || d.Name == leader.Name {
			g.descs[d.Name] = prometheus.NewDesc(d.Name, d.Help, d.LabelNames(), nil)
		}
	}
	reg.MustRegister(g)
	return g
}

// Describe implements prometheus.Collector.
func (g *leaderGauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range g.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *leaderGauges) Collect(ch chan<- prometheus.Metric) {
	leads := g.leads.Load()
	leading := leads != nil && (*leads)()
	isLeader := 0.0
	if leading {
		isLeader = 1
	}
	ch <- prometheus.MustNewConstMetric(g.descs[leader.Name], prometheus.GaugeValue, isLeader)
	if !leading {
		return
	}
	g.mu.Lock()
	values := maps.Clone(g.values)
	g.mu.Unlock()
	for k, v := range values {
		var labels []string
		if k.labels != "" {
			labels = strings.Split(k.labels, labelSeparator)
		}
		ch <- prometheus.MustNewConstMetric(g.descs[k.name], prometheus.GaugeValue, v, labels...)
	}
}

func (g *leaderGauges) setLocked(d *metric.Definition, value float64, labels ...string) {
	g.values[seriesKey{d.Name, strings.Join(labels, labelSeparator)}] = value
}

// forget drops all values.
func (g *leaderGauges) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.values)
}

// list sets the customers that have series of their own.
func (g *leaderGauges) list(ids []string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listed = map[domain.CustomerID]bool{}
	for _, id := range ids {
		g.listed[domain.CustomerID(id)] = true
	}
}

// cycle takes what a scheduling cycle saw.
func (g *leaderGauges) cycle(c *ports.SchedulingCycle) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, status := range workerStatuses {
		g.setLocked(&poolSize, float64(c.Workers[status]), string(status))
	}
	taken := max(c.Slots-c.FreeSlots, 0)
	g.setLocked(&capacity, float64(c.Slots))
	g.setLocked(&used, float64(taken))
	g.setLocked(&utilization, 100*float64(taken)/float64(max(c.Slots, 1)))
	g.setLocked(&ending, float64(c.EndingRuns))
	g.resourcesLocked(c.Resources)
	if c.Queue == nil {
		return
	}
	g.setLocked(&lanes, float64(c.Queue.Lanes))
	g.setLocked(&passedOver, float64(c.Queue.Aside), laneAside)
	g.setLocked(&passedOver, float64(c.Queue.Cut), laneCut)
	if c.Queue.PassedOver != nil || c.Queue.Lanes == 0 {
		for _, o := range domain.Obstacles() {
			g.setLocked(&passedOver, float64(c.Queue.PassedOver[o]), string(o))
		}
	}
}

// resourcesLocked replaces what is allocated and free. The resources after the first seriesLimit
// count together, so that declared names and models cannot make any number of series.
func (g *leaderGauges) resourcesLocked(all []domain.ResourceUsage) {
	maps.DeleteFunc(g.values, func(k seriesKey, _ float64) bool {
		return k.name == resourceAllocated.Name || k.name == resourceFree.Name
	})
	var rest domain.ResourceUsage
	for i, r := range all {
		if i >= seriesLimit {
			rest.Allocated, rest.Free = rest.Allocated+r.Allocated, rest.Free+r.Free
			r = domain.ResourceUsage{Resource: "other", Allocated: rest.Allocated, Free: rest.Free}
		}
		g.setLocked(&resourceAllocated, r.Allocated, r.Resource, r.Model)
		g.setLocked(&resourceFree, r.Free, r.Resource, r.Model)
	}
}

// queue takes what waits and runs.
func (g *leaderGauges) queue(customers []domain.CustomerQueue) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var total int
	var oldest float64
	for _, q := range domain.ByTier(customers) {
		tier := string(q.Tier)
		g.depthLocked(&queueDepth, &q, tier)
		g.setLocked(&running, float64(q.Running), tier)
		g.setLocked(&queueOldestOfTier, q.OldestWait.Seconds(), tier)
		total += q.Waiting
		oldest = max(oldest, q.OldestWait.Seconds())
	}
	g.setLocked(&queueTotal, float64(total))
	g.setLocked(&queueOldest, oldest)
	queues := map[domain.CustomerID]domain.TierQueue{}
	for i := range customers {
		queues[customers[i].CustomerID] = customers[i].TierQueue
	}
	for _, id := range slices.Sorted(maps.Keys(g.listed)) {
		q := queues[id] // zero if it has nothing unfinished
		g.depthLocked(&customerQueue, &q, string(id))
		g.setLocked(&customerRunning, float64(q.Running), string(id))
	}
}

// pools takes how large the pools are and should be.
func (g *leaderGauges) pools(pools []domain.PoolScale) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range pools {
		p := &pools[i]
		g.setLocked(&scalingWaiting, float64(p.Waiting), p.Name)
		g.setLocked(&scalingWorkers, float64(p.Workers), p.Name)
		g.setLocked(&scalingDesired, float64(p.DesiredWorkers), p.Name)
	}
}

func (g *leaderGauges) depthLocked(d *metric.Definition, q *domain.TierQueue, of string) {
	g.setLocked(d, float64(q.Waiting), of, "waiting")
	g.setLocked(d, float64(q.Delayed), of, "delayed")
	g.setLocked(d, float64(q.Blocked), of, "blocked")
}
