package domain

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// CheckText refuses text that some store cannot keep: invalid UTF-8, and NUL. Requests are checked
// before they reach a store, so that every store gives the same answer. CodeInvalidInput with the
// field.
func CheckText(field, s string) error {
	switch {
	case !utf8.ValidString(s):
		return Invalid(field, "must be valid UTF-8")
	case strings.IndexByte(s, 0) >= 0:
		return Invalid(field, "must not contain NUL characters")
	}
	return nil
}

// validateText checks a short text: its length in characters, that it has no control characters,
// and, unless minLen is 0, that something in it is visible.
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

// validateName checks a key of a map, which its field cannot name: it may be as long as the request.
func validateName(field, name string) error {
	if n := utf8.RuneCountInString(name); n < 1 || n > 63 {
		return Invalid(field, "each key must be 1 to 63 characters, one has %d", n)
	}
	return validateText(field, name, 1, 63)
}

func visible(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) }

// Times that clients state lie in the years 2000 to 2199, in UTC. Every store keeps these and every
// client reads them. The zero time, which means "not stated", is not among them.
var (
	minTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	endTime = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
)

// ValidateTime refuses a time outside of the years 2000 to 2199. CodeInvalidInput with the field.
func ValidateTime(field string, t time.Time) error {
	if t.Before(minTime) || !t.Before(endTime) {
		return Invalid(field, "must lie in the years 2000 to 2199, in UTC")
	}
	return nil
}

// ParseTime parses an RFC 3339 time and returns it in UTC. "t" and "z" may be in lower case, as
// RFC 3339 allows. CodeInvalidInput with the field if s is no such time or outside of the years
// 2000 to 2199.
func ParseTime(field, s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, strings.ToUpper(s))
	if err != nil {
		return time.Time{}, Invalid(field, "must be an RFC 3339 time such as 2026-01-02T15:04:05Z")
	}
	return t.UTC(), ValidateTime(field, t)
}

// StoredTime returns t as stores keep it: in UTC and whole microseconds.
func StoredTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }
