package terraform_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var write = flag.Bool("write", false, "write the files in their canonical form")

// module is what the files of a module declare and use.
type module struct {
	problems []string
	// declared are the addresses that may be referred to, as "var.name", "local.name", "data.type.name"
	// and "type.name", with their blocks.
	declared map[string]*hclsyntax.Block
	// repeated are those with count or for_each.
	repeated map[string]bool
	used     map[string]bool
}

func (m *module) problem(at hcl.Range, format string, args ...any) {
	m.problems = append(m.problems, fmt.Sprintf("%s:%d: %s", at.Filename, at.Start.Line, fmt.Sprintf(format, args...)))
}

func sources(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("*.tf")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(names), 8)
	out := map[string]string{}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		require.NoError(t, err)
		out[name] = string(raw)
	}
	return out
}

// check parses the files of a module and returns what is wrong with it.
func check(files map[string]string) *module {
	m := &module{declared: map[string]*hclsyntax.Block{}, repeated: map[string]bool{}, used: map[string]bool{}}
	var bodies []*hclsyntax.Body
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, diags := hclsyntax.ParseConfig([]byte(files[name]), name, hcl.InitialPos)
		for _, d := range diags {
			m.problem(*d.Subject, "%s: %s", d.Summary, d.Detail)
		}
		body, ok := f.Body.(*hclsyntax.Body)
		if diags.HasErrors() || !ok {
			continue
		}
		bodies = append(bodies, body)
		for _, b := range body.Blocks {
			m.declare(b)
		}
	}
	for _, body := range bodies {
		for _, b := range body.Blocks {
			m.references(b, b.Body, nil)
			m.schema(b)
		}
	}
	for address, b := range m.declared {
		kind, _, _ := strings.Cut(address, ".")
		if slices.Contains([]string{"var", "local", "data", "ephemeral"}, kind) && !m.used[address] {
			m.problem(b.DefRange(), "%s is not used", address)
		}
	}
	return m
}

func (m *module) declare(b *hclsyntax.Block) {
	var addresses []string
	switch b.Type {
	case "variable":
		addresses = []string{"var." + b.Labels[0]}
		for _, name := range []string{"description", "type"} {
			if b.Body.Attributes[name] == nil {
				m.problem(b.DefRange(), "variable %s has no %s", b.Labels[0], name)
			}
		}
		if a := b.Body.Attributes["type"]; a != nil {
			_, _, diags := typeexpr.TypeConstraintWithDefaults(a.Expr)
			for _, d := range diags {
				m.problem(a.NameRange, "%s: %s", d.Summary, d.Detail)
			}
		}
	case "output":
		if b.Body.Attributes["description"] == nil || b.Body.Attributes["value"] == nil {
			m.problem(b.DefRange(), "output %s needs a description and a value", b.Labels[0])
		}
	case "locals":
		for name := range b.Body.Attributes {
			addresses = append(addresses, "local."+name)
		}
	case "resource":
		addresses = []string{b.Labels[0] + "." + b.Labels[1]}
	case "data", "ephemeral":
		addresses = []string{b.Type + "." + b.Labels[0] + "." + b.Labels[1]}
	case "terraform", "provider":
	default:
		m.problem(b.DefRange(), "unexpected block %s", b.Type)
	}
	for _, a := range addresses {
		if m.declared[a] != nil {
			m.problem(b.DefRange(), "%s is declared twice", a)
		}
		m.declared[a] = b
		m.repeated[a] = b.Type != "locals" && (b.Body.Attributes["count"] != nil || b.Body.Attributes["for_each"] != nil)
	}
}

// references checks what the expressions of a body within a block refer to. iterators are those of
// the dynamic blocks around it.
func (m *module) references(top *hclsyntax.Block, body *hclsyntax.Body, iterators []string) {
	for name, a := range body.Attributes {
		if name == "ignore_changes" || name == "type" && top.Type == "variable" {
			continue // names of attributes and types
		}
		for _, ref := range a.Expr.Variables() {
			m.reference(ref, a.NameRange, iterators, name == "depends_on")
		}
	}
	for _, b := range body.Blocks {
		inner := iterators
		if b.Type == "dynamic" {
			inner = append(slices.Clone(iterators), b.Labels[0])
		}
		m.references(top, b.Body, inner)
	}
}

func (m *module) reference(ref hcl.Traversal, at hcl.Range, iterators []string, whole bool) {
	root := ref.RootName()
	if slices.Contains([]string{"each", "count", "path"}, root) || slices.Contains(iterators, root) {
		return
	}
	steps := []string{root}
	for _, s := range ref[1:] {
		if a, ok := s.(hcl.TraverseAttr); ok {
			steps = append(steps, a.Name)
			continue
		}
		break
	}
	parts := 2
	if root == "data" || root == "ephemeral" {
		parts = 3
	}
	if len(steps) < parts {
		m.problem(at, "%s is not a whole address", strings.Join(steps, "."))
		return
	}
	address := strings.Join(steps[:parts], ".")
	b := m.declared[address]
	if b == nil {
		m.problem(at, "%s is not declared", address)
		return
	}
	m.used[address] = true
	if root == "var" || root == "local" || whole {
		return
	}
	if m.repeated[address] {
		if len(steps) > parts {
			m.problem(at, "%s has several instances: name one", address)
		}
		steps = slices.Delete(steps, parts, len(steps))
		if len(ref) > parts+1 { // behind the index
			if a, ok := ref[parts+1].(hcl.TraverseAttr); ok {
				steps = append(steps, a.Name)
			}
		}
	}
	if len(steps) > parts && !known(b).has(steps[parts]) {
		m.problem(at, "%s has no attribute %s", address, steps[parts])
	}
}

func TestModule_OfThisFolder_IsSound(t *testing.T) {
	assert.Empty(t, check(sources(t)).problems)
}

func TestModule_OfThisFolder_IsInCanonicalForm(t *testing.T) {
	for name, text := range sources(t) {
		formatted := string(hclwrite.Format([]byte(text)))
		if *write {
			require.NoError(t, os.WriteFile(name, []byte(formatted), 0o644)) //nolint:gosec // a source
			continue
		}
		assert.Equal(t, formatted, text, "%s: run go test ./deploy/terraform -write", name)
	}
}

// TestModule_WithAMistake_IsRefused plants mistakes that `terraform validate` would find.
func TestModule_WithAMistake_IsRefused(t *testing.T) {
	for name, x := range map[string]struct{ file, old, replacement, want string }{
		"a variable that is not declared": {"workers.tf", "var.pool.spot ?", "var.spot ?", "var.spot is not declared"},
		"a type that does not exist":      {"variables.tf", "map(string)", "mapping(string)", "Invalid type specification"},
		"a local that is not declared":    {"workers.tf", "local.steps\n", "local.step\n", "local.step is not declared"},
		"a resource that is not declared": {"network.tf", "aws_security_group.nats.id\n  ip_protocol",
			"aws_security_group.bus.id\n  ip_protocol", "aws_security_group.bus is not declared"},
		"an attribute that nothing has": {"outputs.tf", "aws_lb.this.dns_name", "aws_lb.this.dns",
			"aws_lb.this has no attribute dns"},
		"one of several that is not named": {"workers.tf", `aws_secretsmanager_secret.this["nats-url"].arn`,
			"aws_secretsmanager_secret.this.arn", "has several instances"},
		"an argument that is missing": {"workers.tf", "  max_size                  = var.pool.max_workers\n", "",
			"needs max_size"},
		"an argument that is not known": {"database.tf", "multi_az ", "multi_zone ", "has no argument multi_zone"},
		"a block that is not known": {"workers.tf", "metadata_options {", "metadata_option {",
			"has no block metadata_option"},
		"a variable that is not used": {"variables.tf", `variable "region"`,
			"variable \"spare\" {\n  description = \"\"\n  type = string\n}\n\nvariable \"region\"", "var.spare is not used"},
		"a brace that is missing": {"outputs.tf", "output \"url\" {", "output \"url\" ", "Invalid block definition"},
	} {
		t.Run(name, func(t *testing.T) {
			files := sources(t)
			require.Contains(t, files[x.file], x.old)
			files[x.file] = strings.Replace(files[x.file], x.old, x.replacement, 1)
			assert.Contains(t, strings.Join(check(files).problems, "\n"), x.want)
		})
	}
}

// literal returns a string that an attribute states; empty: it states none.
func literal(b *hclsyntax.Block, name string) string {
	a := b.Body.Attributes[name]
	if a == nil {
		return ""
	}
	v, diags := a.Expr.Value(nil)
	if diags.HasErrors() {
		return ""
	}
	return v.AsString()
}

// /ready of all coordinators is 503 while the database is away. A group that took the word of the
// load balancer would replace them all.
func TestGroups_WhoseTargetsAreAskedForReadiness_ReplaceNothingForIt(t *testing.T) {
	declared, found := check(sources(t)).declared, 0
	for address, group := range declared {
		targets := group.Body.Attributes["target_group_arns"]
		if group.Type != "resource" || group.Labels[0] != "aws_autoscaling_group" || targets == nil {
			continue
		}
		for _, ref := range targets.Expr.Variables() {
			last, ok := ref[1].(hcl.TraverseAttr)
			require.True(t, ok)
			for _, b := range declared[ref.RootName()+"."+last.Name].Body.Blocks {
				if b.Type == "health_check" && literal(b, "path") == "/ready" {
					found++
					assert.Equal(t, "EC2", literal(group, "health_check_type"), address)
				}
			}
		}
	}
	assert.Positive(t, found)
}

// Metrics need no key and tell of all customers: the load balancer must not pass them on.
func TestLoadBalancer_OfClients_PassesNoMetricsOn(t *testing.T) {
	rule := check(sources(t)).declared["aws_lb_listener_rule.metrics"]
	require.NotNil(t, rule)
	var action string
	var paths []string
	for _, b := range rule.Body.Blocks {
		switch b.Type {
		case "action":
			action = literal(b, "type")
		case "condition":
			require.Len(t, b.Body.Blocks, 1)
			v, diags := b.Body.Blocks[0].Body.Attributes["values"].Expr.Value(nil)
			require.False(t, diags.HasErrors(), diags)
			for _, path := range v.AsValueSlice() {
				paths = append(paths, path.AsString())
			}
		}
	}
	assert.Equal(t, "fixed-response", action)
	assert.Equal(t, []string{"/metrics"}, paths)
}

// What the pool does not state is not limited: work that is too large for every machine would add machines.
func TestPool_OfTheGroup_SaysHowLargeItsMachinesAre(t *testing.T) {
	_, pool, found := strings.Cut(sources(t)["coordinators.tf"], "pools = jsonencode([{")
	require.True(t, found)
	pool, _, _ = strings.Cut(pool, "}])")
	for _, field := range []string{"cpu", "memory_mb", "disk_mb", "slots", "types", "max_workers"} {
		assert.Regexp(t, `(?m)^\s+`+field+` += `, pool)
	}
}

// A machine runs its script once, and the script ends at the first secret or program that it may not read.
// So what a machine reads, and its right to read it, must be there before.
func TestMachines_ThatReadSecrets_StartAfterTheirSecretsAndRights(t *testing.T) {
	declared := check(sources(t)).declared
	for address, needs := range map[string][]string{
		"aws_instance.nats":                 {"nats_url"},
		"aws_autoscaling_group.coordinator": {"postgres_url", "nats_url", "admin_key", "worker_key"},
		"aws_autoscaling_group.worker":      {"nats_url", "worker_key"},
	} {
		got := map[string]bool{}
		if after := declared[address].Body.Attributes["depends_on"]; after != nil {
			for _, ref := range after.Expr.Variables() {
				last, ok := ref[1].(hcl.TraverseAttr)
				require.True(t, ok)
				got[ref.RootName()+"."+last.Name] = true
			}
		}
		assert.True(t, got["aws_iam_role_policy.machine"], "%s starts before its role may read anything", address)
		for _, name := range needs {
			assert.True(t, got["aws_secretsmanager_secret_version."+name], "%s starts before the secret %s", address, name)
		}
	}
}

// The policy of the exporter grants the rights for what its adapter calls, and no others.
func TestExporter_HasTheRightsThatItsAdapterNeeds(t *testing.T) {
	calls := map[string]bool{}
	paths, err := filepath.Glob("../../adapters/aws/*.go")
	require.NoError(t, err)
	call := regexp.MustCompile(`g\.(autoscaling|cloudwatch)\.([A-Z]\w+)\(ctx`)
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, found := range call.FindAllStringSubmatch(string(raw), -1) {
			calls[found[1]+":"+found[2]] = true
		}
	}
	require.Len(t, calls, 5)
	granted := map[string]bool{}
	action := regexp.MustCompile(`"((autoscaling|cloudwatch):[A-Z]\w+)"`)
	for _, found := range action.FindAllStringSubmatch(sources(t)["iam.tf"], -1) {
		granted[found[1]] = true
	}
	assert.Equal(t, calls, granted)
}
