package workloads

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// The limits of sleep.
const (
	maxSleep = 30 * 24 * time.Hour
	maxSteps = 10_000
)

// sleep waits duration_ms in steps. After an interruption it continues at the step that it had
// reached.
type sleep struct {
	in struct {
		DurationMS int64 `json:"duration_ms"`
		Steps      int64 `json:"steps"`
	}
	from  int64
	step  atomic.Int64
	saved atomic.Int64
}

type sleepState struct {
	Step int64 `json:"step"`
}

// Init implements ports.Workload.
func (s *sleep) Init(_ context.Context, t ports.Task) error {
	if err := decodeInput(t.Input, &s.in); err != nil {
		return err
	}
	if s.in.DurationMS < 0 || s.in.DurationMS > maxSleep.Milliseconds() {
		return invalidInput("input_params.duration_ms", "must be 0 to %d", maxSleep.Milliseconds())
	}
	if s.in.Steps == 0 {
		s.in.Steps = 1
	}
	if s.in.Steps < 1 || s.in.Steps > maxSteps {
		return invalidInput("input_params.steps", "must be 1 to %d", maxSteps)
	}
	if t.Checkpoint != nil {
		var st sleepState
		if err := json.Unmarshal(t.Checkpoint, &st); err != nil || st.Step < 0 || st.Step > s.in.Steps {
			return permanent("invalid_checkpoint", fmt.Errorf("the checkpoint is not one of sleep: %.100q",
				t.Checkpoint))
		}
		s.from = st.Step
		s.step.Store(st.Step)
		s.saved.Store(st.Step)
	}
	return nil
}

// Execute implements ports.Workload.
func (s *sleep) Execute(ctx context.Context, p ports.Progress) (domain.JSON, error) {
	total := time.Duration(s.in.DurationMS) * time.Millisecond
	each := total / time.Duration(s.in.Steps)
	for n := s.from; n < s.in.Steps && total > 0; n++ {
		if err := pause(ctx, each); err != nil {
			return "", err
		}
		s.step.Store(n + 1)
		if s.in.Steps > 1 {
			p.Report(100*float64(n+1)/float64(s.in.Steps), fmt.Sprintf("step %d of %d", n+1, s.in.Steps))
		}
	}
	slept := each * time.Duration(s.in.Steps-s.from)
	return domain.JSON(fmt.Sprintf(`{"slept_ms":%d,"steps":%d,"resumed_from_step":%d}`,
		slept.Milliseconds(), s.in.Steps, s.from)), nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Checkpoint implements ports.Workload.
func (s *sleep) Checkpoint(context.Context) ([]byte, error) {
	step := s.step.Load()
	if step == s.saved.Load() {
		return nil, ports.ErrNoCheckpoint
	}
	s.saved.Store(step)
	return json.Marshal(sleepState{step})
}

// Close implements ports.Workload.
func (s *sleep) Close() error { return nil }
