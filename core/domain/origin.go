package domain

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// Origin is the request that something goes back to. Logs name it, and traces begin with it.
type Origin struct {
	// RequestID is the id of the API request; empty: there is none.
	RequestID string
	// Trace is the span that the client sent with it; zero: none.
	Trace SpanRef
}

// SpanRef identifies a span, as the header traceparent of the W3C does.
type SpanRef struct {
	TraceID [16]byte
	SpanID  [8]byte
	Sampled bool
}

// spanRefLength is the length of a SpanRef as text: 00-<trace>-<span>-<flags>.
const spanRefLength = 55

// ParseSpanRef reads the value of a header traceparent. The result is zero if it is not valid.
func ParseSpanRef(s string) (r SpanRef) {
	if len(s) < spanRefLength || s[2] != '-' || s[35] != '-' || s[52] != '-' || strings.ToLower(s) != s {
		return SpanRef{}
	}
	if version := s[:2]; version == "ff" || len(s) > spanRefLength && (version == "00" || s[spanRefLength] != '-') {
		return SpanRef{} // later versions may add to the end
	}
	var version, flags [1]byte
	for _, part := range []struct {
		into []byte
		text string
	}{{version[:], s[:2]}, {r.TraceID[:], s[3:35]}, {r.SpanID[:], s[36:52]}, {flags[:], s[53:55]}} {
		if _, err := hex.Decode(part.into, []byte(part.text)); err != nil {
			return SpanRef{}
		}
	}
	if r.TraceID == [16]byte{} || r.SpanID == [8]byte{} {
		return SpanRef{}
	}
	r.Sampled = flags[0]&1 != 0
	return r
}

// IsZero reports whether r names no span.
func (r SpanRef) IsZero() bool { return r == SpanRef{} }

// String returns the value of a header traceparent. It is empty if r is zero.
func (r SpanRef) String() string {
	if r.IsZero() {
		return ""
	}
	flags := "00"
	if r.Sampled {
		flags = "01"
	}
	return "00-" + r.Trace() + "-" + hex.EncodeToString(r.SpanID[:]) + "-" + flags
}

// Trace returns the id of the trace as text. It is empty if r is zero.
func (r SpanRef) Trace() string {
	if r.IsZero() {
		return ""
	}
	return hex.EncodeToString(r.TraceID[:])
}

// Span returns the span of a workload from its submission to its end. It belongs to the trace that
// its client sent, if there was one, and otherwise to one of its own. It follows from what never
// changes, so that every coordinator gives the same one and nothing has to be passed along.
func (o Origin) Span(id WorkloadID) SpanRef {
	// The id holds a UUID. Its second half differs from workload to workload.
	own := sha256.Sum256([]byte(id))
	if raw, err := idEncoding.DecodeString(strings.TrimPrefix(string(id), PrefixWorkload)); err == nil && len(raw) == 16 {
		copy(own[:], raw)
	}
	r := SpanRef{TraceID: [16]byte(own[:16]), SpanID: [8]byte(own[8:16]), Sampled: true}
	if !o.Trace.IsZero() {
		r.TraceID, r.Sampled = o.Trace.TraceID, o.Trace.Sampled
	}
	return r
}

// RunSpan returns the span of a workload's run at a generation, which Span contains.
func (o Origin) RunSpan(run RunID) SpanRef {
	r := o.Span(run.WorkloadID)
	name := binary.BigEndian.AppendUint64([]byte(run.WorkloadID), uint64(run.Generation)) //nolint:gosec // never negative
	sum := sha256.Sum256(name)
	copy(r.SpanID[:], sum[:])
	return r
}
