package http

import (
	"bytes"
	"encoding/json"

	"github.com/niyanta/niyanta/core/domain"
)

// cleanReports prepares the body of a batch of reports for decoding, so that one bad report costs the others nothing. The result of each
// report is replaced by what domain.CleanResult makes of it, whatever it is: what a run returned is for the domain to judge, as on every
// other way that a report may take. A report that is not JSON is replaced by a string, which no report is. The text is read by its
// brackets and strings only; a body that does not hold together comes back as it is, for the decoder to refuse.
func cleanReports(body []byte) []byte {
	c := &reportCopier{in: body}
	if !c.object(c.batchMember) || c.rest() != "" {
		return body
	}
	return c.out.Bytes()
}

// reportCopier copies JSON text and changes what it must. It never recurses, so that no depth harms it.
type reportCopier struct {
	in  []byte
	at  int
	out bytes.Buffer
}

// next skips white space and returns the next byte; 0 at the end.
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

// object copies an object; member copies the value of each key.
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

// batchMember copies a value of the batch, and cleans the reports.
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
		if !ok {
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
		if key != "result" {
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

func (c *reportCopier) copySpan() bool {
	span, ok := c.span()
	c.out.Write(span)
	return ok
}

// span returns the text of the next value, as far as its brackets and strings tell where it ends.
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
