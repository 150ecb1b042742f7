// Package metric describes metrics. Each metric is declared once: the code that serves it and its
// page in the documentation both follow from the declaration.
package metric

// Type is the type of a metric, as Prometheus names it.
type Type string

// The types.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Place says which processes serve a metric.
type Place string

// The places.
const (
	// Coordinators all serve it.
	Coordinators Place = "coordinators"
	// Leader is the only one that knows it. On the other coordinators the metric is absent.
	Leader Place = "leader"
	// Workers all serve it.
	Workers Place = "workers"
	// Exporters are the processes of "niyanta scale-exporter".
	Exporters Place = "scale exporters"
)

// Label is a label of a metric. Values says which values it has; there are always few.
type Label struct{ Name, Values string }

// Definition describes a metric.
type Definition struct {
	Name   string
	Type   Type
	Place  Place
	Help   string
	Labels []Label
	// Buckets are the upper bounds of a histogram.
	Buckets []float64
	// When says on what the metric depends, if not all processes of its place serve it.
	When string
}

// LabelNames returns the names of the labels.
func (d *Definition) LabelNames() []string {
	names := make([]string, len(d.Labels))
	for i, l := range d.Labels {
		names[i] = l.Name
	}
	return names
}
