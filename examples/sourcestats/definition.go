package sourcestats

import (
	"context"
	"fmt"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// Input says what to count.
type Input struct {
	Root string `json:"root"`
	// CheckpointEvery is the number of files between checkpoints; 0 means 500.
	CheckpointEvery int `json:"checkpoint_every,omitempty"`
}

// State is what a checkpoint holds: how many files are done, in the fixed order of Files, and the
// counts so far.
type State struct {
	Done     int              `json:"done"`
	Packages map[string]Stats `json:"packages"`
}

// Output is the result.
type Output struct {
	Packages map[string]Stats `json:"packages"`
	// ResumedAt is the file at which the last run began: 0 if no worker was lost.
	ResumedAt int `json:"resumed_at"`
}

// Definition is the workload type.
var Definition = niyanta.Define[Input, State, Output]("sourcestats")

// Run counts, from the last checkpoint on.
func Run(ctx context.Context, t *niyanta.Task[Input, State]) (Output, error) {
	in, state := t.Input(), t.State()
	files, err := Files(in.Root)
	if err != nil {
		return Output{}, niyanta.Permanent(err)
	}
	every := in.CheckpointEvery
	if every <= 0 {
		every = 500
	}
	if state.Packages == nil {
		state.Packages = map[string]Stats{}
	}
	from := state.Done
	if t.Resumed() {
		t.Logf("resuming at file %d of %d", from, len(files))
	}
	for i := from; i < len(files); i++ {
		if ctx.Err() != nil {
			return Output{}, context.Cause(ctx)
		}
		if err := countInto(state.Packages, in.Root, files[i]); err != nil {
			return Output{}, err
		}
		state.Done = i + 1
		if state.Done%every == 0 {
			percent := 100 * float64(state.Done) / float64(len(files))
			progress := niyanta.Progress{Percent: percent, Message: fmt.Sprintf("%d of %d files", state.Done,
				len(files))}
			if err := t.Checkpoint(ctx, state, progress); err != nil {
				return Output{}, err
			}
		}
	}
	return Output{Packages: state.Packages, ResumedAt: from}, nil
}
