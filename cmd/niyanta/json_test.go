package main

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestPrintJSON_OfTimes_PrintsThemAsTheAPISendsThem(t *testing.T) {
	at := time.Date(2026, 1, 2, 4, 4, 34, 700_000_000, time.FixedZone("CET", 3600))
	var out bytes.Buffer
	require.NoError(t, printJSON(&out, niyanta.Key{KeyID: "key_<1>", CreatedAt: at, ExpiresAt: &at}, false))
	//nolint:testifylint // byte for byte
	assert.Equal(t, `{"created_at":"2026-01-02T03:04:34.700Z","expires_at":"2026-01-02T03:04:34.700Z","key_id":"key_<1>",`+
		`"name":"","prefix":"","revoked_at":null,"role":""}`+"\n", out.String())
}

// TestPrintJSON_OfAnythingElse_PrintsWhatEncodingJSONDoes compares it with encoding/json on values
// whose times look the same in both.
func TestPrintJSON_OfAnythingElse_PrintsWhatEncodingJSONDoes(t *testing.T) {
	at, text, number := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC), "a < b & c", 3
	type embedded struct{ Inner int }
	for _, v := range []any{
		nil, 1.5, "x", []byte("bytes"), []string(nil), map[string]int(nil), map[string]any{"b": at, "a": []any{&text}},
		niyanta.Workload{CreatedAt: at, UpdatedAt: at, CompletedAt: &at, Labels: map[string]string{"a": text},
			InputParams: json.RawMessage(`{"at":"2026-01-02T03:04:05.6Z"}`)},
		&niyanta.ControlAnswer{}, niyanta.ControlAnswer{CancelledAt: &at},
		niyanta.CustomerPatch{Name: &text, Limits: &niyanta.LimitsPatch{Burst: niyanta.To(number)}},
		struct {
			embedded

			At      time.Time  `json:"at,omitzero"`
			Never   *time.Time `json:"never,omitempty"`
			Skipped int        `json:"-"`
			Plain   int
			Empty   []int `json:",omitempty"`
			hidden  int
		}{embedded{1}, time.Time{}, nil, 2, 3, nil, 4},
		[]struct{}{{}},
	} {
		for _, indent := range []bool{false, true} {
			var want, got bytes.Buffer
			e := json.NewEncoder(&want)
			e.SetEscapeHTML(false)
			if indent {
				e.SetIndent("", "  ")
			}
			require.NoError(t, e.Encode(v))
			require.NoError(t, printJSON(&got, v, indent))
			assert.Equal(t, want.String(), got.String())
		}
	}
}
