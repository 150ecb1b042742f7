//go:build linux || darwin

package workloads

import (
	"bytes"
	"encoding/json"
	"sync"
	"unicode/utf8"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// output splits a stream into log lines and keeps its end.
type output struct {
	progress ports.Progress
	stream   string
	level    string

	mu      sync.Mutex
	line    []byte
	begun   bool // a part of the line was logged
	last    string
	kept    []byte
	dropped bool
}

func newOutput(p ports.Progress, stream, level string) *output {
	return &output{progress: p, stream: stream, level: level}
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept = append(o.kept, b...)
	if over := len(o.kept) - outputTail; over > 0 {
		o.kept = append(o.kept[:0], o.kept[over:]...)
		o.dropped = true
	}
	for rest := b; len(rest) > 0; {
		nl := bytes.IndexByte(rest, '\n')
		if nl < 0 {
			o.line = append(o.line, rest...)
			break
		}
		o.line = append(o.line, rest[:nl]...)
		o.end()
		rest = rest[nl+1:]
	}
	for len(o.line) > domain.MaxLogMessage { // a program without line ends must not fill memory
		o.emit()
	}
	return len(b), nil
}

// end logs the whole current line, in parts if it is too long. o.mu must be held.
func (o *output) end() {
	o.line = bytes.TrimRight(o.line, "\r")
	for !o.begun || len(o.line) > 0 {
		o.emit()
	}
	o.begun = false
}

// emit logs the current line, or its first part if it is too long. A part ends with a whole character.
// o.mu must be held.
func (o *output) emit() {
	n := len(o.line)
	if n > domain.MaxLogMessage {
		n = domain.MaxLogMessage
		for at := n; at > n-utf8.UTFMax; at-- {
			if utf8.RuneStart(o.line[at]) {
				n = at
				break
			}
		}
	}
	o.last, o.begun = string(o.line[:n]), true
	o.progress.Log(ports.LogEntry{Level: o.level, Stream: o.stream, Message: o.last})
	o.line = append(o.line[:0], o.line[n:]...)
}

// flush logs the last line if it is unfinished.
func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.line) > 0 {
		o.end()
	}
}

// tail returns the end of the stream and whether something was cut off before it.
func (o *output) tail() (text json.RawMessage, truncated bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return keepText(wholeRunes(o.kept, o.dropped, false), contentTypeBytes), o.dropped
}

// lastLine returns the last line after a colon, for an error message.
func (o *output) lastLine() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.last == "" {
		return ""
	}
	return ": " + o.last[:min(len(o.last), 500)]
}
