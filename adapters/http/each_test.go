package http

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oapi-codegen/runtime"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/http/gen"
	"github.com/niyanta/niyanta/contracttests/testfiles"
	"github.com/niyanta/niyanta/core/domain"
)

func fieldOf(err error) any {
	var e *domain.Error
	if !errors.As(err, &e) {
		return nil
	}
	return e.Details["field"]
}

func TestReadJSON_WhenTextIsRefused_NamesTheField(t *testing.T) {
	for body, field := range map[string]string{
		`{"a":{"b":["x","\u0000"]}}`:           "a.b.1",
		`{"a":[{"c":1},{"b":"\ud800"}]}`:       "a.1.b",
		"{\"a\":{\"b\":\"\xff\"}}":             "a.b",
		`{"a":{"\u0000":1}}`:                   "a",
		`"\u0000"`:                             "body",
		"{\"a\":1,\xff}":                       "body",
		`{"a":1,"b":{"c":[1,2]},"d":"\u0000"}`: "d",
	} {
		_, err := readJSON([]byte(body), nil)
		assert.Equal(t, field, fieldOf(err), body)
	}
}

func TestReadJSON_WhenAnIntegerHasAnExponent_ReadsTheInteger(t *testing.T) {
	ops, err := loadOperations()
	require.NoError(t, err)
	got, err := readJSON([]byte(`{"workload_type":"t", "priority": 1e2 ,"timeout_seconds":60.0,`+
		`"input_params":{"priority": 1e2}}`), ops["POST /v1/workloads"].body.schema)
	require.NoError(t, err)
	want := map[string]any{
		"workload_type": "t", "priority": json.Number("100"), "timeout_seconds": json.Number("60"),
		"input_params": `{"priority":1e2}`,
	}
	assert.Equal(t, want, got, "what is opaque stays as it is written")
	for literal, want := range map[string]string{
		"1e3": "1000", "1000.0": "1000", "-1.50e1": "-15", "0.0": "0", "0e99": "0", "-0.0": "0", "12.5E1": "125",
		"1e17": "100000000000000000",
		"1.5":  "", "1e-1": "", "1e19": "", "1e999999999": "", "1e99999999999999999999": "", "0.1e1": "1",
		"100e-2": "1", "10e-2": "",
		"9007199254740992.5": "", "9007199254740993.0": "9007199254740993",
	} {
		got, ok := integerOf(literal)
		assert.Equal(t, want, got, literal)
		assert.Equal(t, want != "", ok, literal)
	}
}

func TestBatch_WhenItemsAreRefused_DecodesTheOthers(t *testing.T) {
	ops, err := loadOperations()
	require.NoError(t, err)
	const good = `{"workload_type":"t","input_params":{}}`
	deep := strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000)
	items := []string{
		good, `{"workload_type":"t","input_params":{},"priority":2000}`, `{"workload_type":"t","input_params":{},"colour":1}`,
		`{"workload_type":7,"input_params":{}}`, `{"input_params":{}}`, `null`, `[]`,
		`{"workload_type":"t","input_params":{"a":1,"a":2}}`,
		`{"workload_type":"t","input_params":{"a":"\u0000"}}`, "{\"workload_type\":\"\xff\",\"input_params\":{}}",
		`{"workload_type":"t","input_params":{"a":"\ud800"}}`, `{"workload_type":"t","input_params":` + deep + `}`,
		`{"workload_type":"t","input_params":{},"run_at":"9999-12-31T23:59:59-01:00"}`,
		`{"workload_type":"t","input_params":{},"priority":1e2}`, good,
	}
	fields := map[int]any{
		1: "priority", 2: "colour", 3: "workload_type", 4: "workload_type", 5: "body", 6: "body", 7: "input_params.a",
		8: "input_params.a", 9: "workload_type",
		10: "input_params.a", 11: nil, 12: "run_at",
	}
	body := ops["POST /v1/workloads/batch"].body
	value, _, refused, err := body.decode(fmt.Appendf(nil, ` {"workloads" : [%s] } `, strings.Join(items, " , ")))
	require.NoError(t, err)
	got := map[int]any{}
	for i, err := range refused {
		got[i] = fieldOf(err)
	}
	assert.Equal(t, fields, got)
	assert.Equal(t, domain.CodeTooLarge, domain.CodeOf(refused[11]))
	var batch gen.SubmitWorkloadsJSONRequestBody
	require.NoError(t, runtime.BindJSONValue(value, &batch))
	require.Len(t, batch.Workloads, len(items))
	for i, w := range batch.Workloads {
		if refused[i] != nil {
			assert.Empty(t, w, "item %d", i)
			continue
		}
		assert.Equal(t, "t", w.WorkloadType, "item %d", i)
		assert.Equal(t, gen.RawObject(`{}`), w.InputParams, "item %d", i)
	}
	assert.Equal(t, 100, *batch.Workloads[13].Priority)
}

// An item ends where its brackets and strings say, whatever it is.
func TestBatch_WhateverAnItemIs_FindsTheNextOne(t *testing.T) {
	ops, err := loadOperations()
	require.NoError(t, err)
	body := ops["POST /v1/workloads/batch"].body
	const good = `{"workload_type":"t","input_params":{}}`
	for _, bad := range []string{
		"1", `"a,b]"`, `{"x":[1,2,{"y":"}"}]}`, "[ ]", `"\\\","`, "null",
		strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000), `tru`, `{"a" 1}`, `1 2`, `{"a":nope}`,
		good + " x", `{"a":"\x"}`,
	} {
		value, _, refused, err := body.decode([]byte(`{"workloads":[` + bad + ` , ` + good + `,` + bad + `]}`))
		require.NoError(t, err, "%.40s", bad)
		require.Len(t, refused, 2, "%.40s", bad)
		require.NotContains(t, refused, 1)
		items := value.(map[string]any)["workloads"].([]any)
		require.Equal(t, []any{nil, map[string]any{"workload_type": "t", "input_params": "{}"}, nil}, items)
	}
	for _, bad := range []string{
		`{"workloads":[` + good + `],"workloads":[]}`, `{"workloads":[` + good + `,]}`,
		`{"workloads":[,` + good + `]}`, `{"workloads":[` + good, `{"workloads":[` + good + `}`,
		`{"workloads":}`, `{"workloads":["]}`, `{"workloads":[[1]}`, `{"workloads":[{]}`, `{"workloads":[}`,
		`{"workloads":[1}]}`, `{"workloads":[` + good + `]}x`, `[]`, ``,
		// What is not about an item is for the schema of the whole.
		`{"workloads":[],"colour":1}`, `{"workloads":7}`, `{}`, `{"workloads":[]}`,
	} {
		_, _, _, err := body.decode([]byte(bad))
		assert.Equal(t, domain.CodeInvalidInput, domain.CodeOf(err), bad)
	}
}

func TestBatch_WhenThereAreTooManyItems_StopsAtTheLimit(t *testing.T) {
	ops, err := loadOperations()
	require.NoError(t, err)
	body := ops["POST /v1/workloads/batch"].body
	_, _, refused, err := body.decode([]byte(`{"workloads":[` + strings.Repeat("1,", 999) + `1]}`))
	require.NoError(t, err)
	require.Len(t, refused, 1000)
	_, _, refused, err = body.decode([]byte(`{"workloads":[` + strings.Repeat("1,", 500_000) + `1]}`))
	require.Equal(t, "workloads", fieldOf(err))
	require.Len(t, refused, 1000)
}

func TestReadJSON_WhenAnObjectHasManyKeys_TakesLinearTime(t *testing.T) {
	var body strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&body, `%c"k%d":%d`, "{,"[min(i, 1)], i, i)
	}
	begin := testfiles.StartStopwatch(t)
	_, err := readJSON([]byte(body.String()+"}"), nil)
	require.NoError(t, err)
	require.Less(t, begin.Took(), 5*time.Second, "comparing each key with each other one takes minutes")
	_, err = readJSON([]byte(body.String()+`,"k99999":1}`), nil)
	require.Equal(t, "k99999", fieldOf(err))
	_, err = readJSON([]byte(body.String()+`,"\u006b3":1}`), nil)
	require.Equal(t, "k3", fieldOf(err))
}

func TestReadJSON_WhenAnIntegerExceeds64Bits_NamesTheField(t *testing.T) {
	ops, err := loadOperations()
	require.NoError(t, err)
	schema := ops["POST /v1/workload-configs"].body.schema
	for literal, ok := range map[string]bool{
		"9223372036854775807": true, "9223372036854775808": false, "1e30": false, "1e400": false, "1e18": true,
		"10000000000000000000.0": false, "1e-400": false,
	} {
		_, err := readJSON([]byte(`{"workload_type":"t","config_json":{"a":1},"resource_limits":{"memory_mb":`+literal+
			`}}`), schema)
		if ok {
			require.NoError(t, err, literal)
			continue
		}
		require.Equal(t, "resource_limits.memory_mb", fieldOf(err), literal)
	}
}

// A single submission has at most maxBody bytes. In a batch each has, too: its input goes to workers
// and into lists.
func TestDecodeEach_WhenAnItemIsLargerThanABody_RefusesItAlone(t *testing.T) {
	ops, err := loadOperations()
	require.NoError(t, err)
	item := func(size int) string {
		const begin, end = `{"workload_type":"t","input_params":{"x":"`, `"}}`
		return begin + strings.Repeat("a", size-len(begin)-len(end)) + end
	}
	body := `{"workloads":[` + strings.Join([]string{
		item(maxBody), item(maxBody + 1), `{"workload_type":"t","input_params":{}}`,
		`{"labels":{` + strings.Repeat(`"a":1,`, maxBody/4) + `}}`, item(maxBody),
	}, ",") + `]}`
	value, items, refused, err := ops["POST /v1/workloads/batch"].body.decode([]byte(body))
	require.NoError(t, err)
	require.Equal(t, 5, items)
	require.Len(t, refused, 2)
	for _, i := range []int{1, 3} {
		assert.Equal(t, domain.CodeTooLarge, domain.CodeOf(refused[i]), i)
	}
	got := value.(map[string]any)["workloads"].([]any)
	assert.NotNil(t, got[0])
	assert.NotNil(t, got[2])
	assert.NotNil(t, got[4])
}

// Each malformed item had the rest of the body read to tell why: 8 s of a processor for one body.
func TestDecodeEach_WhenManyItemsAreMalformed_ReadsTheBodyOnce(t *testing.T) {
	ops, err := loadOperations()
	require.NoError(t, err)
	body := []byte(`{"workloads":[` + strings.Repeat("x,", 999) + `"` +
		strings.Repeat("\u00e9é", (maxBatchBody-3000)/8) + `"]}`)
	begun := testfiles.StartStopwatch(t)
	_, items, refused, err := ops["POST /v1/workloads/batch"].body.decode(body)
	took := begun.Took()
	require.NoError(t, err)
	require.Equal(t, 1000, items)
	require.Len(t, refused, 1000)
	require.Less(t, took, 3*time.Second, "a pass over the body takes some 50 ms")
}

func TestDecodeEach_WhenFieldsHaveVerbs_AnswersShortly(t *testing.T) {
	ops, err := loadOperations()
	require.NoError(t, err)
	name := strings.Repeat("%[1]1000000s", 20)
	for _, body := range []string{
		`{"` + name + `":1}`,
		`{"workload_type":"t","input_params":{},"labels":{"` + name + `":1}}`,
		`{"workload_type":"t","input_params":{},"affinity_rules":{"` + name + `":1}}`,
	} {
		_, _, _, err := ops["POST /v1/workloads"].body.decode([]byte(body))
		require.Error(t, err)
		assert.Less(t, len(err.Error()), 2000)
	}
}
