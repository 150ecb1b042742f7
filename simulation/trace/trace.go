package trace

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/domain/placement"
)

// Trace is a cluster with the tasks that were submitted to it.
type Trace struct {
	Nodes []domain.Offer
	// Classes are the kinds of tasks, Tasks the class of each task in order of arrival.
	Classes []domain.Resources
	Tasks   []int
	// Runs are the tasks that have run. It is empty if the trace does not have the times of tasks.
	Runs []Run
	// GPUs is what all nodes have.
	GPUs domain.Milli
}

// Read reads the nodes and the tasks of a trace.
func Read(files fs.FS, nodes, tasks string) (*Trace, error) {
	t := &Trace{}
	err := rows(files, nodes, func(text func(string) string, number func(string) int) {
		o := domain.Offer{Amounts: domain.Amounts{
			CPUCores: domain.Milli(number("cpu_milli")), MemoryMB: number("memory_mib"),
		}}
		for i := range number("gpu") {
			o.Devices = append(o.Devices, domain.Device{ID: strconv.Itoa(i), Model: text("model")})
		}
		t.addNode(o)
	})
	if err != nil {
		return nil, err
	}
	classes := map[string]int{}
	err = rows(files, tasks, func(text func(string) string, number func(string) int) {
		c := domain.Resources{
			Amounts: domain.Amounts{CPUCores: domain.Milli(number("cpu_milli")), MemoryMB: number("memory_mib")},
			GPUs:    domain.Milli(number("num_gpu") * number("gpu_milli")),
		}
		if spec := text("gpu_spec"); spec != "" && c.GPUs > 0 {
			c.GPUModels = strings.Split(spec, "|")
		}
		key := fmt.Sprint(c)
		n, known := classes[key]
		if !known {
			n = len(t.Classes)
			classes[key], t.Classes = n, append(t.Classes, c)
		}
		t.Tasks = append(t.Tasks, n)
		if text("scheduled_time") != "" {
			lasts := time.Duration(number("deletion_time")-number("scheduled_time")) * time.Second
			t.Runs = append(t.Runs, Run{n, lasts, tierOf(text("qos"))})
		}
	})
	return t, err
}

// addNode adds a node.
func (t *Trace) addNode(o domain.Offer) {
	t.Nodes = append(t.Nodes, o)
	t.GPUs += domain.Milli(len(o.Devices)) * domain.One
}

// rows calls each with every row of a file. text and number return a column by its name in the first
// row, "" if there is no such column.
func rows(files fs.FS, name string, each func(text func(string) string, number func(string) int)) error {
	f, err := files.Open(name)
	if err != nil {
		return fmt.Errorf("open the trace: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only read
	in := csv.NewReader(f)
	columns := map[string]int{}
	for line := 1; ; line++ {
		r, err := in.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s, line %d: %w", name, line, err)
		}
		if line == 1 {
			for i, column := range r {
				columns[column] = i
			}
			continue
		}
		var bad error
		text := func(column string) string {
			if i, known := columns[column]; known {
				return r[i]
			}
			return ""
		}
		each(text, func(column string) int {
			n, err := strconv.Atoi(text(column))
			if err != nil {
				bad = fmt.Errorf("column %s: %w", column, err)
			}
			return n
		})
		if bad != nil {
			return fmt.Errorf("read %s, line %d: %w", name, line, bad)
		}
	}
}

// Mix returns how often each class occurs in the trace.
func (t *Trace) Mix() []domain.MixClass {
	mix := make([]domain.MixClass, len(t.Classes))
	for i := range mix {
		mix[i].Resources = t.Classes[i]
	}
	for _, c := range t.Tasks {
		mix[c].Weight++
	}
	return mix
}

// Arrivals returns the classes of the tasks that arrive: all tasks in an order shuffled by the seed,
// then tasks drawn again, until the arrived tasks ask for this share of all GPUs.
func (t *Trace) Arrivals(seed uint64, share float64) []int {
	rng := rand.New(rand.NewPCG(seed, 7))
	arrivals := append([]int(nil), t.Tasks...)
	rng.Shuffle(len(arrivals), func(i, j int) { arrivals[i], arrivals[j] = arrivals[j], arrivals[i] })
	limit, asked := domain.Milli(share*float64(t.GPUs)), domain.Milli(0)
	for i, c := range arrivals {
		if asked >= limit {
			return arrivals[:i]
		}
		asked += t.Classes[c].GPUs
	}
	for asked < limit {
		c := t.Tasks[rng.IntN(len(t.Tasks))]
		asked += t.Classes[c].GPUs
		arrivals = append(arrivals, c)
	}
	return arrivals
}

// Policy places arriving tasks, none of which leaves. It returns which of them it has placed.
type Policy func(t *Trace, arrivals []int, seed uint64) (placed []bool)

// Allocated returns the share of all GPUs that is allocated when the first tasks, which ask for this
// share of them, have arrived.
func (t *Trace) Allocated(arrivals []int, placed []bool, share float64) float64 {
	limit := domain.Milli(share * float64(t.GPUs))
	var asked, allocated domain.Milli
	for i, c := range arrivals {
		if asked >= limit {
			break
		}
		asked += t.Classes[c].GPUs
		if placed[i] {
			allocated += t.Classes[c].GPUs
		}
	}
	return float64(allocated) / float64(t.GPUs)
}

// Planner is the policy of the product. The planner itself runs, with the order of the queue fifo.
// What it cannot place it passes over, and as nothing leaves it never becomes placeable.
func Planner(t *Trace, arrivals []int, seed uint64) []bool {
	s := placement.Snapshot{Policy: domain.PolicyFIFO, Mix: t.Mix(), Seed: seed, Workers: t.workers()}
	lanes := make([]domain.LaneHeads, len(t.Classes))
	for i := range lanes {
		lanes[i].Lane = domain.NewLane(&domain.Spec{
			CustomerID: "c", Type: "t", Run: domain.RunConfig{Resources: t.Classes[i]},
		})
	}
	for i, c := range arrivals {
		lanes[c].Heads = append(lanes[c].Heads, domain.Candidate{
			ID: domain.WorkloadID(strconv.Itoa(i)), QueueAt: time.Unix(0, int64(i)),
		})
	}
	p := placement.NewPlanner(s)
	p.Add(lanes...)
	plan, _ := p.Plan(len(arrivals))
	placed := make([]bool, len(arrivals))
	for i := range plan {
		placed[plan[i].QueueAt.UnixNano()] = true
	}
	return placed
}

// workers returns the nodes as workers.
func (t *Trace) workers() []domain.Worker {
	out := make([]domain.Worker, len(t.Nodes))
	for i := range t.Nodes {
		id := strconv.Itoa(i)
		out[i] = domain.Worker{
			ID: domain.WorkerID(id), SessionID: domain.SessionID(id), Status: domain.WorkerHealthy,
			Capabilities: []string{"t"}, Slots: domain.MaxSlots, Resources: t.Nodes[i],
		}
	}
	return out
}
