package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// script is a workload of a few steps. It saves a checkpoint after each. Its input says how it
// ends.
type script struct {
	k    *worker
	in   scriptInput
	run  domain.RunID
	step int
	ends func() // see worker.begins
}

type scriptInput struct {
	Steps int  `json:"steps"`
	Fails int  `json:"fails"` // the number of attempts that fail before one succeeds
	Hangs bool `json:"hangs"` // it runs until its context ends
	// IgnoresStop makes it run for a minute longer than its context.
	IgnoresStop bool `json:"ignores_stop"`
}

// failures returns how often a workload fails through its own fault, timeouts included.
func (in scriptInput) failures() int {
	if in.Hangs || in.IgnoresStop {
		return maxRetries
	}
	return min(in.Fails, maxRetries)
}

// Init implements ports.Workload.
func (s *script) Init(_ context.Context, t ports.Task) error {
	s.run = t.Run()
	s.k.scripts++
	s.k.w.check.runsOn(s.k.id, s.k.scripts)
	s.ends = s.k.begins(s.run, t.Devices)
	if err := json.Unmarshal([]byte(t.Input), &s.in); err != nil {
		return err
	}
	if t.Checkpoint != nil {
		if err := json.Unmarshal(t.Checkpoint, &s.step); err != nil {
			return err
		}
	}
	s.k.w.check.restored(s.run, s.step)
	if t.Attempt < s.in.Fails {
		return fmt.Errorf("attempt %d fails", t.Attempt)
	}
	return nil
}

// Execute implements ports.Workload.
func (s *script) Execute(ctx context.Context, p ports.Progress) (domain.JSON, error) {
	for s.step < s.in.Steps {
		if err := s.k.sleep(ctx, s.k.w.stepTime()); err != nil {
			if ctx.Err() != nil {
				return "", context.Cause(ctx)
			}
			return "", err
		}
		s.k.w.check.effect(s.run)
		if err := s.save(ctx, p); err != nil {
			return "", err
		}
		if s.in.Hangs || s.in.IgnoresStop {
			return "", s.hang(ctx)
		}
	}
	return `{"done":true}`, nil
}

// stepTime returns how long the next step takes.
func (w *World) stepTime() time.Duration {
	if w.P == (Probabilities{}) {
		return time.Second
	}
	return time.Duration(1+w.rng.IntN(4)) * time.Second
}

// save logs the step, saves its checkpoint and reports progress.
func (s *script) save(ctx context.Context, p ports.Progress) error {
	data, err := json.Marshal(s.step + 1)
	if err != nil {
		return err
	}
	percent := 100 * float64(s.step+1) / float64(s.in.Steps)
	p.Log(ports.LogEntry{Message: fmt.Sprint("step ", s.step)})
	if err := p.Checkpoint(ctx, data, &percent, ""); err != nil {
		return err
	}
	p.Report(percent, "saved")
	s.step++
	return nil
}

// hang waits until ctx ends. With IgnoresStop it goes on for another minute.
func (s *script) hang(ctx context.Context) error {
	for n := 0; ; n++ {
		err := s.k.sleep(ctx, time.Second)
		if err == nil {
			s.k.w.check.effect(s.run)
		}
		if err == errGone || err != nil && (!s.in.IgnoresStop || n > 60) { //nolint:errorlint // never wrapped
			return err
		}
	}
}

// Checkpoint implements ports.Workload.
func (s *script) Checkpoint(context.Context) ([]byte, error) { return nil, ports.ErrNoCheckpoint }

// Close implements ports.Workload.
func (s *script) Close() error {
	if s.run != (domain.RunID{}) {
		s.k.scripts--
		s.ends()
	}
	return nil
}
