package openapi_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/niyanta/niyanta/api/openapi"
)

// constants returns the string constants of the packages in the folders whose type or, if they have
// none, whose name's beginning is given: "Status", or "Failure*".
func constants(t *testing.T, of string, folders ...string) []string {
	t.Helper()
	var found []string
	for _, folder := range folders {
		files, err := filepath.Glob(filepath.Join("..", "..", folder, "*.go"))
		require.NoError(t, err)
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			require.NoError(t, err)
			for _, decl := range parsed.Decls {
				if group, ok := decl.(*ast.GenDecl); ok && group.Tok == token.CONST {
					found = append(found, constantsOf(group, of)...)
				}
			}
		}
	}
	require.NotEmpty(t, found, "no constants %s in %v", of, folders)
	slices.Sort(found)
	return slices.Compact(found)
}

func constantsOf(group *ast.GenDecl, of string) (found []string) {
	prefix, untyped := strings.CutSuffix(of, "*")
	for _, s := range group.Specs {
		spec := s.(*ast.ValueSpec)
		if len(spec.Values) == 0 {
			continue
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			continue
		}
		kind, _ := spec.Type.(*ast.Ident)
		if kind != nil && kind.Name == of || untyped && kind == nil && strings.HasPrefix(spec.Names[0].Name, prefix) {
			if value, err := strconv.Unquote(literal.Value); err == nil && value != "" {
				found = append(found, value)
			}
		}
	}
	return found
}

// enums returns every enum of the file by where it stands.
func enums(t *testing.T) map[string][]string {
	t.Helper()
	var doc any
	require.NoError(t, yaml.Unmarshal(openapi.YAML, &doc))
	found := map[string][]string{}
	var walk func(at string, node any)
	walk = func(at string, node any) {
		switch node := node.(type) {
		case []any:
			for i, item := range node {
				name := strconv.Itoa(i)
				if m, ok := item.(map[string]any); ok && m["name"] != nil {
					name = fmt.Sprint(m["name"])
				}
				walk(at+"/"+name, item)
			}
		case map[string]any:
			for key, item := range node {
				values, ok := item.([]any)
				if key != "enum" || !ok {
					walk(at+"/"+key, item)
					continue
				}
				for _, v := range values {
					found[at] = append(found[at], fmt.Sprint(v))
				}
			}
		}
	}
	walk("", doc)
	return found
}

// TestEnums_ListWhatTheCodeSends compares each enum of the file with the constants of the code, and
// finds enums that nothing is known of.
func TestEnums_ListWhatTheCodeSends(t *testing.T) {
	const domain, ports, web = "core/domain", "core/ports", "adapters/http"
	sent := func(of string, folders ...string) []string { return constants(t, of, folders...) }
	only := func(all []string, prefix string) (some []string) {
		for _, v := range all {
			if strings.HasPrefix(v, prefix) {
				some = append(some, v)
			}
		}
		return some
	}
	without := func(all []string, not ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(v string) bool { return slices.Contains(not, v) })
	}
	const schemas = "/components/schemas/"
	dependencies := schemas + "Readiness/properties/dependencies/properties/"
	known := map[string][]string{
		schemas + "Status":                          sent("Status", domain),
		schemas + "ErrorCode":                       sent("Code", domain),
		schemas + "EventType":                       only(sent("AuditType", domain), "workload."),
		schemas + "WorkerEventType":                 only(sent("AuditType", domain), "worker."),
		schemas + "ActorType":                       sent("ActorKind", domain),
		schemas + "AdminAction":                     sent("AdminAction", domain),
		schemas + "AdminTargetType":                 sent("TargetKind", domain),
		schemas + "LiveEvent/properties/type":       sent("StreamKind", domain),
		schemas + "Tier":                            sent("Tier", domain),
		schemas + "KeyRole":                         {"customer", "viewer"},
		schemas + "OperatorRole":                    without(sent("Role", domain), "customer", "viewer"),
		schemas + "WorkerStatus":                    sent("WorkerStatus", domain),
		schemas + "Confidence":                      sent("Confidence", domain+"/placement"),
		schemas + "PlacementReason/properties/code": sent("ReasonCode", domain+"/placement"),
		schemas + "EncodedResult/properties/reason": sent("Flaw", domain),
		schemas + "ReportAnswer/properties/outcome": sent("Outcome", domain),
		schemas + "Command/properties/kind":         sent("CommandKind", ports),
		schemas + "Heartbeat/properties/inventory/items/properties/state": sent("RunState", ports),
		dependencies + "database":                                   sent("Dependency", web),
		dependencies + "broker":                                     without(sent("Dependency", web), "not_writable"),
		dependencies + "rate_limiter":                               without(sent("Dependency", web), "not_writable"),
		dependencies + "archive":                                    without(sent("Dependency", web), "not_writable"),
		dependencies + "checkpoints":                                without(sent("Dependency", web), "not_writable"),
		dependencies + "replica":                                    without(sent("Dependency", web), "not_writable"),
		dependencies + "identity_provider":                          without(sent("Dependency", web), "not_writable"),
		dependencies + "encryption_keys":                            sent("EncryptionState", web),
		dependencies + "certificate":                                sent("CertificateState", web),
		"/paths//v1/workloads/get/parameters/order_by/schema":       sent("OrderBy", ports),
		"/paths//v1/admin/workloads/get/parameters/order_by/schema": sent("OrderBy", ports),
		"/paths//v1/customer/stats/get/parameters/group_by/schema":  sent("Grouping", domain),

		"/paths//v1/admin/customers/{id}/stats/get/parameters/group_by/schema": sent("Grouping", domain),

		// What a worker may report: checkpoints are uploaded, the rest is the leader's or the API's.
		schemas + "Report/properties/event": {
			"complete", "decline", "fail", "log", "paused", "progress", "release", "start",
		},
		// These stand in the file only; the Go constants are made from it.
		schemas + "Readiness/properties/status":               {"degraded", "ready", "unavailable"},
		schemas + "Health/properties/status":                  {"healthy"},
		schemas + "EncodedResult/properties/encoding":         {"base64"},
		schemas + "Order":                                     {"asc", "desc"},
		"/paths//v1/admin/audit/get/parameters/format/schema": {"json", "jsonl"},
		schemas + "Session/properties/role":                   {"admin", "customer", "viewer"},
		"/components/headers/WWW-Authenticate/schema":         {"Bearer"},
	}
	levels := sent("Level*", domain)
	known[schemas+"LogLine/properties/level"] = levels
	known[schemas+"LiveEvent/properties/level"] = levels
	known[schemas+"Report/properties/lines/items/properties/level"] = levels
	roles := append([]string{}, known[schemas+"KeyRole"]...)
	assert.ElementsMatch(t, sent("Role", domain), append(roles, known[schemas+"OperatorRole"]...), "roles")

	found := enums(t)
	for at, values := range found {
		want, ok := known[at]
		if !assert.True(t, ok, "the enum at %s is not compared with anything", at) {
			continue
		}
		assert.ElementsMatch(t, want, values, at)
	}
	for at := range maps.Keys(known) {
		assert.Contains(t, found, at)
	}
}

// TestErrorTypes_NameWhatThePlatformSets covers the types of failures. Workloads add their own, so
// that they are no enum.
func TestErrorTypes_NameWhatThePlatformSets(t *testing.T) {
	property := load(t).Components.Schemas["Workload"].Value.Properties["error_type"].Value
	for _, kind := range constants(t, "Failure*", "core/domain") {
		assert.Contains(t, property.Examples, kind)
		assert.Contains(t, property.Description, "`"+kind+"`")
	}
}
