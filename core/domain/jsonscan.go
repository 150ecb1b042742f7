package domain

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// scanJSON reads one JSON value of any depth, without recursion. It returns the value in compact
// form, and the first flaw that prevents storing it as it is. Some encoders escape <, >, &, U+2028
// and U+2029 without need. scanJSON returns these characters unescaped, so that the value does not
// depend on how often it was encoded.
func scanJSON(text string) (compact string, flaw Flaw) {
	s := &jsonScanner{in: text}
	s.out.Grow(len(text))
	if !utf8.ValidString(text) {
		s.note(FlawInvalidUTF8)
	}
	if !s.value() {
		s.note(FlawNotJSON)
	}
	return s.out.String(), s.flaw
}

// jsonScanner reads JSON text byte by byte. The memory it needs is proportional to the text: one
// bracket for each open level, and keys only while the value may still be kept as it is.
type jsonScanner struct {
	in   string
	at   int
	out  strings.Builder
	open []byte // the closing bracket of each object and array that is open
	keys []map[string]struct{}
	flaw Flaw
}

// sound reports whether the value may still be kept as it is.
func (s *jsonScanner) sound() bool { return s.flaw == "" && s.out.Len() <= MaxResult }

func (s *jsonScanner) note(f Flaw) {
	if s.flaw == "" {
		s.flaw = f
	}
}

// peek skips white space and returns the next byte; 0 at the end.
func (s *jsonScanner) peek() byte {
	for s.at < len(s.in) {
		switch c := s.in[s.at]; c {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return c
		}
	}
	return 0
}

// take copies the next n bytes.
func (s *jsonScanner) take(n int) {
	s.out.WriteString(s.in[s.at : s.at+n])
	s.at += n
}

// value reports whether the text is one JSON value.
func (s *jsonScanner) value() bool {
	for {
		opened, ok := s.start()
		if !ok {
			return false
		}
		if opened {
			continue
		}
		if more, ok := s.after(); !ok || !more {
			return ok
		}
	}
}

// start reads a scalar or the beginning of an object or array that is not empty (opened).
func (s *jsonScanner) start() (opened, ok bool) {
	switch c := s.peek(); c {
	case '{', '[':
		s.take(1)
		s.open = append(s.open, c+2) // the matching bracket
		if len(s.open) > MaxResultDepth {
			s.note(FlawTooDeep)
		}
		if s.sound() {
			s.keys = append(s.keys[:len(s.open)-1], nil)
		}
		if s.peek() == c+2 {
			return false, true
		}
		return true, c == '[' || s.key()
	case '"':
		_, ok := s.str()
		return false, ok
	default:
		return false, s.scalar()
	}
}

// after reads what follows a value; more tells that another value comes.
func (s *jsonScanner) after() (more, ok bool) {
	for len(s.open) > 0 {
		closing := s.open[len(s.open)-1]
		switch s.peek() {
		case ',':
			s.take(1)
			return true, closing == ']' || s.key()
		case closing:
			s.take(1)
			s.open = s.open[:len(s.open)-1]
		default:
			return false, false
		}
	}
	return false, s.peek() == 0 && s.at == len(s.in)
}

// key reads a key and its colon.
func (s *jsonScanner) key() bool {
	if s.peek() != '"' {
		return false
	}
	token, ok := s.str()
	if !ok {
		return false
	}
	if s.sound() && !s.remember(token) {
		return false
	}
	if s.peek() != ':' {
		return false
	}
	s.take(1)
	return true
}

// remember notes a key of the innermost object.
func (s *jsonScanner) remember(token string) bool {
	name := token[1 : len(token)-1]
	if strings.IndexByte(name, '\\') >= 0 && json.Unmarshal([]byte(token), &name) != nil {
		return false
	}
	keys := &s.keys[len(s.open)-1]
	if *keys == nil {
		*keys = map[string]struct{}{}
	}
	if _, twice := (*keys)[name]; twice {
		s.note(FlawDuplicateKey)
	}
	(*keys)[name] = struct{}{}
	return true
}

// endsOfText are the bytes of a string that mean more than themselves: the quotation mark, the
// backslash and the control characters, which are not allowed.
const endsOfText = `"\` + "\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\x0b\x0c\r\x0e\x0f" +
	"\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f"

// str reads a string and returns it as it stands in the text.
func (s *jsonScanner) str() (token string, ok bool) {
	begin := s.at
	s.take(1)
	for s.at < len(s.in) {
		n := strings.IndexAny(s.in[s.at:], endsOfText)
		if n < 0 {
			return "", false
		}
		s.take(n)
		switch s.in[s.at] {
		case '"':
			s.take(1)
			return s.in[begin:s.at], true
		case '\\':
			if !s.escape() {
				return "", false
			}
		default:
			return "", false // a control character
		}
	}
	return "", false
}

// escape reads one escape sequence, or the two of a surrogate pair.
func (s *jsonScanner) escape() bool {
	if s.at+1 >= len(s.in) {
		return false
	}
	switch s.in[s.at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.take(2)
		return true
	case 'u':
	default:
		return false
	}
	r, ok := s.unit(s.at)
	switch {
	case !ok:
		return false
	case r == 0:
		s.note(FlawNUL)
	case r == '<' || r == '>' || r == '&' || r == '\u2028' || r == '\u2029':
		s.out.WriteRune(r)
		s.at += 6
		return true
	case utf16.IsSurrogate(r):
		if low, ok := s.unit(s.at + 6); ok && utf16.DecodeRune(r, low) != utf8.RuneError {
			s.take(12)
			return true
		}
		s.note(FlawLoneSurrogate)
	}
	s.take(6)
	return true
}

// unit reads the escape \uXXXX at a position.
func (s *jsonScanner) unit(at int) (rune, bool) {
	if at+6 > len(s.in) || s.in[at] != '\\' || s.in[at+1] != 'u' {
		return 0, false
	}
	v, err := strconv.ParseUint(s.in[at+2:at+6], 16, 16)
	return rune(v), err == nil
}

// scalar reads a number, true, false or null.
func (s *jsonScanner) scalar() bool {
	n := strings.IndexAny(s.in[s.at:], " \t\r\n,:]}{[\"")
	if n < 0 {
		n = len(s.in) - s.at
	}
	if n == 0 || !json.Valid([]byte(s.in[s.at:s.at+n])) {
		return false
	}
	s.take(n)
	return true
}
