package http

import (
	"bytes"
	"encoding/json"

	"github.com/niyanta/niyanta/core/domain"
)

// cleanReports prepares a batch of reports for decoding, so that one bad report costs the others
// nothing.
//
// The result of each report is replaced by what domain.CleanResult makes of it: what a run returned
// may be any text, and the domain judges it as on every other transport. A report that is not JSON
// is replaced by a string, which the decoder marks as invalid. Reports and lines beyond their
// limits are dropped here, because decoding them takes many times their memory.
//
// The text is split by brackets and strings only. A body that cannot be split is returned as it is,
// and the decoder refuses it.
func cleanReports(body []byte) ([]byte, error) {
	c := &reportCopier{in: body}
	sound := c.object(c.batchMember)
	switch {
	case c.reports > domain.MaxReports:
		return nil, domain.Invalid("reports", "must be at most %d", domain.MaxReports)
	case !sound:
		return body, nil
	case c.rest() != "":
		return nil, errBehindBody
	}
	return c.out.Bytes(), nil
}

// reportCopier copies JSON text and replaces parts of it. It does not recurse, so no depth harms
// it.
type reportCopier struct {
	in      []byte
	at      int
	out     bytes.Buffer
	reports int
}

// next skips white space and returns the next byte, or 0 at the end.
func (c *reportCopier) next() byte {
	for ; c.at < len(c.in); c.at++ {
		switch b := c.in[c.at]; b {
		case ' ', '\t', '\r', '\n':
		default:
			return b
		}
	}
	return 0
}

func (c *reportCopier) rest() string {
	c.next()
	return string(c.in[c.at:])
}

// take copies one byte if it is the next one.
func (c *reportCopier) take(want byte) bool {
	if c.next() != want || c.at >= len(c.in) {
		return false
	}
	c.out.WriteByte(want)
	c.at++
	return true
}

// object copies an object. It calls member to copy the value of each key.
func (c *reportCopier) object(member func(key string) bool) bool {
	if !c.take('{') {
		return false
	}
	if c.take('}') {
		return true
	}
	for {
		key, ok := c.span()
		var name string
		if !ok || len(key) == 0 || key[0] != '"' {
			return false
		}
		_ = json.Unmarshal(key, &name) // one that is not a key is for the decoder to refuse
		c.out.Write(key)
		if !c.take(':') || !member(name) {
			return false
		}
		if !c.take(',') {
			return c.take('}')
		}
	}
}

// batchMember copies a member of the batch and cleans the reports.
func (c *reportCopier) batchMember(key string) bool {
	if key != "reports" || c.next() != '[' {
		return c.copySpan()
	}
	c.take('[')
	if c.take(']') {
		return true
	}
	for {
		report, ok := c.span()
		if c.reports++; !ok || c.reports > domain.MaxReports {
			return false
		}
		c.out.Write(cleanReport(report))
		if !c.take(',') {
			return c.take(']')
		}
	}
}

// notAReport stands for a report that is not JSON.
var notAReport = []byte(`"not JSON"`)

func cleanReport(report []byte) []byte {
	c := &reportCopier{in: report}
	sound := c.object(func(key string) bool {
		switch {
		case key == "lines" && c.next() == '[':
			return c.lines()
		case key != "result":
			return c.copySpan()
		}
		result, ok := c.span()
		raw, err := json.Marshal(domain.CleanResult(domain.JSON(result)))
		c.out.Write(raw)
		return ok && err == nil
	})
	if !sound || c.rest() != "" {
		c.out.Reset()
		c.out.Write(report)
	}
	if !json.Valid(c.out.Bytes()) {
		return notAReport
	}
	return c.out.Bytes()
}

// lines copies the newest lines up to the limit. If there were more, a line before them says how
// many were dropped.
func (c *reportCopier) lines() bool {
	c.take('[')
	if c.take(']') {
		return true
	}
	var newest [][]byte
	dropped := 0
	for {
		line, ok := c.span()
		if !ok {
			return false
		}
		if newest = append(newest, line); len(newest) >= 2*domain.MaxReportLines {
			dropped += len(newest) - domain.MaxReportLines
			newest = append(newest[:0], newest[len(newest)-domain.MaxReportLines:]...)
		}
		if c.next() != ',' {
			break
		}
		c.at++
	}
	if over := len(newest) - domain.MaxReportLines; over > 0 {
		dropped, newest = dropped+over, newest[over:]
	}
	if dropped > 0 {
		note, err := json.Marshal(domain.DroppedLines(dropped + 1))
		if err != nil {
			return false
		}
		newest[0] = note // it takes the place of one
	}
	c.out.Write(bytes.Join(newest, []byte(",")))
	return c.take(']')
}

func (c *reportCopier) copySpan() bool {
	span, ok := c.span()
	c.out.Write(span)
	return ok
}

// span returns the text of the next value. Only brackets and strings decide where it ends.
func (c *reportCopier) span() ([]byte, bool) {
	first := c.next()
	begin, depth := c.at, 0
	for c.at < len(c.in) {
		switch b := c.in[c.at]; b {
		case '"':
			if !c.skipString() {
				return nil, false
			}
			if depth == 0 {
				return c.in[begin:c.at], true
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return c.in[begin:c.at], c.at > begin
			}
			if depth--; depth == 0 {
				c.at++
				return c.in[begin:c.at], true
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 && first != '{' && first != '[' {
				return c.in[begin:c.at], c.at > begin
			}
		}
		c.at++
	}
	return c.in[begin:], depth == 0 && c.at > begin
}

// skipString moves behind a string.
func (c *reportCopier) skipString() bool {
	for c.at++; c.at < len(c.in); c.at++ {
		switch c.in[c.at] {
		case '\\':
			c.at++
		case '"':
			c.at++
			return true
		}
	}
	return false
}
