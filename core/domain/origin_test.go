package domain

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestParseSpanRef_OfAHeader_ReadsWhatTheStandardAllows(t *testing.T) {
	for text, want := range map[string]string{
		parent:                                  parent,
		strings.TrimSuffix(parent, "01") + "00": strings.TrimSuffix(parent, "01") + "00",
		strings.TrimSuffix(parent, "01") + "03": parent, // flags that are not known yet
		"cc" + parent[2:] + "-what-comes-later": parent, // of a later version
		"":                                      "",
		"00":                                    "",
		parent + "-more":                        "",
		"ff" + parent[2:]:                       "",
		"cc" + parent[2:] + "more":              "",
		"0x" + parent[2:]:                       "",
		strings.ToUpper(parent):                 "",
		strings.Replace(parent, "4b", "4g", 1):  "",
		strings.Replace(parent, "-0", "_0", 1):  "",
		"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01":                 "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-" + strings.Repeat("0", 16) + "-01": "",
		parent[:53] + "\n1": "",
	} {
		assert.Equal(t, want, ParseSpanRef(text).String(), "%q", text)
	}
}

func TestOrigin_Spans_FollowFromTheWorkloadAndItsClientsTrace(t *testing.T) {
	const id = WorkloadID("wl_06h0r71uvds0t3f5d7e71d0bhg")
	none, sent := Origin{}, Origin{Trace: ParseSpanRef(parent)}
	unsampled := sent
	unsampled.Trace.Sampled = false
	assert.True(t, none.Span(id).Sampled)
	assert.False(t, unsampled.Span(id).Sampled, "as the client wants it")
	assert.Equal(t, sent.Trace.TraceID, sent.Span(id).TraceID)
	assert.Equal(t, sent.Trace.TraceID, sent.RunSpan(RunID{id, 1}).TraceID)
	assert.Equal(t, none.Span(id).SpanID, sent.Span(id).SpanID)
	seen := map[SpanRef]bool{}
	for _, id := range []WorkloadID{id, "wl_06h0r71uvds0t3f5d7e71d0bh0", "wl_1", "wl_2"} {
		seen[none.Span(id)], seen[sent.Span(id)] = true, true
		for g := range int64(3) {
			seen[sent.RunSpan(RunID{id, g})] = true
		}
	}
	assert.Len(t, seen, 4*5, "all differ")
	assert.False(t, seen[SpanRef{}])
}
