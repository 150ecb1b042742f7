package http

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

func fieldOf(err error) any {
	var e *domain.Error
	if !errors.As(err, &e) {
		return nil
	}
	return e.Details["field"]
}

func TestCheckJSON_WhenTextIsRefused_NamesTheField(t *testing.T) {
	for body, field := range map[string]string{
		`{"a":{"b":["x","\u0000"]}}`:           "a.b.1",
		`{"a":[{"c":1},{"b":"\ud800"}]}`:       "a.1.b",
		"{\"a\":{\"b\":\"\xff\"}}":             "a.b",
		`{"a":{"\u0000":1}}`:                   "a",
		`"\u0000"`:                             "body",
		"{\"a\":1,\xff}":                       "body",
		`{"a":1,"b":{"c":[1,2]},"d":"\u0000"}`: "d",
	} {
		_, err := checkJSON([]byte(body), nil)
		assert.Equal(t, field, fieldOf(err), body)
	}
}

func TestCheckJSON_WhenAnIntegerHasAnExponent_IsReadAsTheInteger(t *testing.T) {
	ops, err := loadOperations()
	require.NoError(t, err)
	schema := jsonSchema(ops["POST /v1/workloads"].route.Operation)
	got, err := checkJSON([]byte(`{"workload_type":"t", "priority": 1e2 ,"timeout_seconds":60.0,"input_params":{"priority":1e2}}`), schema)
	require.NoError(t, err)
	want := []byte(`{"workload_type":"t", "priority": 100 ,"timeout_seconds":60,"input_params":{"priority":1e2}}`)
	assert.Equal(t, want, got, "what is opaque stays as it is written")
	for literal, want := range map[string]string{
		"1e3": "1000", "1000.0": "1000", "-1.50e1": "-15", "0.0": "0", "0e99": "0", "-0.0": "0", "12.5E1": "125", "1e17": "100000000000000000",
		"1.5": "", "1e-1": "", "1e19": "", "1e999999999": "", "1e99999999999999999999": "", "0.1e1": "1", "100e-2": "1", "10e-2": "",
		"9007199254740992.5": "", "9007199254740993.0": "9007199254740993",
	} {
		got, ok := integerOf(literal)
		assert.Equal(t, want, got, literal)
		assert.Equal(t, want != "", ok, literal)
	}
}

func TestSplit_WhateverAnItemHolds_FindsWhereItEnds(t *testing.T) {
	for _, items := range [][]string{
		{}, {"1"}, {`"a,b]"`, `{"x":[1,2,{"y":"}"}]}`, "[ ]"}, {`"\\\","`, "null"}, {strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), "2"},
	} {
		got, err := split([]byte(" ["+strings.Join(items, ",")+"]\n"), '[')
		require.NoError(t, err)
		require.Len(t, got, len(items))
		for i := range items {
			assert.Equal(t, items[i], string(got[i]))
		}
	}
	for _, bad := range []string{"", "{}", "[", "[1", "[1}", "[1]x", "[1,]", "[,1]", `["]`, "[[1]", "[}"} {
		_, err := split([]byte(bad), '[')
		assert.Equal(t, domain.CodeInvalidInput, domain.CodeOf(err), bad)
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{`[]`, `[1,"a,]",{"b":[2]}]`, `[{"a":"\\\""}, null]`, "[[[["} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var want []json.RawMessage
		if json.Unmarshal(text, &want) != nil {
			_, _ = split(text, '[')
			return
		}
		got, err := split(text, '[')
		if want == nil { // null is no array
			return
		}
		if err != nil || len(got) != len(want) {
			t.Fatalf("split %q into %q: %v", text, got, err)
		}
	})
}

func TestBatch_WhenItemsAreRefused_TheOthersAreDecoded(t *testing.T) {
	ops, err := loadOperations()
	require.NoError(t, err)
	const good = `{"workload_type":"t","input_params":{}}`
	deep := strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000)
	items := []string{
		good, `{"workload_type":"t","input_params":{},"priority":2000}`, `{"workload_type":"t","input_params":{},"colour":1}`,
		`{"workload_type":7,"input_params":{}}`, `{"input_params":{}}`, `null`, `[]`, `{"workload_type":"t","input_params":{"a":1,"a":2}}`,
		`{"workload_type":"t","input_params":{"a":"\u0000"}}`, "{\"workload_type\":\"\xff\",\"input_params\":{}}",
		`{"workload_type":"t","input_params":{"a":"\ud800"}}`, `{"workload_type":"t","input_params":` + deep + `}`,
		`{"workload_type":"t","input_params":{},"run_at":"9999-12-31T23:59:59-01:00"}`, `{"workload_type":"t","input_params":{},"priority":1e2}`, good,
	}
	fields := map[int]any{
		1: "priority", 2: "colour", 3: "workload_type", 4: "workload_type", 5: "body", 6: "body", 7: "a", 8: "input_params.a", 9: "workload_type",
		10: "input_params.a", 11: nil, 12: "run_at",
	}
	s := &scope{op: ops["POST /v1/workloads/batch"]}
	body, err := s.accept(fmt.Appendf(nil, ` {"workloads" : [%s] } `, strings.Join(items, " , ")))
	require.NoError(t, err)
	got := map[int]any{}
	for i, err := range s.refused {
		got[i] = fieldOf(err)
	}
	assert.Equal(t, fields, got)
	assert.Equal(t, domain.CodeTooLarge, domain.CodeOf(s.refused[11]))
	var decoded struct{ Workloads []json.RawMessage }
	require.NoError(t, json.Unmarshal(body, &decoded))
	require.Len(t, decoded.Workloads, len(items))
	assert.JSONEq(t, good, string(decoded.Workloads[14]))
	assert.JSONEq(t, `{"workload_type":"t","input_params":{},"priority":100}`, string(decoded.Workloads[13]))

	for _, bad := range []string{`{"workloads":[` + good + `],"workloads":[]}`, `{"workloads":[` + good + `,]}`, `{"workloads":[` + good, `{"workloads":}`, `[]`, ``} {
		_, err := (&scope{op: s.op}).accept([]byte(bad))
		assert.Equal(t, domain.CodeInvalidInput, domain.CodeOf(err), bad)
	}
	// What is not about an item is for the schema of the whole.
	for _, other := range []string{`{"workloads":[],"colour":1}`, `{"workloads":7}`, `{}`} {
		body, err := (&scope{op: s.op}).accept([]byte(other))
		require.NoError(t, err, other)
		assert.JSONEq(t, other, string(body))
		var value any
		require.NoError(t, json.Unmarshal(body, &value))
		assert.Error(t, jsonSchema(s.op.route.Operation).VisitJSON(value, openapi3.VisitAsRequest()), other)
	}
}
