package terraform_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"github.com/niyanta/niyanta/adapters/workloads"
	"github.com/niyanta/niyanta/bootstrap"
)

func template(t *testing.T, name string) hclsyntax.Expression {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("templates", name))
	require.NoError(t, err)
	e, diags := hclsyntax.ParseTemplate(raw, name, hcl.InitialPos)
	require.False(t, diags.HasErrors(), diags)
	return e
}

// given returns the variables that each call of templatefile gives its template.
func given(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for name, text := range sources(t) {
		f, diags := hclsyntax.ParseConfig([]byte(text), name, hcl.InitialPos)
		require.False(t, diags.HasErrors())
		body, ok := f.Body.(*hclsyntax.Body)
		require.True(t, ok)
		_ = hclsyntax.VisitAll(body, func(n hclsyntax.Node) hcl.Diagnostics { // it returns none
			call, ok := n.(*hclsyntax.FunctionCallExpr)
			if !ok || call.Name != "templatefile" {
				return nil
			}
			at := call.Args[0].Range()
			path := text[at.Start.Byte:at.End.Byte]
			object, ok := call.Args[1].(*hclsyntax.ObjectConsExpr)
			require.True(t, ok)
			var names []string
			for _, item := range object.Items {
				names = append(names, hcl.ExprAsKeyword(item.KeyExpr))
			}
			slices.Sort(names)
			out[strings.Trim(filepath.Base(path), `"`)] = names
			return nil
		})
	}
	return out
}

func TestTemplates_OfMachines_GetTheVariablesThatTheyUse(t *testing.T) {
	all := given(t)
	files, err := filepath.Glob("templates/*.sh")
	require.NoError(t, err)
	require.Len(t, all, len(files))
	for name, names := range all {
		used := map[string]bool{}
		for _, v := range template(t, name).Variables() {
			used[v.RootName()] = true
		}
		var list []string
		for v := range used {
			list = append(list, v)
		}
		slices.Sort(list)
		assert.Equal(t, names, list, name)
	}
}

func render(t *testing.T, name string, values map[string]cty.Value) string {
	t.Helper()
	out, diags := template(t, name).Value(&hcl.EvalContext{
		Variables: values, Functions: map[string]function.Function{"length": stdlib.LengthFunc},
	})
	require.False(t, diags.HasErrors(), diags)
	return out.AsString()
}

func text(s string) cty.Value { return cty.StringVal(s) }

var variables = map[string]cty.Value{
	"region": text("eu-central-1"), "fetch": text("true"), "prepare": text("true"), "api_port": cty.NumberIntVal(8080),
	"pools": text(`[{"name":"main","types":["sleep","exec","exec:sh"],"slots":10,"min_workers":1,` +
		`"max_workers":9}]`),
	"postgres_secret": text("arn:p"), "nats_secret": text("arn:n"), "admin_secret": text("arn:a"),
	"worker_secret": text("arn:w"), "scaler_secret": text("arn:s"), "pool": text("main"), "group": text("workers"),
	"hook": text("drain"), "metric_namespace": text("Niyanta"), "secrets_version": cty.NumberIntVal(1),
	"replicas": cty.ListVal([]cty.Value{text("r1:5432"), text("r2:5432")}), "url": text("https://niyanta.example.com"),
	"slots": cty.NumberIntVal(10), "disk_mb": cty.NumberIntVal(40960), "exec_allow": text("sh,ls"),
	"exec_uids":     text("2000000000-2000009999"),
	"drain_timeout": cty.NumberIntVal(300), "spot": cty.True,
	"secret": text("arn:n"), "addresses": cty.ListVal([]cty.Value{text("10.0.0.1"), text("10.0.1.1")}),
	"bucket": text("programs"), "key": text("niyanta"), "path": text("/usr/local/bin/niyanta"),
	"sha256": text(strings.Repeat("0", 64)),
}

func with(name string, v cty.Value) map[string]cty.Value {
	out := map[string]cty.Value{}
	for n, old := range variables {
		out[n] = old
	}
	out[name] = v
	return out
}

func TestTemplates_Rendered_AreScriptsOfAShell(t *testing.T) {
	for name, values := range map[string]map[string]cty.Value{
		"coordinator.sh": variables, "worker.sh": variables, "nats.sh": variables, "fetch.sh": variables,
		"prepare.sh":      variables,
		"coordinator.sh ": with("scaler_secret", text("")), "worker.sh ": with("spot", cty.False),
		"coordinator.sh  ": with("replicas", cty.ListValEmpty(cty.String)),
	} {
		script := render(t, strings.TrimSpace(name), values)
		cmd := exec.CommandContext(t.Context(), "bash", "-n")
		cmd.Stdin = strings.NewReader(script)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s\n%s", name, out, script)
		assert.NotContains(t, script, "%{", name)
	}
}

// Machines are replaced when what they begin with changes. The secrets are not in it, but their version is.
func TestMachines_ThatReadSecrets_ChangeWithTheirVersion(t *testing.T) {
	for _, name := range []string{"coordinator.sh", "worker.sh", "nats.sh"} {
		other := render(t, name, with("secrets_version", cty.NumberIntVal(2)))
		assert.NotEqual(t, render(t, name, variables), other, name)
	}
}

func TestMachines_ThatReadSecrets_PrepareBefore(t *testing.T) {
	for _, name := range []string{"coordinator.sh", "worker.sh"} {
		script := render(t, name, with("prepare", text(render(t, "prepare.sh", variables))))
		made, read := strings.Index(script, "\nsecret() {"), strings.Index(script, "\nsecret 'arn:")
		assert.Positive(t, made, name)
		assert.Greater(t, read, made, name)
		assert.Contains(t, script, "--region 'eu-central-1' --secret-id", name)
	}
}

// settings returns the settings in the files that a script writes below /etc/niyanta.
func settings(script, file string) (env []string) {
	for _, part := range regexp.MustCompile(`(?s)cat >+ /etc/niyanta/`+file+` <<'?SETTINGS'?\n(.*?)\nSETTINGS`).
		FindAllStringSubmatch(script, -1) {
		for line := range strings.SplitSeq(part[1], "\n") {
			name, value, set := strings.Cut(line, "=")
			if !set || strings.HasPrefix(name, "#") {
				continue
			}
			env = append(env, name+"="+strings.Trim(value, "'"))
		}
	}
	return env
}

func TestMachines_WithTheirSettings_Start(t *testing.T) {
	dir := t.TempDir()
	for name, value := range map[string]string{
		"postgres-url": "postgres://niyanta:p@db:5432/niyanta?sslmode=verify-full",
		"nats-url":     "nats://niyanta:p@10.0.0.1:4222",
		"admin-key":    "admin-key-of-tests-0123456789-abcdef", "worker-key": "worker-key-of-tests-0123456789-abcde",
		"scaler-key": "nyt_scaler_0123456789",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(value), 0o600))
	}
	for _, x := range []struct {
		script, file string
		role         bootstrap.Role
		least        int
	}{
		{"coordinator.sh", "coordinator.env", bootstrap.RoleCoordinator, 9},
		{"coordinator.sh", "exporter.env", bootstrap.RoleScaleExporter, 8},
		{"worker.sh", "worker.env", bootstrap.RoleWorker, 14},
	} {
		env := settings(render(t, x.script, variables), x.file)
		require.GreaterOrEqual(t, len(env), x.least, x.file)
		for i := range env {
			env[i] = strings.NewReplacer("/etc/niyanta/secrets", dir, "$instance", "i-0123456789abcdef0").Replace(env[i])
		}
		cfg, err := bootstrap.Load(env)
		require.NoError(t, err, x.file)
		require.NoError(t, cfg.Validate(x.role), x.file)
	}
}

// /tmp of Amazon Linux 2023 is in memory: what programs write there would be taken from it.
func TestWorker_OfPrograms_KeepsTheirFilesOnTheDisk(t *testing.T) {
	env := settings(render(t, "worker.sh", variables), "worker.env")
	assert.Contains(t, env, "TMPDIR=/var/tmp")
	assert.Contains(t, env, "NIYANTA_WORKER_DISK_MB=40960")
}

// A program that reaches the metadata service has the machine's role, and so the worker's key. The
// worker does not start without the rule, and not without users of their own for programs.
func TestWorker_OfPrograms_KeepsTheirUsersFromTheMetadataService(t *testing.T) {
	values := with("exec_uids", text("70000-70999"))
	script := render(t, "worker.sh", values)
	assert.Contains(t, settings(script, "worker.env"), "NIYANTA_EXEC_UIDS=70000-70999")
	require.NoError(t, workloads.ValidateUsers("70000-70999"))
	_, unit, found := strings.Cut(script, "niyanta-worker.service <<'UNIT'\n")
	require.True(t, found)
	unit, _, _ = strings.Cut(unit, "\nUNIT\n")
	rule := "pref 1 to 169.254.169.254/32 uidrange 70000-70999 prohibit\n"
	assert.Contains(t, unit, "\nExecStartPre=-/usr/sbin/ip rule del "+rule+"ExecStartPre=/usr/sbin/ip rule add "+rule)
	assert.NotContains(t, unit, "\nUser=", "only root gives programs users of their own")
	assert.Regexp(t, `exec_uids += "2000000000-2000009999"`, sources(t)["workers.tf"], "no other program has these")
}

// The URLs of the replicas are that of the primary with other hosts.
func TestCoordinator_OfReplicas_GetsTheirURLs(t *testing.T) {
	script := render(t, "coordinator.sh", variables)
	_, part, found := strings.Cut(script, "(umask 077 && {\n")
	require.True(t, found)
	part, _, found = strings.Cut(part, " > /etc/niyanta/secrets/replica-urls")
	require.True(t, found)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "postgres-url"),
		[]byte("postgres://niyanta:secret@db:5432/niyanta?sslmode=verify-full"), 0o600))
	cmd := exec.CommandContext(t.Context(), "bash", "-c", strings.ReplaceAll(part, "/etc/niyanta/secrets", dir))
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Equal(t, "postgres://niyanta:secret@r1:5432/niyanta?sslmode=verify-full,"+
		"postgres://niyanta:secret@r2:5432/niyanta?sslmode=verify-full", string(bytes.TrimSpace(out)))
}
