package workloads

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// roles are what this binary does instead of testing, by its first argument.
var roles = map[string]func(args []string){}

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "speak" {
		speak()
		return
	}
	if len(os.Args) > 4 && os.Args[1] == "keep" {
		if err := keep(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) > 1 && roles[os.Args[1]] != nil {
		roles[os.Args[1]](os.Args[2:])
		return
	}
	goleak.VerifyTestMain(m)
}

// keep is a worker in its own process. It runs a script as its arguments say, and prints the number
// of processes that are left.
func keep(users, how, script string) error {
	users, namespaces, _ := strings.Cut(users, ",") // "none,none", for example
	h, err := newHost(Options{ExecAllow: []string{"sh"}, ExecUsers: users, ExecNamespaces: namespaces, OnlyPrograms: true},
		slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { _ = h.close() }()
	h.killGrace = time.Second
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	p := &recorder{}
	in := task(fmt.Sprintf(`{"command":["sh","-c",%q]}`, script))
	done := make(chan error, 1)
	go func() { _, err := run(ctx, &program{host: h}, in, p); done <- err }()
	for p.text("stdout") == "" && len(done) == 0 {
		time.Sleep(time.Millisecond)
	}
	switch how {
	case "cancelled":
		cancel(ports.ErrCancelled)
	case "forever": // until it is killed
		fmt.Println(p.text("stdout"))
	case "linger": // long enough for what left to be found
		time.Sleep(4 * tendInterval)
		cancel(ports.ErrCancelled)
	}
	<-done
	left := 0
	all, _ := snapshot(nil)
	for _, c := range all {
		if c.parent == os.Getpid() {
			left++
		}
	}
	_, err = fmt.Printf("%s left=%d\n", strings.Split(p.text("stdout"), "\n")[0], left)
	return err
}

// recorder is a ports.Progress that records the calls.
type recorder struct {
	mu          sync.Mutex
	lines       []ports.LogEntry
	percents    []float64
	checkpoints []string
	refuse      error
	used        domain.Consumption
}

func (r *recorder) Used(c domain.Consumption) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used = c
}

func (r *recorder) Report(p float64, _ string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.percents = append(r.percents, p)
}

func (r *recorder) Log(e ports.LogEntry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, e)
}

func (r *recorder) Checkpoint(_ context.Context, data []byte, _ *float64, _ string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return r.refuse
	}
	r.checkpoints = append(r.checkpoints, string(data))
	return nil
}

func (r *recorder) CheckpointStream(
	ctx context.Context, write func(w io.Writer) error, percent *float64, message string,
) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	return r.Checkpoint(ctx, b.Bytes(), percent, message)
}

func (r *recorder) text(stream string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, l := range r.lines {
		if l.Stream == stream {
			out = append(out, l.Message)
		}
	}
	return strings.Join(out, "\n")
}

// span is the one of a run of task.
const span = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func task(input string) ports.Task {
	return ports.Task{Assignment: ports.Assignment{WorkloadID: "wl_1", CustomerID: "cust_a", Generation: 7,
		Attempt: 2, Input: domain.JSON(input), RequestID: "req_1", Trace: span}}
}

// run runs a workload to its end.
func run(ctx context.Context, w ports.Workload, t ports.Task, p ports.Progress) (domain.JSON, error) {
	defer func() { _ = w.Close() }()
	if err := w.Init(ctx, t); err != nil {
		return "", err
	}
	return w.Execute(ctx, p)
}

func requireRunError(t *testing.T, err error, errorType string, permanent bool) {
	t.Helper()
	var re *ports.RunError
	require.ErrorAs(t, err, &re)
	require.Equal(t, errorType, re.Type, "%v", err)
	require.Equal(t, permanent, re.Permanent, "%v", err)
}

func TestSleep_WhenInterrupted_ResumesAtItsStep(t *testing.T) {
	p := &recorder{}
	out, err := run(t.Context(), &sleep{}, task(`{"duration_ms":20,"steps":4}`), p)
	require.NoError(t, err)
	assert.JSONEq(t, `{"slept_ms":20,"steps":4,"resumed_from_step":0}`, string(out))
	assert.Equal(t, []float64{25, 50, 75, 100}, p.percents)
	again := task(`{"duration_ms":20,"steps":4}`)
	again.Checkpoint = []byte(`{"step":3}`)
	out, err = run(t.Context(), &sleep{}, again, p)
	require.NoError(t, err)
	assert.JSONEq(t, `{"slept_ms":5,"steps":4,"resumed_from_step":3}`, string(out))
	again.Checkpoint = []byte(`{"step":9}`)
	_, err = run(t.Context(), &sleep{}, again, p)
	requireRunError(t, err, "invalid_checkpoint", true)
}

func TestSleep_WhenItsContextEnds_EndsAndTellsItsStep(t *testing.T) {
	w := &sleep{}
	ctx, cancel := context.WithCancelCause(t.Context())
	require.NoError(t, w.Init(ctx,
		task(`{"duration_ms":600000,"steps":60000}`[:len(`{"duration_ms":600000,"steps":6000`)]+`}`)))
	_, err := w.Checkpoint(ctx)
	require.ErrorIs(t, err, ports.ErrNoCheckpoint)
	w.step.Store(3)
	data, err := w.Checkpoint(ctx)
	require.NoError(t, err)
	assert.JSONEq(t, `{"step":3}`, string(data))
	_, err = w.Checkpoint(ctx)
	require.ErrorIs(t, err, ports.ErrNoCheckpoint, "nothing new")
	cancel(ports.ErrPaused)
	_, err = w.Execute(ctx, &recorder{})
	require.ErrorIs(t, err, ports.ErrPaused)
}

func TestInput_WhenItIsBad_FailsForGoodAndNamesTheField(t *testing.T) {
	h := testHost(t, Options{ExecAllow: []string{"sh"}})
	for input, c := range map[string]struct {
		w     ports.Workload
		field string
	}{
		`{"duration_ms":-1}`:              {&sleep{}, "duration_ms"},
		`{"duration_ms":1,"steps":10001}`: {&sleep{}, "steps"},
		`{"duration_ms":"x"}`:             {&sleep{}, "duration_ms"},
		`{"seconds":1}`:                   {&sleep{}, "seconds"},
		`{}`:                              {&program{host: h}, "command"},
		`{"command":["sh"],"env":{"LD_PRELOAD":"x"}}`:          {&program{host: h}, "env.LD_PRELOAD"},
		`{"command":["sh"],"env":{"PATH":"/tmp"}}`:             {&program{host: h}, "env.PATH"},
		`{"command":["sh"],"dir":"relative"}`:                  {&program{host: h}, "dir"},
		`{"url":"ftp://x"}`:                                    {&call{}, "url"},
		`{"url":"http://u:p@x"}`:                               {&call{}, "url"},
		`{"url":"http://x","method":"TRACE"}`:                  {&call{}, "method"},
		`{"url":"http://x","headers":{"Host":"y"}}`:            {&call{}, "headers.Host"},
		`{"url":"http://x","headers":{"A":"b\r\nC: d"}}`:       {&call{}, "headers.A"},
		`{"url":"http://x","timeout_seconds":-1}`:              {&call{}, "timeout_seconds"},
		`{"url":"http://x","headers":{"niyanta-attempt":"9"}}`: {&call{}, "niyanta-attempt"},
	} {
		_, err := run(t.Context(), c.w, task(input), &recorder{})
		requireRunError(t, err, "invalid_input", true)
		assert.Contains(t, err.Error(), c.field, input)
	}
}

func FuzzDecodeInput(f *testing.F) {
	for _, s := range []string{`{}`, `{"command":["sh"]}`, `{"duration_ms":1e99}`, `[`, `{"env":{"a":1}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, w := range []ports.Workload{&sleep{}, &call{}} {
			if err := w.Init(t.Context(), task(s)); err != nil {
				var re *ports.RunError
				require.ErrorAs(t, err, &re)
			}
		}
	})
}
