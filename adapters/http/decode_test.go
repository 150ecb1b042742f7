package http

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/api/openapi"
	"github.com/niyanta/niyanta/core/domain"
)

func TestReadJSON_WhenTextIsHostile_IsRefused(t *testing.T) {
	for _, c := range []struct {
		name, body string
		code       domain.Code
	}{
		{"nothing", "", domain.CodeInvalidInput},
		{"half an object", `{"a":`, domain.CodeInvalidInput},
		{"two values", `{} {}`, domain.CodeInvalidInput},
		{"a key twice", `{"a":1,"a":2}`, domain.CodeInvalidInput},
		{"a key twice, escaped", `{"a":1,"\u0061":2}`, domain.CodeInvalidInput},
		{"a key twice, deep", `{"x":[{"a":1,"b":{},"a":2}]}`, domain.CodeInvalidInput},
		{"a NUL", `{"a":"\u0000"}`, domain.CodeInvalidInput},
		{"broken UTF-8", "{\"a\":\"\xff\"}", domain.CodeInvalidInput},
		{"half a surrogate pair", `{"a":"\ud800"}`, domain.CodeInvalidInput},
		{"the other half", `{"a":"x\udc00"}`, domain.CodeInvalidInput},
		{"two first halves", `{"a":"\ud800\ud800"}`, domain.CodeInvalidInput},
		{"half a pair before another escape", `{"a":"\ud800\n"}`, domain.CodeInvalidInput},
		{"half a pair as a key", `{"\udfff":1}`, domain.CodeInvalidInput},
		{"half a pair in three bytes", "{\"a\":\"\xed\xa0\x80\"}", domain.CodeInvalidInput},
		{"65 levels", strings.Repeat("[", 65) + strings.Repeat("]", 65), domain.CodeTooLarge},
		{"10,000 levels", strings.Repeat(`{"a":`, 10_000), domain.CodeTooLarge},
	} {
		_, err := readJSON([]byte(c.body), nil)
		assert.Equal(t, c.code, domain.CodeOf(err), c.name)
	}
	for _, good := range []string{`{}`, `[]`, `1e400`, `"x"`, `{"a":{"a":1},"b":[{"a":1},{"a":2}]}`, `"\ud83d\ude00"`,
		`"\\ud800"`, `"\ufffd"`, strings.Repeat("[", 64) + strings.Repeat("]", 64)} {
		_, err := readJSON([]byte(good), nil)
		assert.NoError(t, err, good)
	}
}

// FuzzReadJSON compares what is read with what encoding/json reads, and the text of opaque objects
// with what it compacts.
func FuzzReadJSON(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"a":[1,{"b":null}],"a":2}`, `[[[[`, "\"\xff\"", `{"a":"\ud800"}`,
		` { "a" : [ 1 , -0.5e+3, true,false ,null, "\ud83d\ude00\n" ] } `, `01`, `1.`, `-`, `[1,]`,
		`{"\u0061":1,"b":{"a":2}}`, `nul`, "\"\t\"", `"\x"`, `"\u00zz"`, "\x00", "{}\x00",
	} {
		f.Add([]byte(s))
	}
	opaque := &openapi3.Schema{Extensions: map[string]any{"x-opaque": true}}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := readJSON(body, nil)
		if err == nil {
			d := json.NewDecoder(bytes.NewReader(body))
			d.UseNumber()
			var want any
			if !json.Valid(body) || d.Decode(&want) != nil || !assert.ObjectsAreEqual(want, got) {
				t.Fatalf("read %q as %#v", body, got)
			}
		} else if json.Valid(body) && strings.Contains(err.Error(), "well-formed") {
			t.Fatalf("refused %q: %v", body, err)
		}
		text, oerr := readJSON(body, opaque)
		if _, isObject := got.(map[string]any); err == nil && isObject != (oerr == nil) {
			t.Fatalf("%q: opaque: %v", body, oerr)
		}
		if oerr == nil {
			var want bytes.Buffer
			if err != nil || json.Compact(&want, body) != nil || want.String() != text {
				t.Fatalf("read %q as %q, and %v", body, text, err)
			}
		}
	})
}

func TestCursor_WhenUsedForAnotherList_IsRefused(t *testing.T) {
	c := cursors{key: []byte("k")}
	s, err := c.encode(42, "acme|status=PENDING")
	require.NoError(t, err)
	var got int
	require.NoError(t, c.decode(s, &got, "acme|status=PENDING"))
	assert.Equal(t, 42, got)
	for name, err := range map[string]error{
		"another customer": c.decode(s, &got, "rival|status=PENDING"),
		"another filter":   c.decode(s, &got, "acme|"),
		"another key":      cursors{key: []byte("x")}.decode(s, &got, "acme|status=PENDING"),
		"cut off":          c.decode(s[:len(s)-2], &got, "acme|status=PENDING"),
		"empty":            c.decode("", &got, ""),
	} {
		assert.Equal(t, domain.CodeInvalidInput, domain.CodeOf(err), name)
	}
}

func FuzzCursor(f *testing.F) {
	c := cursors{key: []byte("k")}
	good, err := c.encode(position{ID: "wl_1"}, "b")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, s string) {
		var p position
		if c.decode(s, &p, "b") == nil && s != good {
			// Only what was signed is accepted; base64 has no second spelling of it here.
			again, err := c.encode(p, "b")
			if err != nil || again != strings.NewReplacer("\r", "", "\n", "").Replace(s) {
				t.Fatalf("accepted %q", s)
			}
		}
	})
}

// The OpenAPI file says 3.1. Requests are checked by the validator for 3.0, which is ten times
// faster. The two must agree on everything that the file uses.
func TestValidator_WhateverTheBody_AgreesWithTheOneForOpenAPI31(t *testing.T) {
	spec, err := openapi3.NewLoader().LoadFromData(openapi.YAML)
	require.NoError(t, err)
	ops, err := loadOperations()
	require.NoError(t, err)
	submit := func(rest string) string { return `{"workload_type":"t","input_params":{}` + rest + `}` }
	for _, c := range []struct{ op, body string }{
		{"POST /v1/workloads", submit("")},
		{"POST /v1/workloads", submit(`,"priority":1000`)},
		{"POST /v1/workloads", submit(`,"priority":1001`)},
		{"POST /v1/workloads", submit(`,"priority":1.5`)},
		{"POST /v1/workloads", submit(`,"priority":null`)},
		{"POST /v1/workloads", submit(`,"nope":1`)},
		{"POST /v1/workloads", submit(`,"run_at":"2026-01-02T03:04:05Z"`)},
		{"POST /v1/workloads", submit(`,"run_at":"tomorrow"`)},
		{"POST /v1/workloads", submit(`,"run_at":null`)},
		{"POST /v1/workloads", submit(`,"labels":{"a":"b"}`)},
		{"POST /v1/workloads", submit(`,"labels":{"a":1}`)},
		{"POST /v1/workloads", submit(`,"affinity_rules":{"hard_affinity":{"worker_tags":{"gpu":"a"}}}`)},
		{"POST /v1/workloads", submit(`,"affinity_rules":{"hard_affinity":{"worker_tags":["gpu"]}}`)},
		{"POST /v1/workloads", submit(`,"affinity_rules":{"very_hard":{}}`)},
		{"POST /v1/workloads", `{"workload_type":"t"}`},
		{"POST /v1/workloads", `{"workload_type":7,"input_params":{}}`},
		{"POST /v1/workloads", `{"workload_type":"t","input_params":[]}`},
		{"POST /v1/workloads", `[]`},
		{"POST /v1/workloads/batch", `{"workloads":[` + submit("") + `]}`},
		{"POST /v1/workloads/batch", `{"workloads":[]}`},
		{"POST /v1/workloads/batch", `{"workloads":{}}`},
		{"POST /v1/workload-configs", `{"workload_type":"t","config_json":null}`},
		{"POST /v1/workload-configs", `{"workload_type":"t","config_json":{"a":1},"max_retries":0}`},
		{"POST /v1/workload-configs", `{"workload_type":"t","config_json":[]}`},
		{"POST /v1/workload-configs", `{"workload_type":"t","max_retries":-1}`},
		{"POST /v1/admin/customers", `{"name":"n","tier":"free","limits":{"rate_limit_per_sec":0.5}}`},
		{"POST /v1/admin/customers", `{"name":"n","tier":"free","limits":{"rate_limit_per_sec":0}}`},
		{"POST /v1/admin/customers", `{"name":"n","tier":"gold"}`},
		{"POST /v1/admin/customers", `{"name":"","tier":"free"}`},
	} {
		op, ok := ops[c.op]
		require.True(t, ok, c.op)
		schema := op.body.schema
		value, err := readJSON([]byte(c.body), schema)
		if err != nil {
			assert.Equal(t, domain.CodeInvalidInput, domain.CodeOf(err), c.body)
			continue
		}
		fast, full := schema.VisitJSON(value, openapi3.VisitAsRequest()), schema.VisitJSON(value,
			openapi3.VisitAsRequest(), openapi3.EnableJSONSchema2020())
		assert.Equal(t, full == nil, fast == nil, "%s %s: %v / %v", c.op, c.body, fast, full)
	}
	require.True(t, spec.IsOpenAPI31OrLater())
}
