package domain

import (
	"math"
	"strings"
)

// Bounds of text that workers send, in bytes. What is longer is cut, never refused.
const (
	// MaxReason bounds the reason of an event, MaxProgressMessage the message of progress and
	// checkpoints.
	MaxReason          = 1000
	MaxProgressMessage = 1000
	// MaxFailureType bounds the type of a failure; its message is bounded by MaxFailureMessage.
	MaxFailureType = 100
)

// CleanText makes text from outside fit for JSON and every store: valid UTF-8, without NUL. What is
// not is replaced or left out, never refused: a message must not cost the outcome that it comes
// with.
func CleanText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}

// cutMark stands at the end of text that was cut.
const cutMark = " …(cut)"

// CutText shortens clean text to at most n bytes, not within a character, and marks that it did.
func CutText(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:max(n-len(cutMark), 0)], "") + cutMark
}

// CleanAndCut is CutText of CleanText.
func CleanAndCut(s string, n int) string { return CutText(CleanText(s), n) }

// Clean returns the failure as it is kept: its type named, its text clean and within bounds.
func (f Failure) Clean() Failure {
	f.Type, f.Message = CleanAndCut(f.Type, MaxFailureType), CleanAndCut(f.Message, MaxFailureMessage)
	if f.Type == "" {
		f.Type = "error"
	}
	return f
}

// logLevels are the levels of log lines, and what other names of them mean.
var logLevels = map[string]string{
	"debug": "debug", "trace": "debug", "info": "info", "notice": "info", "warn": "warn", "warning": "warn",
	"error": "error", "err": "error", "critical": "error", "fatal": "error", "panic": "error",
}

// LogLevel returns the level that a name means, in whatever case; ok is false when it means none.
// No name means info.
func LogLevel(name string) (level string, ok bool) {
	if name == "" {
		return "info", true
	}
	if len(name) > len("critical") {
		return "", false
	}
	level, ok = logLevels[strings.ToLower(name)]
	return level, ok
}

// ValidatePercent accepts no percentage, and 0 to 100.
func ValidatePercent(percent *float64) error {
	if percent != nil && !(*percent >= 0 && *percent <= 100) {
		return Invalid("progress_percent", "must be 0 to 100")
	}
	return nil
}

// ClampPercent returns the percentage within 0 to 100; none when it is not a number.
func ClampPercent(percent *float64) *float64 {
	if percent == nil || math.IsNaN(*percent) {
		return nil
	}
	p := min(max(*percent, 0), 100)
	return &p
}
