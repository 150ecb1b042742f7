package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// workload is a workload as the coordinator sees it.
type workload struct {
	id         string
	generation int64
	kind       string // the workload type
	input      countInput
	timeoutMS  int64
	stage      stage
	fenced     bool      // each report of it is answered with "fenced"
	last       string    // the last event that was applied
	endedAt    time.Time // when its outcome came
	events     []string  // what was applied in this generation, saves included
	sequence   int64     // of its newest checkpoint
	saved      map[int64][]byte
	newest     map[int64]int // the highest number that was saved, of each generation
	restored   int64         // the checkpoint that a load is answered with; 0: none is left
	loads      int
	progressed bool // a report or a save told progress
	ended      report
}

type stage int

const (
	scheduled stage = iota
	running
	over
)

// countInput is the input of the workload type "count".
type countInput struct {
	To     int `json:"to"`
	StepMS int `json:"step_ms,omitempty"`
	FailAt int `json:"fail_at,omitempty"`
	Bytes  int `json:"bytes,omitempty"`
}

// countState is the state of the workload type "count".
type countState struct {
	At int `json:"at"`
}

func (w *workload) assignment() *assignment {
	input, _ := json.Marshal(w.input) // it is a struct of numbers
	return &assignment{
		WorkloadID: w.id, CustomerID: "cust_conformance", Type: w.kind, Generation: w.generation, Input: input,
		Labels: map[string]string{}, CheckpointIntervalMS: 300_000, TimeoutMS: w.timeoutMS, MaxRetries: 5,
		CheckpointSequence: w.sequence,
	}
}

func (w *workload) status() string {
	switch {
	case w.stage == scheduled:
		return "SCHEDULED"
	case w.stage == running:
		return "RUNNING"
	case w.last == "complete":
		return "COMPLETED"
	}
	return "PENDING"
}

// report applies a report and says what is wrong with it, if anything is.
func (w *workload) report(r *report) (outcome, mistake string) {
	if w.fenced || r.Generation != w.generation {
		return fenced, ""
	}
	w.progressed = w.progressed || r.ProgressPercent != nil
	if r.Event == w.last && (r.Event == "start" || ends[r.Event]) {
		return already, ""
	}
	switch {
	case r.Event == "start" && w.stage == scheduled:
		w.stage = running
	case r.Event == "decline" && w.stage == scheduled, ends[r.Event] && r.Event != "decline" && w.stage == running:
		w.stage, w.ended = over, *r
	case (r.Event == "progress" || r.Event == "log") && w.stage == running:
		w.events = append(w.events, r.Event)
		return applied, ""
	case w.stage == over:
		return fenced, fmt.Sprintf("a report %q came after the run had ended with %q", r.Event, w.last)
	default:
		return illegal, fmt.Sprintf("a report %q came before the start", r.Event)
	}
	w.last = r.Event
	w.events = append(w.events, r.Event)
	return applied, ""
}

// save stores a checkpoint and says what is wrong with it, if anything is.
func (w *workload) save(generation, sequence int64, data []byte, at time.Time) (outcome, mistake string) {
	switch {
	case w.fenced || generation != w.generation:
		return fenced, ""
	case sequence == w.sequence && w.saved[sequence] != nil:
		if !bytes.Equal(w.saved[sequence], data) {
			return illegal, fmt.Sprintf("checkpoint %d was sent again with other bytes", sequence)
		}
		return already, ""
	case w.stage == scheduled:
		return illegal, "a checkpoint was saved before the start was answered"
	case w.stage == over && at.Sub(w.endedAt) < time.Second:
		return fenced, "" // the end of the run cut it short; on a busy machine it comes all the same
	case w.stage == over:
		return fenced, "a checkpoint was saved after the run had ended"
	case sequence != w.sequence+1:
		return illegal, fmt.Sprintf("checkpoint %d was saved after checkpoint %d", sequence, w.sequence)
	}
	w.sequence, w.saved[sequence] = sequence, data
	w.events = append(w.events, onSave)
	return applied, w.older(sequence)
}

// older returns a mistake if the state of a checkpoint is older than what its run has saved before.
func (w *workload) older(sequence int64) (mistake string) {
	now, err := w.at(sequence)
	if err != nil {
		return "" // its own rule says so
	}
	before := w.newest[w.generation]
	if now < before {
		return fmt.Sprintf("checkpoint %d is of the number %d, the one before of %d", sequence, now, before)
	}
	w.newest[w.generation] = now
	return ""
}

// at returns the number in a checkpoint.
func (w *workload) at(sequence int64) (int, error) {
	var s countState
	if err := json.Unmarshal(w.saved[sequence], &s); err != nil {
		return 0, fmt.Errorf("checkpoint %d is no JSON object with \"at\": %w", sequence, err)
	}
	return s.At, nil
}
