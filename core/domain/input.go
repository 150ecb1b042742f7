package domain

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// CheckText refuses text that not every store keeps: what is not valid UTF-8, and NUL. Requests are
// checked with it before any store is asked, so that the answer is the same on each.
// CodeInvalidInput naming the field.
func CheckText(field, s string) error {
	switch {
	case !utf8.ValidString(s):
		return Invalid(field, "must be valid UTF-8")
	case strings.IndexByte(s, 0) >= 0:
		return Invalid(field, "must not contain NUL characters")
	}
	return nil
}

// validateText checks a short text for people: its length in characters, no control characters,
// and, where one is required, something to see.
func validateText(field, s string, minLen, maxLen int) error {
	if err := CheckText(field, s); err != nil {
		return err
	}
	if n := utf8.RuneCountInString(s); n < minLen || n > maxLen {
		return Invalid(field, "must be %d to %d characters", minLen, maxLen)
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return Invalid(field, "must not contain control characters")
	}
	if minLen > 0 && !strings.ContainsFunc(s, visible) {
		return Invalid(field, "must not be blank")
	}
	return nil
}

func visible(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) }

// Times that clients state lie in the years 2000 to 2199, in UTC. Every store keeps these, every
// client reads them, and the zero time, which means "not stated" inside, is none of them.
var (
	minTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	endTime = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// ValidateTime refuses a time outside of the years 2000 to 2199. CodeInvalidInput naming the field.
func ValidateTime(field string, t time.Time) error {
	if t.Before(minTime) || !t.Before(endTime) {
		return Invalid(field, "must lie in the years 2000 to 2199, in UTC")
	}
	return nil
}

// ParseTime reads an RFC 3339 time, with "t" and "z" also in lower case, as that allows. It returns
// it in UTC. CodeInvalidInput naming the field when it is none, or not in the years 2000 to 2199.
func ParseTime(field, s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s))
	if err != nil {
		return time.Time{}, Invalid(field, "must be an RFC 3339 time such as 2026-01-02T15:04:05Z")
	}
	return t.UTC(), ValidateTime(field, t)
}

// StoredTime is t as stores keep it: UTC, in whole microseconds.
func StoredTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
