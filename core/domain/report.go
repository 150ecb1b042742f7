package domain

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
)

// Bounds of what a worker reports. More reports than MaxReports are refused; of more lines than
// MaxReportLines the newest are kept.
const (
	MaxReports     = 1000
	MaxReportLines = 1000
	maxReportID    = 100
	maxStream      = 20
)

// Report is what a worker says of one workload. Event is one of the worker events but checkpoint.
type Report struct {
	ID         string     `json:"report_id"`
	WorkloadID WorkloadID `json:"workload_id"`
	Generation int64      `json:"generation"`
	Event      Event      `json:"event"`
	Reason     string     `json:"reason,omitempty"`
	Percent    *float64   `json:"progress_percent,omitempty"`
	Message    string     `json:"progress_message,omitempty"`
	Result     JSON       `json:"result,omitempty"`
	Failure    *Failure   `json:"failure,omitempty"`
	// RetryAfterMS is the delay the workload asked for when it failed (nil: backoff), or how long a
	// released one stays back.
	RetryAfterMS *int64 `json:"retry_after_ms,omitempty"`
	// StillRunning tells, with an event that ends the run, that its handler has not returned: its
	// slot is not free.
	StillRunning bool       `json:"still_running,omitempty"`
	Lines        []LogEntry `json:"lines,omitempty"`

	// Invalid says why what was received is not a report; empty when it is one. It does not travel.
	Invalid string `json:"-"`
}

// LogEntry is one log line on its way. Level is one of LogLevel; without a time it was written when
// it arrives.
type LogEntry struct {
	At      time.Time `json:"at"`
	Level   string    `json:"level"`
	Stream  string    `json:"stream,omitempty"`
	Message string    `json:"message"`
}

// Clean returns the report as coordinators take it, whatever carried it: text that every store can
// keep, within bounds; a result as CleanResult says; a percentage that is a number; the newest
// lines, with one that says how many are missing. It shares nothing with r that it changes.
// Cleaning twice changes nothing.
func (r Report) Clean() Report {
	r.ID = CleanAndCut(r.ID, maxReportID)
	r.Reason = CleanAndCut(r.Reason, MaxReason)
	r.Message = CleanAndCut(r.Message, MaxProgressMessage)
	r.Result = CleanResult(r.Result)
	if r.Percent != nil && (math.IsNaN(*r.Percent) || math.IsInf(*r.Percent, 0)) {
		r.Percent = nil
	}
	if r.Failure != nil {
		f := r.Failure.Clean()
		r.Failure = &f
	}
	r.Lines = cleanLines(r.Lines)
	return r
}

func cleanLines(lines []LogEntry) []LogEntry {
	if over := len(lines) - MaxReportLines; over > 0 {
		over++ // the line that says so takes a place
		lines = lines[over:]
		note := DroppedLines(over)
		note.At = lines[0].At
		lines = slices.Insert(slices.Clone(lines), 0, note)
	} else {
		lines = slices.Clone(lines)
	}
	for i := range lines {
		lines[i] = lines[i].clean()
	}
	return lines
}

// DroppedLines is the line that stands for the first n lines of a report, which were too many.
func DroppedLines(n int) LogEntry {
	return LogEntry{Level: "warn", Message: fmt.Sprintf("%d log lines were dropped: a report brings at most %d", n, MaxReportLines)}
}

// Times of lines outside these years are not believed.
const firstYear, lastYear = 1970, 9999

func (e LogEntry) clean() LogEntry {
	e.At = e.At.UTC().Truncate(time.Microsecond) // as stores keep it
	if y := e.At.Year(); y < firstYear || y > lastYear {
		e.At = time.Time{}
	}
	if level, ok := LogLevel(e.Level); ok {
		e.Level = level
	} else {
		e.Level = CleanAndCut(e.Level, maxStream)
	}
	e.Stream = CleanAndCut(e.Stream, maxStream)
	e.Message = CleanAndCut(e.Message, MaxLogMessage)
	return e
}

// MarshalJSON implements json.Marshaler. What travels is clean, so that a carrier can take every
// report.
func (r Report) MarshalJSON() ([]byte, error) {
	type plain Report
	return json.Marshal(plain(r.Clean()))
}

// UnmarshalJSON implements json.Unmarshaler. It never fails on well-formed JSON: what is not a
// report says so in Invalid, so that it costs the others of its batch nothing.
func (r *Report) UnmarshalJSON(raw []byte) error {
	type plain Report
	var p plain
	if err := json.Unmarshal(raw, &p); err != nil {
		p.Invalid = notAReport(err)
	}
	*r = Report(p)
	return nil
}

// notAReport says which field is wrong.
func notAReport(err error) string {
	var t *json.UnmarshalTypeError
	if errors.As(err, &t) && t.Field != "" {
		return fmt.Sprintf("%s: must be %s, not %s", t.Field, t.Type, t.Value)
	}
	if errors.As(err, &t) {
		return "must be an object, not " + t.Value
	}
	return CleanAndCut("cannot be read: "+err.Error(), 200)
}
