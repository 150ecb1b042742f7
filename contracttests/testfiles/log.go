package testfiles

import (
	"bytes"
	"strings"
	"sync"
)

// Log collects what is logged, for tests to read. Safe for concurrent use.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String returns what was logged so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Count counts the lines logged so far that contain text.
func (l *Log) Count(text string) int { return strings.Count(l.String(), text) }
