package domain

import (
	"math"
	"strings"
)

// Bounds of text that workers send, in bytes. Longer text is cut, never refused.
const (
	// MaxReason bounds the reason of an event, MaxProgressMessage the message of progress and
	// checkpoints.
	MaxReason          = 1000
	MaxProgressMessage = 1000
	// MaxFailureType bounds the type of a failure; its message is bounded by MaxFailureMessage.
	MaxFailureType = 100
)

// CleanText returns text that JSON and every store can hold: valid UTF-8, without NUL. It replaces
// or drops other bytes and never refuses them: a message must not cost the outcome that it
// accompanies.
func CleanText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}

// cutMark is the end of text that was cut.
const cutMark = " …(cut)"

// CutText shortens clean text to at most n bytes, between two characters, and adds cutMark.
func CutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:max(n-len(cutMark), 0)], "") + cutMark
}

// CleanAndCut applies CleanText and then CutText.
func CleanAndCut(s string, n int) string { return CutText(CleanText(s), n) }

// Clean returns the failure as it is kept: with a type, and with clean and bounded text.
func (f Failure) Clean() Failure {
	f.Type, f.Message = CleanAndCut(f.Type, MaxFailureType), CleanAndCut(f.Message, MaxFailureMessage)
	if f.Type == "" {
		f.Type = FailureError
	}
	return f
}

// The levels of log lines.
const (
	LevelDebug = "DEBUG"
	LevelInfo  = "INFO"
	LevelWarn  = "WARN"
	LevelError = "ERROR"
)

// logLevels maps the names of log levels to the level.
var logLevels = map[string]string{
	"debug": LevelDebug, "trace": LevelDebug, "info": LevelInfo, "notice": LevelInfo, "warn": LevelWarn,
	"warning": LevelWarn, "error": LevelError, "err": LevelError, "critical": LevelError, "fatal": LevelError,
	"panic": LevelError,
}

// LogLevel returns the level that a name means. It ignores case. The empty name means INFO. ok is
// false if the name is unknown.
func LogLevel(name string) (level string, ok bool) {
	if name == "" {
		return LevelInfo, true
	}
	if len(name) > len("critical") {
		return "", false
	}
	level, ok = logLevels[strings.ToLower(name)]
	return level, ok
}

// ValidatePercent accepts nil and 0 to 100.
func ValidatePercent(percent *float64) error {
	if percent != nil && !(*percent >= 0 && *percent <= 100) {
		return Invalid("progress_percent", "must be 0 to 100")
	}
	return nil
}

// ClampPercent limits a percentage to 0 to 100. It returns nil if there is none or it is not a
// number.
func ClampPercent(percent *float64) *float64 {
	if percent == nil || math.IsNaN(*percent) {
		return nil
	}
	p := min(max(*percent, 0), 100)
	return &p
}
