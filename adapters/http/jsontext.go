package http

import (
	"encoding/json"
	"strconv"
	"strings"
)

// escapeLen returns the length of the escape sequence that b begins with, or 0 if there is none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	}
	if _, ok := escapedUnit(b); ok {
		return 6
	}
	return 0
}

// escapedUnit reads an escape of four hexadecimal digits at the beginning of b.
func escapedUnit(b []byte) (uint64, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	u, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return u, err == nil
}

// unescape decodes the bytes between the quotes of a well-formed string.
func unescape(raw []byte) string {
	quoted := make([]byte, 0, len(raw)+2)
	quoted = append(append(append(quoted, '"'), raw...), '"')
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return string(raw) // cannot happen: its escapes were checked
	}
	return s
}

// halfPair reports whether a string escapes one half of a UTF-16 surrogate pair without the other.
func halfPair(raw []byte) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		u, ok := escapedUnit(raw[i:])
		switch {
		case !ok:
			i++ // an escape of one character
		case u >= 0xd800 && u < 0xdc00:
			low, ok := escapedUnit(raw[i+6:])
			if !ok || low < 0xdc00 || low > 0xdfff {
				return true
			}
			i += 11
		case u >= 0xdc00 && u <= 0xdfff:
			return true
		default:
			i += 5
		}
	}
	return false
}

// maxDigits bounds the digits of an integer that is written with an exponent: those of the largest
// one in 64 bits.
const maxDigits = 19

// integerOf writes a JSON number without fraction and exponent. It reports whether the number is an
// integer of at most maxDigits digits.
func integerOf(literal string) (text string, ok bool) {
	rest, negative := strings.CutPrefix(literal, "-")
	mantissa, power, _ := strings.Cut(strings.ToLower(rest), "e")
	exponent := 0
	if power != "" {
		var err error
		if exponent, err = strconv.Atoi(power); err != nil {
			return "", false
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimRight(whole+fraction, "0")
	// The value is 0.digits times ten to the power of point.
	point := len(whole) + exponent
	trimmed := strings.TrimLeft(digits, "0")
	switch {
	case trimmed == "":
		return "0", true
	case point < len(digits) || point-(len(digits)-len(trimmed)) > maxDigits:
		return "", false
	}
	text = trimmed + strings.Repeat("0", point-len(digits))
	if negative {
		text = "-" + text
	}
	return text, true
}
