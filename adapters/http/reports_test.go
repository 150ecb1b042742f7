package http

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// decodeReports is what becomes of a body behind the guard.
func decodeReports(t *testing.T, body string) []domain.Report {
	t.Helper()
	var batch struct{ Reports []domain.Report }
	clean, err := cleanReports([]byte(body))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(clean, &batch))
	return batch.Reports
}

func TestCleanReports_WhateverAResultIs_KeepsIt(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, result := range map[string]string{
		"sound": `{"a":[1,"x}"]}`, "61 levels": deep(61), "70 levels": deep(70), "100,000 levels": deep(100_000),
		"NUL":          `{"a":"\u0000"}`,
		"broken UTF-8": "\"\xff\"", "a key twice": `{"a":1,"a":2}`, "NaN": `NaN`, "a lone surrogate": `"\ud800"`,
		"a number": `1e400`, "garbage": `{"a":tru}`,
		"brackets in strings": `"}],\"{["`,
	} {
		body := `{"worker_id":"w", "reports": [ {"report_id":"1","event":"complete","result":` + result +
			`}, {"report_id":"2" , "result" : ` + result +
			` ,"event":"complete"},{"report_id":"3","event":"start"} ] , "session_id":"s"}`
		got := decodeReports(t, body)
		require.Len(t, got, 3, name)
		for i, r := range got[:2] {
			assert.Empty(t, r.Invalid, name)
			assert.Equal(t, domain.CleanResult(domain.JSON(result)), r.Result, "%s, report %d", name, i)
		}
		assert.Equal(t, domain.EventStart, got[2].Event, name)
	}
}

func TestCleanReports_WhenOneReportIsNotJSON_KeepsTheOthers(t *testing.T) {
	for _, bad := range []string{`{"event":tru}`, `{"event" "x"}`, `{event:1}`, `nope`,
		`{"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`, `[1,]`, `{"result":}`} {
		got := decodeReports(t, `{"reports":[{"report_id":"1","event":"start"},`+bad+`,{"report_id":"3","event":"start"}]}`)
		require.Len(t, got, 3, "%.40s", bad)
		assert.Empty(t, got[0].Invalid)
		assert.NotEmpty(t, got[1].Invalid, "%.40s", bad)
		assert.Empty(t, got[2].Invalid)
	}
}

func TestCleanReports_WhenTheBodyCannotBeSplit_LeavesItToTheDecoder(t *testing.T) {
	for _, body := range []string{"", "[]", `{"reports":[{]}`, `{"reports":[{"a":"b`, `{"reports":[}`,
		`{"reports":[],}`, "\xff", `{"reports":[1 2]}`} {
		var batch struct{ Reports []domain.Report }
		clean, err := cleanReports([]byte(body))
		require.NoError(t, err)
		if err := json.Unmarshal(clean, &batch); err == nil && body != "" {
			assert.True(t, json.Valid([]byte(body)), body)
		}
	}
	clean, err := cleanReports([]byte(`{"reports":{"a":1},"x":[[2]]}`))
	require.NoError(t, err)
	assert.JSONEq(t, `{"reports":{"a":1},"x":[[2]]}`, string(clean))
	_, err = cleanReports([]byte(`{} {}`))
	assert.Equal(t, domain.CodeInvalidInput, domain.CodeOf(err), "something stands behind it")
}

func TestCleanReports_WhenThereAreTooMany_NeverDecodesThem(t *testing.T) {
	_, err := cleanReports([]byte(`{"reports":[` + strings.Repeat("{},", 1_000_000) + `{}]}`))
	assert.Equal(t, domain.CodeInvalidInput, domain.CodeOf(err))
	got := decodeReports(t, `{"reports":[`+strings.Repeat("{},", domain.MaxReports-1)+`{}]}`)
	assert.Len(t, got, domain.MaxReports)
}

func TestCleanReports_WhenAReportHasTooManyLines_KeepsTheNewestAndCountsTheOthers(t *testing.T) {
	for _, n := range []int{0, 1, domain.MaxReportLines, domain.MaxReportLines + 1, 2 * domain.MaxReportLines,
		2*domain.MaxReportLines + 1, 100_000} {
		lines := make([]domain.LogEntry, n)
		for i := range lines {
			lines[i] = domain.LogEntry{Level: "info", Message: strconv.Itoa(i)}
		}
		raw, err := json.Marshal(lines)
		require.NoError(t, err)
		got := decodeReports(t, `{"reports":[{"event":"log","lines":`+string(raw)+`},{"report_id":"2"}]}`)
		require.Len(t, got, 2)
		require.Len(t, got[0].Lines, min(n, domain.MaxReportLines), n)
		want := domain.Report{Lines: lines}.Clean().Lines
		assert.Equal(t, want, got[0].Clean().Lines, "as without HTTP")
	}
}

func FuzzCleanReports(f *testing.F) {
	for _, s := range []string{`{"reports":[{"result":{"a":1}},{}]}`, `{"reports":[{"result":"\"]"}],"b":[]}`,
		`{"reports":[[[{`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		clean, err := cleanReports(body)
		if err == nil && json.Valid(body) && !json.Valid(clean) {
			t.Fatalf("%q became %q", body, clean)
		}
	})
}
