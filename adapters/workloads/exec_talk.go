//go:build linux || darwin

package workloads

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// lineLimit bounds one line on file descriptor 3: a checkpoint and its envelope.
const lineLimit = domain.MaxInlineCheckpoint + 64<<10

// heard is a line from the program.
type heard struct {
	Type    string          `json:"type"`
	Percent *float64        `json:"percent"`
	Message string          `json:"message"`
	Level   string          `json:"level"`
	Details domain.JSON     `json:"details"`
	Data    json.RawMessage `json:"data"`
	Value   json.RawMessage `json:"value"`
}

// said is a line to the program.
type said struct {
	Type       string          `json:"type"`
	WorkloadID string          `json:"workload_id,omitempty"`
	Generation int64           `json:"generation,omitempty"`
	Input      domain.JSON     `json:"input,omitempty"`
	Config     domain.JSON     `json:"config,omitempty"`
	Checkpoint json.RawMessage `json:"checkpoint,omitempty"`
	Reason     string          `json:"reason,omitempty"`
	Error      string          `json:"error,omitempty"`
}

// conversation is the worker's end of file descriptor 3.
type conversation struct {
	task     ports.Task
	progress ports.Progress
	conn     net.Conn
	done     chan struct{} // closed when the program has closed its end
	broken   chan struct{} // closed after a line that cannot be read

	// lines are what the worker has to say, in order, until over is closed.
	lines      chan said
	over       chan struct{}
	requesting atomic.Bool // a request for a checkpoint waits to be written
	mu         sync.Mutex
	spoke      bool
	asked      chan error // not nil while a checkpoint is being asked for
	result     json.RawMessage
}

// newConversation returns the worker's end and, as a file, the program's end.
func newConversation(t ports.Task, p ports.Progress) (*conversation, *os.File, error) {
	fds, err := socketPair()
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	mine := os.NewFile(uintptr(fds[0]), "worker's end")
	theirs := os.NewFile(uintptr(fds[1]), "program's end")
	conn, err := net.FileConn(mine)
	_ = mine.Close() // FileConn duplicates the descriptor
	if err != nil {
		_ = theirs.Close()
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return &conversation{task: t, progress: p, conn: conn, done: make(chan struct{}), broken: make(chan struct{}),
		lines: make(chan said, unread), over: make(chan struct{})}, theirs, nil
}

// start sends the greeting and reads what the program says.
func (c *conversation) start() {
	go c.listen()
	go c.speak()
	greeting := said{
		Type: "start", WorkloadID: string(c.task.WorkloadID), Generation: c.task.Generation,
		Input: c.task.Input, Config: c.task.Config, Checkpoint: c.task.Checkpoint,
	}
	c.say(greeting)
}

// unread is how many lines wait for a program that does not read, besides those in its socket.
const unread = 1024

// say has a line written, without waiting: a program that never reads must not delay the run, or the
// answers to what it says. It loses what is too much; then say returns false.
func (c *conversation) say(s said) bool {
	select {
	case c.lines <- s:
		return true
	default:
		return false
	}
}

// speak writes the lines. A program may read late, and gets each one whole: the end of the run
// unblocks a write.
func (c *conversation) speak() {
	for {
		select {
		case s := <-c.lines:
			if line, err := json.Marshal(s); err == nil { // the checkpoint was JSON when it was saved
				_, _ = c.conn.Write(append(line, '\n')) // the program may have closed its end
			}
			if s.Type == requestLine {
				c.requesting.Store(false)
			}
		case <-c.over:
			return
		}
	}
}

func (c *conversation) listen() {
	defer close(c.done)
	lines := bufio.NewScanner(c.conn)
	lines.Buffer(make([]byte, 0, 4<<10), lineLimit)
	for lines.Scan() {
		var h heard
		if err := json.Unmarshal(lines.Bytes(), &h); err != nil {
			c.warn("a line on file descriptor 3 is not JSON: %.200q", lines.Bytes())
			continue
		}
		c.hear(h)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		close(c.broken) // otherwise the program would wait for ever for its line to be read
	}
}

// fault returns the error for which the program's run ends, or nil.
func (c *conversation) fault() error {
	select {
	case <-c.broken:
		return permanent("line_too_long", fmt.Errorf("a line on file descriptor 3 is longer than %d bytes", lineLimit))
	default:
		return nil
	}
}

func (c *conversation) warn(format string, args ...any) {
	c.progress.Log(ports.LogEntry{Level: domain.LevelWarn, Message: fmt.Sprintf(format, args...)})
}

func (c *conversation) hear(h heard) {
	c.mu.Lock()
	c.spoke = true
	c.mu.Unlock()
	switch h.Type {
	case "progress":
		if h.Percent != nil {
			c.progress.Report(*h.Percent, h.Message)
		}
	case "log":
		c.progress.Log(ports.LogEntry{Level: h.Level, Message: h.Message, Details: h.Details})
	case "result":
		c.mu.Lock()
		c.result = h.Value
		c.mu.Unlock()
	case "checkpoint":
		c.checkpoint(h)
	default:
		c.warn("unknown type %.50q on file descriptor 3", h.Type)
	}
}

// checkpoint saves what the program sent, and answers. Every checkpoint gets an answer, also one
// that was asked for, because the program waits for it.
func (c *conversation) checkpoint(h heard) {
	if len(h.Data) == 0 {
		c.warn("a checkpoint on file descriptor 3 has no data")
		return
	}
	c.mu.Lock()
	asked := c.asked
	c.asked = nil
	c.mu.Unlock()
	err := c.progress.Checkpoint(context.Background(), h.Data, h.Percent, h.Message)
	if asked != nil {
		asked <- err
	}
	if err != nil {
		c.say(said{Type: "checkpoint_failed", Error: err.Error()})
		return
	}
	c.say(said{Type: "checkpoint_saved"})
}

// ask asks the program to save its state, if it has ever spoken. It returns ports.ErrNoCheckpoint
// if nothing is left to save: the program has saved, or it does not answer.
func (c *conversation) ask(ctx context.Context) error {
	answer := make(chan error, 1)
	c.mu.Lock()
	ready := c.spoke && c.asked == nil
	if ready {
		c.asked = answer
	}
	c.mu.Unlock()
	if !ready {
		return ports.ErrNoCheckpoint
	}
	bounded, cancel := context.WithTimeout(ctx, askGrace)
	defer cancel()
	// A program that does not read must not gather requests. The one that waits to be written asks for
	// this one, too.
	if c.requesting.CompareAndSwap(false, true) && !c.say(said{Type: requestLine}) {
		c.requesting.Store(false)
	}
	select {
	case err := <-answer:
		return cmp.Or(err, ports.ErrNoCheckpoint)
	case <-c.done:
	case <-bounded.Done():
	}
	c.mu.Lock()
	sent := c.asked != answer
	if !sent {
		c.asked = nil
	}
	c.mu.Unlock()
	if sent { // the checkpoint is being saved, which may take longer
		select {
		case err := <-answer:
			return cmp.Or(err, ports.ErrNoCheckpoint)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ports.ErrNoCheckpoint
}

// requestLine is the type of the line that asks for a checkpoint.
const requestLine = "checkpoint_request"

// askGrace is how long a program may take to answer a request for a checkpoint.
const askGrace = 5 * time.Second

// stop tells the program to stop. It reports whether the program has ever spoken and so may be
// listening.
func (c *conversation) stop(cause error) bool {
	reason := "cancelled"
	switch {
	case errors.Is(cause, ports.ErrPaused):
		reason = "paused"
	case errors.Is(cause, ports.ErrDraining):
		reason = "draining"
	case errors.Is(cause, ports.ErrPreempted):
		reason = "preempted"
	case errors.Is(cause, ports.ErrTimeout):
		reason = "timeout"
	}
	c.say(said{Type: "stop", Reason: reason})
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.spoke
}

// finish waits up to d until everything that the program said has been read.
func (c *conversation) finish(d time.Duration) { within(d, c.done) }

func (c *conversation) value() json.RawMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.result
}

// close ends the conversation. It is called once.
func (c *conversation) close() {
	close(c.over)
	_ = c.conn.Close()
}
