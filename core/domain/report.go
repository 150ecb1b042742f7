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

// Report is an event of one workload that its worker reports. Event is any worker event except
// checkpoint and skip_checkpoint.
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
	// RetryAfterMS is the delay that a failed workload asked for (nil: backoff), or how long a
	// released one waits.
	RetryAfterMS *int64 `json:"retry_after_ms,omitempty"`
	// StillRunning is set with an event that ends the run if its handler has not returned. The slot
	// is not free then.
	StillRunning bool `json:"still_running,omitempty"`
	// Used is set with an event that ends the run, if the worker has measured it.
	Used  Consumption `json:"used,omitzero"`
	Lines []LogEntry  `json:"lines,omitempty"`

	// Invalid says why the received JSON is not a report; empty if it is one. It is not sent.
	Invalid string `json:"-"`
}

// LogEntry is a log line that a worker sends. Level is one that LogLevel knows. A zero At means the
// time of arrival. Details is a JSON object, or empty.
type LogEntry struct {
	At      time.Time `json:"at"`
	Level   string    `json:"level"`
	Stream  string    `json:"stream,omitempty"`
	Message string    `json:"message"`
	Details JSON      `json:"details,omitempty"`
}

// Clean returns the report in the form that coordinators accept. Text is bounded and can be kept by
// every store. The result is as CleanResult returns it. A percentage that is not a number is
// dropped. Of too many lines the newest are kept, after one that counts the others. Clean does not
// change r. Cleaning twice changes nothing.
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
	r.Used = r.Used.clean()
	r.Lines = cleanLines(r.Lines)
	return r
}

func cleanLines(lines []LogEntry) []LogEntry {
	if over := len(lines) - MaxReportLines; over > 0 {
		over++ // the line that counts them needs a place, too
		lines = lines[over:]
		note := DroppedLines(over)
		note.At = lines[0].At
		lines = slices.Insert(slices.Clone(lines), 0, note)
	} else {
		lines = slices.Clone(lines)
	}
	for i := range lines {
		lines[i] = lines[i].Clean()
	}
	return lines
}

// DroppedLines returns the line that replaces the first n lines of a report that has too many.
func DroppedLines(n int) LogEntry {
	return LogEntry{
		Level: LevelWarn, Message: fmt.Sprintf("%d log lines were dropped: a report brings at most %d", n, MaxReportLines),
	}
}

// firstYear and lastYear bound the times of log lines. Other times are dropped.
const firstYear, lastYear = 1970, 9999

// Clean returns the line in the form that coordinators accept. A level that is not known stays.
func (e LogEntry) Clean() LogEntry {
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
	e.Details = cleanDetails(e.Details)
	return e
}

// cleanDetails returns the details of a log line in a form that every store keeps. A value that is
// no object becomes the member "value" of one. Details that have a Flaw, or are too large, are
// replaced by an object whose member "dropped" says why. Cleaning twice changes nothing.
func cleanDetails(details JSON) JSON {
	if details == "" {
		return ""
	}
	compact, flaw := scanJSON(string(details))
	if flaw == "" && !JSON(compact).IsObject() {
		compact = `{"value":` + compact + `}`
	}
	switch {
	case flaw == "" && (compact == "{}" || compact == `{"value":null}`):
		return ""
	case flaw == "" && len(compact) > MaxLogDetails:
		flaw = FlawTooLarge
	}
	if flaw != "" {
		return JSON(`{"dropped":"` + string(flaw) + `"}`)
	}
	return JSON(compact)
}

// MarshalJSON implements json.Marshaler. It encodes the clean report, so that every carrier accepts
// it.
func (r Report) MarshalJSON() ([]byte, error) {
	type plain Report
	return json.Marshal(plain(r.Clean()))
}

// UnmarshalJSON implements json.Unmarshaler. It never fails on well-formed JSON: it sets Invalid
// instead, so that the other reports of a batch are not refused with this one.
func (r *Report) UnmarshalJSON(raw []byte) error {
	type plain Report
	var p plain
	if err := json.Unmarshal(raw, &p); err != nil {
		p.Invalid = notAReport(err)
	}
	*r = Report(p)
	return nil
}

// notAReport returns a message that names the wrong field.
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
