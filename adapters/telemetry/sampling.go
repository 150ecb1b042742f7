package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// linesPerSecond is how many lines of level INFO with the same message are written within a second.
const linesPerSecond = 100

// messagesLimit bounds the messages that are told apart. Messages are constants, so there are few.
const messagesLimit = 1000

// sampling is a handler that leaves out lines of level INFO that are too many. The next line with the
// same message says how many in the attribute left_out. Warnings and errors are never left out.
type sampling struct {
	slog.Handler
	rates *rates
}

// rates counts the lines of each message.
type rates struct {
	now func() time.Time

	mu       sync.Mutex
	messages map[string]*rate
}

type rate struct {
	second        time.Time
	lines, missed int
}

func newSampling(next slog.Handler, now func() time.Time) slog.Handler {
	return sampling{next, &rates{now: now, messages: map[string]*rate{}}}
}

// Handle implements slog.Handler.
func (s sampling) Handle(ctx context.Context, r slog.Record) error {
	if r.Level == slog.LevelInfo {
		missed, ok := s.rates.take(r.Message)
		if !ok {
			return nil
		}
		if missed > 0 {
			r = r.Clone()
			r.AddAttrs(slog.Int("left_out", missed))
		}
	}
	return s.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (s sampling) WithAttrs(attrs []slog.Attr) slog.Handler {
	return sampling{s.Handler.WithAttrs(attrs), s.rates}
}

// WithGroup implements slog.Handler.
func (s sampling) WithGroup(name string) slog.Handler {
	return sampling{s.Handler.WithGroup(name), s.rates}
}

// take reports whether a line may be written, and how many before it were not.
func (r *rates) take(message string) (missed int, ok bool) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.messages[message]
	if m == nil {
		if len(r.messages) >= messagesLimit {
			clear(r.messages)
		}
		m = &rate{}
		r.messages[message] = m
	}
	if since := now.Sub(m.second); since < 0 || since >= time.Second {
		m.second, m.lines = now, 0
	}
	if m.lines >= linesPerSecond {
		m.missed++
		return 0, false
	}
	m.lines++
	missed, m.missed = m.missed, 0
	return missed, true
}
