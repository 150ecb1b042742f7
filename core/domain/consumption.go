package domain

// Consumption is what a run has used, as its worker measured it. The zero value means that it was
// not measured.
type Consumption struct {
	// CPUMS is the CPU time of all its processes, in milliseconds. A part of one is a whole one.
	CPUMS int64 `json:"cpu_ms,omitempty"`
	// PeakMemoryMB is the most memory that all its processes had together. A part of a MB is a whole
	// one.
	PeakMemoryMB int64 `json:"peak_memory_mb,omitempty"`
}

// maxConsumption bounds what is believed. Sums over many runs stay below what stores can count.
const maxConsumption = 1 << 40

// clean returns the consumption within its bounds.
func (c Consumption) clean() Consumption {
	return Consumption{min(max(c.CPUMS, 0), maxConsumption), min(max(c.PeakMemoryMB, 0), maxConsumption)}
}

// Add adds the consumption of other runs: CPU time adds up, and the peak is the highest of any.
func (c *Consumption) Add(o Consumption) {
	c.CPUMS += o.CPUMS
	c.PeakMemoryMB = max(c.PeakMemoryMB, o.PeakMemoryMB)
}
