package chaos_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// history is what clients have sent, and the answers that they got.
type history struct {
	mu        sync.Mutex
	attempted map[string]bool      // idempotency keys of submissions
	accepted  map[string]string    // workload ids by key
	steps     map[string]int       // the number of steps by workload id
	cancelled map[string]time.Time // when a cancel was acknowledged, by workload id
	conflicts []string             // keys that were answered with two ids
}

func newHistory() *history {
	return &history{attempted: map[string]bool{}, accepted: map[string]string{}, steps: map[string]int{},
		cancelled: map[string]time.Time{}}
}

// marker is an argument of the programs that workloads start, by which checkLeaks finds them.
const marker = "2.7182818"

// draw returns a random submission, and the number of steps that it will report.
func draw(rng *rand.Rand, sink string) (s niyanta.Submission, steps int) {
	switch n := rng.IntN(20); {
	case n < 13:
		steps = 1 + rng.IntN(8)
		fails := max(0, rng.IntN(10)-8)
		return submission("steps", `{"sink":%q,"steps":%d,"ms":%d,"fails":%d}`, sink, steps, 20+rng.IntN(200), fails), steps
	case n < 15:
		return submission("steps", `{"sink":%q,"steps":30,"ms":500}`, sink), 30
	case n < 18:
		return submission("http", `{"url":%q,"body":{}}`, sink), 1
	case n < 19:
		return submission("exec", `{"command":["sleep",%q]}`, marker), 0
	default:
		return submission("sleep", `{"duration_ms":%d,"steps":10}`, rng.IntN(1000)), 0
	}
}

func submission(kind, input string, args ...any) niyanta.Submission {
	return niyanta.Submission{WorkloadType: kind, InputParams: json.RawMessage(fmt.Sprintf(input, args...))}
}

// load submits count workloads, on average one in each interval. It repeats each submission until
// it is acknowledged. It cancels some workloads, and pauses and resumes some.
func (f *fleet) load(ctx context.Context, h *history, name string, seed uint64, count int, interval time.Duration) {
	rng := rand.New(rand.NewPCG(seed, 1))
	var controls sync.WaitGroup
	defer controls.Wait()
	for n := range count {
		key := fmt.Sprint(name, "-", n)
		s, steps := draw(rng, f.sink.url)
		id := f.submit(ctx, h, key, s)
		if id == "" {
			return
		}
		h.mu.Lock()
		h.steps[id] = steps
		h.mu.Unlock()
		after := time.Duration(rng.IntN(3000)) * time.Millisecond
		switch rng.IntN(20) {
		case 0:
			controls.Go(func() { f.cancel(ctx, h, id, after) })
		case 1:
			controls.Go(func() { f.pauseAndResume(ctx, id, after) })
		default:
		}
		sleep(ctx, time.Duration(rng.Float64()*2*float64(interval)))
	}
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// call returns a context with the timeout of one request.
func call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 5*time.Second)
}

// submit repeats a submission until it is acknowledged. It returns an empty id when ctx has ended.
func (f *fleet) submit(ctx context.Context, h *history, key string, s niyanta.Submission) string {
	h.mu.Lock()
	h.attempted[key] = true
	h.mu.Unlock()
	for ctx.Err() == nil {
		one, cancel := call(ctx)
		a, err := f.client.Submit(one, s, key)
		cancel()
		if err != nil {
			sleep(ctx, 50*time.Millisecond)
			continue
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if before, known := h.accepted[key]; known && before != a.WorkloadID {
			h.conflicts = append(h.conflicts, key)
		}
		h.accepted[key] = a.WorkloadID
		return a.WorkloadID
	}
	return ""
}

// cancel cancels a workload. It repeats the request until it is acknowledged or refused.
func (f *fleet) cancel(ctx context.Context, h *history, id string, after time.Duration) {
	sleep(ctx, after)
	for ctx.Err() == nil {
		one, cancel := call(ctx)
		a, err := f.client.Cancel(one, id, "", "")
		cancel()
		if err == nil && a.Status == "CANCELLED" {
			h.mu.Lock()
			h.cancelled[id] = time.Now()
			h.mu.Unlock()
			return
		}
		if refused(err) {
			return
		}
		sleep(ctx, 100*time.Millisecond)
	}
}

// refused reports whether trying again after this error is pointless.
func refused(err error) bool {
	var e *niyanta.Error
	return errors.As(err, &e) && (e.Code == "INVALID_STATE" || e.Code == "NOT_FOUND")
}

// pauseAndResume pauses a workload and resumes it later.
func (f *fleet) pauseAndResume(ctx context.Context, id string, after time.Duration) {
	sleep(ctx, after)
	one, cancel := call(ctx)
	_, _ = f.client.Pause(one, id, "") // the resume works with and without the pause
	cancel()
	sleep(ctx, after)
	f.resume(ctx, id)
}

// resume tries to resume a workload, once.
func (f *fleet) resume(ctx context.Context, id string) {
	one, cancel := call(ctx)
	defer cancel()
	_, _ = f.client.Resume(one, id, "") // finish resumes the workloads that are still paused
}
