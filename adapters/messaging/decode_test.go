package messaging

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// FuzzEnvelope compares what is read in one pass with what encoding/json reads.
func FuzzEnvelope(f *testing.F) {
	for _, seed := range []string{
		register,
		`{"type":"x","version":1,"unknown":{"a":"b"},"payload":null}`,
		`{"payload":{"a":1},"type":"x","version":1}`,
		`{"type":"x","version":1,"payload":{},"error":{"code":"FENCED","message":"m"}}`,
		`{"type":"x","version":1,"payload":1,"type":"y"}`,
		`{"type":"x","version":1,"payload":1,"payload":2}`,
		`{"type":"x","version":1e0,"payload":1}`,
		`{"type":"x","version":1.0,"payload":1}`,
		`{"Type":"x","VERSION":1,"payload":1}`,
		`{"type":"x","version":1,"timestamp":"yesterday","payload":1}`,
		`{"type":"x","version":1,"timestamp":null,"sender_id":null,"payload":1}`,
		`{"type":"x","version":1,"payload":1}}`,
		`{"type":"x","version":1,"payload":{"a":1}`,
		`{"type":"x","version":1,"payload":}`,
		`{"type":"x","version":1,"payload" : [1] } `,
		`{"type":"x","version":1,"payload":1} {}`,
		`{"type":"\ud800","version":1,"origin":"o","correlation_id":"c","sender_type":"s","message_id":"m","payload":1}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		want, wantErr := decodeWhole(data)
		var wantPayload any
		if wantErr == nil {
			wantErr = json.Unmarshal(want.Payload, &wantPayload)
		}
		got, err := decode(data)
		var payload any
		if err == nil {
			payload, err = open[any](&got)
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, and as a whole: %v", data, err, wantErr)
		}
		if err != nil {
			return
		}
		got.whole, got.Payload, want.Payload = nil, nil, nil
		assert.Equal(t, want, got)
		assert.Equal(t, wantPayload, payload)
	})
}

func TestDecode_OfWhatIsSent_DoesNotLookAtThePayload(t *testing.T) {
	p := Party{ID: "w", Kind: "worker", Clock: fixedClock{}, IDs: fixedIDs{}, origin: "o"}
	data, err := p.encodeReply(typeReply, "m", []int{1}, nil)
	require.NoError(t, err)
	e, ok := head(data)
	require.True(t, ok, "%s", data)
	whole, err := decodeWhole(data)
	require.NoError(t, err)
	e.whole = nil
	assert.Equal(t, whole, e)
}

// Reports of every kind are encoded as their own methods encode them, and read as these read them.
func TestReports_InOnePass_AreTheSame(t *testing.T) {
	half, nan := 0.5, math.NaN()
	reports := []ports.Report{
		{ID: "r1", WorkloadID: "wl_1", Generation: 3, Event: domain.EventStart},
		{ID: strings.Repeat("x", 1000), Event: domain.EventComplete, Result: `{"a": [1, "\u003c"]}`, Percent: &half},
		{Event: domain.EventComplete, Result: `{broken`, Percent: &nan},
		{Event: domain.EventFail, Reason: "\x00\xff", Failure: &domain.Failure{Type: "t", Message: "<&>", Permanent: true}},
		{Event: domain.EventLog, Lines: []domain.LogEntry{
			{At: time.Unix(1, 2).UTC(), Level: "info", Message: "one", Details: `{"k": 1}`},
		}},
	}
	ref := ports.SessionRef{WorkerID: "w", SessionID: "s"}
	own, err := json.Marshal(reportsMessage{ref, reports})
	require.NoError(t, err)
	plain, err := json.Marshal(plainly(ref, reports))
	require.NoError(t, err)
	assert.Equal(t, string(own), string(plain))

	for name, payload := range map[string]string{
		"sound":   string(own),
		"one bad": `{"worker_id":"w","session_id":"s","reports":[{"report_id":"a"},{"report_id":7},null,{"event":"log"}]}`,
		"none":    `{"worker_id":"w"}`,
	} {
		var want reportsMessage
		require.NoError(t, json.Unmarshal([]byte(payload), &want))
		e, err := decode([]byte(`{"type":"worker.reports","version":1,"payload":` + payload + `}`))
		require.NoError(t, err)
		got, err := openReports(&e)
		require.NoError(t, err, name)
		require.Len(t, got.Reports, len(want.Reports), name)
		assert.Equal(t, want.SessionRef, got.SessionRef, name)
		for i := range want.Reports {
			assert.Equal(t, want.Reports[i], got.Reports[i], name)
		}
	}
}
