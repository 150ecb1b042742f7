package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestCommandLine_WhenAValueIsEmpty_RefusesItByName(t *testing.T) {
	for _, c := range []struct{ want, args string }{
		{"--type", "workload cancel --status PENDING --type "},
		{"--status", "workload cancel --all --status "},
		{"--label", "workload pause --all --label "},
		{"--created-before", "workload cancel --all --created-before "},
		{"--customer", "workload list --customer "},
		{"--context", "workload list --context "},
		{"--url", "workload list --url "},
		{"--api-key", "workload list --api-key "},
		{"--worker-ids", "key create --role worker --name w --worker-ids "},
		{"--idempotency-key", "workload submit sleep --idempotency-key "},
		{"--run-at", "workload submit sleep --run-at "},
		{"--affinity", "workload submit sleep --affinity "},
		{"--actor", "audit --actor "},
		{"argument 1", "workload cancel "},
		{"argument 1", "workload get "},
		{"argument 2", "workload cancel wl_1 "},
		{"argument 1", "worker remove "},
		{"argument 1", "customer delete "},
	} {
		args := strings.Split(c.args, " ")
		if !strings.Contains(c.want, "api-key") {
			args = append([]string{"--api-key", "k"}, args...)
		}
		var out, errs bytes.Buffer
		assert.Equal(t, exitUsage, run(args, strings.NewReader(""), &out, &errs), "%v: %s", args, errs.String())
		assert.Contains(t, errs.String(), c.want+" must not be empty; see ", "%v", args)
		assert.Empty(t, out.String())
	}
}

func TestCommandLine_WhenALoopBeginsWithAnEmptyCursor_ListsFromTheBeginning(t *testing.T) {
	sh, _, _ := shells(t)
	out, errs, code := sh.run("", "workload", "list", "-o", "json", "--cursor", "")
	assert.Zero(t, code, errs)
	assert.Contains(t, out, "pagination")
}
