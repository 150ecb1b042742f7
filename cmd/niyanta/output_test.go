package main

import (
	"bytes"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestTable_WhenTooWide_TruncatesTextThenLeavesOutColumns(t *testing.T) {
	columns := []column{{name: "ID"}, {name: "NOTE", text: true}, {name: "STATUS", rank: 1}, {name: "WORKER", rank: 2}}
	rows := func() [][]string {
		return [][]string{{"wl_0123456789", "a note that is\nfar too long for this", "RUNNING", "worker-1"}}
	}
	for width, want := range map[int]string{
		0: "ID             NOTE                                  STATUS   WORKER\nwl_0123456789  a note that is " +
			"far too long for this  RUNNING  worker-1\n",
		70: "ID             NOTE                                  STATUS   WORKER\nwl_0123456789  a note that is " +
			"far too long for this  RUNNING  worker-1\n",
		50: "ID             NOTE              STATUS   WORKER\nwl_0123456789  a note that is …  RUNNING  worker-1\n",
		40: "ID             NOTE              STATUS\nwl_0123456789  a note that is …  RUNNING\n",
		30: "ID             NOTE\nwl_0123456789  a note that is…\n",
		10: "ID             NOTE\nwl_0123456789  a note that…\n", // ids are whole whatever it takes
	} {
		var out bytes.Buffer
		require.NoError(t, writeTable(&out, columns, rows(), width))
		assert.Equal(t, want, out.String(), "%d columns", width)
	}
}

func TestTable_WhenTooWide_LeavesOutEmptyColumnsFirst(t *testing.T) {
	columns := []column{{name: "ID"}, {name: "REASON", text: true}, {name: "WORKER", rank: 1}}
	var out bytes.Buffer
	require.NoError(t, writeTable(&out, columns, [][]string{{"wl_0123456789", "", "worker-1"}, {"wl_1", "-", "-"}}, 26))
	assert.Equal(t, "ID             WORKER\nwl_0123456789  worker-1\nwl_1           -\n", out.String())
}

func TestDetails_OnATerminal_GoOnInTheirColumn(t *testing.T) {
	var out bytes.Buffer
	long := [][2]string{{"status", "FAILED"}, {"error", "a message of many words that is long"}}
	require.NoError(t, writeDetails(&out, long, 30))
	assert.Equal(t, "status  FAILED\nerror   a message of many\n        words that is long\n", out.String())
	out.Reset()
	require.NoError(t, writeDetails(&out, [][2]string{{"error", "\x1b[31mred\u009b"}}, 0))
	assert.Equal(t, "error  \uFFFD[31mred\uFFFD\n", out.String())
	for _, mark := range "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" {
		out.Reset()
		require.NoError(t, writeDetails(&out, [][2]string{{"name", "a" + string(mark) + "b"}}, 0))
		assert.Equal(t, "name  a\uFFFDb\n", out.String(), "%U", mark)
	}
	assert.Equal(t, "שלום, مرحبا, 你好\t\n", printable("שלום, مرحبا, 你好\t\n"), "text of any language stays")
}

func TestLists_AsJSON_HaveTheShapeOfTheAPI(t *testing.T) {
	sh, admin, c := shells(t)
	id := c.submitAs(sh.key, "exec", `{"command":["sh","-c","echo one; echo two"]}`)
	c.eventually(func() bool { return c.getAs(sh.key, id).Status == "COMPLETED" }, "it ran")
	sh.json(&struct{}{}, "config-set", "create", "--body", `{"workload_type":"sleep"}`)
	cust := c.getAs(sh.key, id).CustomerID
	for _, x := range []struct {
		sh   shell
		path string
		name string
		args []string
	}{
		{sh, "/v1/workloads", "workloads", []string{"workload", "list"}},
		{sh, "/v1/workloads/" + id + "/logs", "logs", []string{"workload", "logs", id}},
		{sh, "/v1/workloads/" + id + "/audit", "events", []string{"workload", "audit", id}},
		{sh, "/v1/workload-configs", "configs", []string{"config-set", "list"}},
		{admin, "", "workers", []string{"worker", "list"}}, // heartbeats change it
		{admin, "/v1/admin/customers/" + cust + "/keys", "keys", []string{"key", "list", cust}},
	} {
		var list map[string]json.RawMessage
		var items []json.RawMessage
		var printed json.RawMessage
		x.sh.json(&printed, x.args...)
		require.NoError(t, json.Unmarshal(printed, &list))
		require.NoError(t, json.Unmarshal(list[x.name], &items), "%v: %s", x.args, printed)
		require.NotEmpty(t, items, "%v", x.args)
		if x.path != "" {
			var answer map[string]json.RawMessage
			require.NoError(t, json.Unmarshal([]byte(c.raw(x.sh.key, x.path)), &answer))
			for name, value := range list {
				assert.JSONEq(t, string(answer[name]), string(value), "%v: %s", x.args, name)
			}
		}
		out, errs, code := x.sh.run("", append(x.args, "-o", "jsonl")...)
		require.Equal(t, exitDone, code, errs)
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		require.Len(t, lines, len(items), "%v", x.args)
		for i, l := range lines {
			if x.path != "" {
				assert.JSONEq(t, string(items[i]), l)
			}
		}
	}
	var customers struct{ Customers []niyanta.Customer }
	admin.json(&customers, "customer", "list")
	assert.Len(t, customers.Customers, 2)
	out, _, _ := sh.run("", "workload", "list", "--type", "none", "-o", "json")
	assert.Contains(t, out, `"workloads": []`)
}

// completions returns the completions of a command line.
func (s shell) completions(args ...string) string {
	s.t.Helper()
	s.t.Setenv("NIYANTA_URL", s.url)
	s.t.Setenv("NIYANTA_API_KEY", s.key)
	var out, errs bytes.Buffer
	require.Equal(s.t, exitDone, run(append([]string{"__complete"}, args...), strings.NewReader(""), &out, &errs))
	assert.NotContains(s.t, errs.String(), "niyanta:", "completion is silent")
	return out.String()
}

// offered returns the completions of a command line, which include want. A shell waits for the API only
// shortly, so the command line is completed again until the API was quick enough.
func (s shell) offered(want string, args ...string) (all string) {
	s.t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if all = s.completions(args...); strings.Contains(all, want) {
			return all
		}
	}
	require.Fail(s.t, "not offered", "%s in %s", want, all)
	return ""
}

func TestCompletion_OfIDsAndTypes_OffersThoseOfTheAPI(t *testing.T) {
	sh, admin, c := shells(t)
	done := c.submitAs(sh.key, "sleep", `{}`)
	c.eventually(func() bool { return c.getAs(sh.key, done).Status == "COMPLETED" }, "it ran")
	waits := c.submitAs(sh.key, "resize", `{}`)
	var cfg niyanta.WorkloadConfig
	sh.json(&cfg, "config-set", "create", "--body", `{"workload_type":"transcode"}`)
	cust := c.getAs(sh.key, done).CustomerID
	var key niyanta.NewKey
	admin.json(&key, "key", "create", cust, "--role", "viewer")

	all := sh.offered(done+"\tsleep COMPLETED", "workload", "get", "")
	assert.Contains(t, all, waits+"\tresize PENDING")
	assert.NotContains(t, sh.offered(waits, "workload", "cancel", ""), done)
	assert.NotContains(t, sh.completions("workload", "get", done, ""), "wl_", "there is no second argument")
	for _, name := range []string{"sleep\n", "resize\n", "transcode\n"} {
		sh.offered(name, "workload", "submit", "")
	}
	sh.offered("resize\n", "workload", "list", "--type", "")
	assert.Contains(t, sh.completions("workload", "list", "--status", ""), "REDISTRIBUTING\n")
	sh.offered(cfg.ConfigID+"\ttranscode", "config-set", "delete", "")
	admin.offered("http\n", "workload", "submit", "") // the workers' types
	admin.offered(done, "workload", "get", "")        // those of all customers
	admin.offered("w1\tHEALTHY", "worker", "drain", "")
	admin.offered(cust+"\tCLI", "customer", "get", "")
	admin.offered(cust, "key", "revoke", "")
	admin.offered(key.KeyID+"\tviewer", "key", "revoke", cust, "")
	assert.Contains(t, admin.completions("worker", "list", "-o", ""), "jsonl\n")
}

func TestCompletion_WithoutAnAnswer_IsEmptyAndQuick(t *testing.T) {
	silent, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0") // accepts, and never answers
	require.NoError(t, err)
	defer func() { _ = silent.Close() }()
	for _, s := range []shell{{t, "http://" + silent.Addr().String(), "k"}, {t, "http://127.0.0.1:1", "k"}, {t, "", ""}} {
		begin := testfiles.StartStopwatch(t)
		assert.NotContains(t, s.completions("workload", "get", ""), "wl_")
		assert.Less(t, begin.Took(), 2*completionTimeout)
	}
}

func TestCommands_Help_HasAnExample(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Name() == "help" || cmd.Name() == "completion" {
			return
		}
		assert.NotEmpty(t, cmd.Short, cmd.CommandPath())
		assert.False(t, strings.HasSuffix(cmd.Short, "."), cmd.CommandPath())
		if cmd.Runnable() && !isGroup(cmd) {
			assert.True(t, strings.HasPrefix(cmd.Example, "  "), "%s has no example", cmd.CommandPath())
			assert.Contains(t, cmd.Example, cmd.CommandPath())
		}
		for l := range strings.Lines(cmd.Long) {
			assert.LessOrEqual(t, len(l), 101, cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(rootCommand(t.Context()))
}

// isGroup reports whether a command has only subcommands.
func isGroup(cmd *cobra.Command) bool {
	return cmd.HasSubCommands() && cmd.Annotations[server] == "" && cmd.HasParent()
}
