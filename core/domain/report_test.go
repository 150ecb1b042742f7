package domain

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReport_WhateverItHolds_TravelsAsItIsCleaned(t *testing.T) {
	nan, inf, half := math.NaN(), math.Inf(1), 50.0
	for name, r := range map[string]Report{
		"NUL": {
			ID: "r\x00", Reason: "a\x00b", Message: "\x00", Failure: &Failure{Type: "t", Message: "no\x00 space"},
		},
		"broken UTF-8": {
			Reason: "\xff\xfe", Failure: &Failure{Message: "\xff\xfe"},
			Lines: []LogEntry{{Level: "\xff", Message: "\xff\xfe"}},
		},
		"result not JSON": {Event: EventComplete, Result: "hello"},
		"result with NUL": {Event: EventComplete, Result: `{"a":"\u0000"}`},
		"result deep": {
			Event: EventComplete, Result: JSON(strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)),
		},
		"result escaped":   {Event: EventComplete, Result: `{ "a": "<b>\u003c" }`},
		"result null":      {Event: EventComplete, Result: "null"},
		"percent NaN":      {Event: EventProgress, Percent: &nan},
		"percent infinite": {Event: EventProgress, Percent: &inf},
		"percent":          {Event: EventProgress, Percent: &half},
		"times": {
			Lines: []LogEntry{
				{At: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)},
				{At: time.Unix(1, 1).In(time.FixedZone("x", 3600))},
			},
		},
		"many lines": {Lines: make([]LogEntry, 5*MaxReportLines)},
		"long": {
			Reason: strings.Repeat("x", 9999), Failure: &Failure{Message: strings.Repeat("é", 9999)},
			Lines: []LogEntry{{Message: strings.Repeat("x", 99_999)}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := json.Marshal([]Report{r})
			require.NoError(t, err)
			var got []Report
			require.NoError(t, json.Unmarshal(raw, &got))
			want := r.Clean()
			again := want.Clean()
			assert.Equal(t, want, again, "cleaning twice changes nothing")
			if len(want.Lines) == 0 {
				want.Lines = nil
			}
			assert.Equal(t, want, got[0].Clean())
		})
	}
}

func TestReport_WhenOneOfABatchIsNotOne_SaysSoAndTheOthersStand(t *testing.T) {
	var got []Report
	require.NoError(t, json.Unmarshal([]byte(`[
		{"report_id":"1","event":"start","mood":"good"}, {"report_id":"2","progress_percent":"half","event":"progress"},
		{"report_id":"3","failure":"boom"}, {"report_id":"4","lines":[{"at":"yesterday"}]}, 7, null, "x",
		{"report_id":"5","generation":1.5}]`), &got))
	require.Len(t, got, 8)
	assert.Empty(t, got[0].Invalid, "unknown fields are ignored")
	assert.Equal(t, "2", got[1].ID)
	assert.Contains(t, got[1].Invalid, "progress_percent")
	assert.Contains(t, got[2].Invalid, "failure")
	assert.Contains(t, got[3].Invalid, "cannot be read")
	assert.Contains(t, got[4].Invalid, "must be an object")
	assert.Contains(t, got[6].Invalid, "must be an object")
	assert.Contains(t, got[7].Invalid, "generation")
}

func TestLogEntry_Clean_KeepsDetailsThatEveryStoreTakes(t *testing.T) {
	for details, want := range map[JSON]JSON{
		"": "", "null": "", "{}": "", "{ \"a\" : 1.10 }\n": `{"a":1.10}`, `[1]`: `{"value":[1]}`, `"x"`: `{"value":"x"}`,
		`{"a":"\u0000"}`: `{"dropped":"nul"}`, `{"a":1,"a":2}`: `{"dropped":"duplicate_key"}`,
		`{"a"`:             `{"dropped":"not_json"}`,
		"{\"a\":\"\xff\"}": `{"dropped":"invalid_utf8"}`, `{"a":"\ud800"}`: `{"dropped":"lone_surrogate"}`,
		JSON(`{"a":"` + strings.Repeat("x", MaxLogDetails) + `"}`): `{"dropped":"too_large"}`,
		JSON(strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100)):  `{"dropped":"too_deep"}`,
	} {
		got := LogEntry{Details: details}.Clean()
		assert.Equal(t, want, got.Details, "%.50s", details)
		assert.Equal(t, got, got.Clean(), "cleaning twice changes nothing")
	}
}

func TestReport_Clean_KeepsTheNewestLinesAndCountsTheOthers(t *testing.T) {
	r := Report{Lines: make([]LogEntry, MaxReportLines+10)}
	r.Lines[len(r.Lines)-1].Message = "the reason of its death"
	got := r.Clean().Lines
	require.Len(t, got, MaxReportLines)
	assert.Contains(t, got[0].Message, "11 log lines were dropped")
	assert.Equal(t, "the reason of its death", got[len(got)-1].Message)
	assert.Empty(t, r.Lines[0].Level, "what was given is not changed")
}

func TestConsumption_WhenItIsImpossible_IsBounded(t *testing.T) {
	r := Report{Used: Consumption{CPUMS: -1, PeakMemoryMB: math.MaxInt64}}.Clean()
	assert.Equal(t, Consumption{CPUMS: 0, PeakMemoryMB: 1 << 40}, r.Used)
	r.Used.Add(Consumption{CPUMS: 5, PeakMemoryMB: 7})
	assert.Equal(t, Consumption{CPUMS: 5, PeakMemoryMB: 1 << 40}, r.Used)
	b, err := json.Marshal(Report{})
	require.NoError(t, err)
	assert.NotContains(t, string(b), "used", "what was not measured is not stated")
}
