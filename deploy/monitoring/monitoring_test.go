package monitoring_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const (
	metricsPage = "../../docs/operations/metrics.md"
	runbooks    = "../../docs/operations/runbooks/"
	runbookURL  = "https://github.com/niyanta/niyanta/blob/main/docs/operations/runbooks/"
)

// foreign are metrics that other programs serve, with the labels that are used.
var foreign = map[string][]string{
	"up":                                   {"job", "instance"},
	"kubelet_volume_stats_available_bytes": {"namespace", "persistentvolumeclaim"},
	"kubelet_volume_stats_capacity_bytes":  {"namespace", "persistentvolumeclaim"},
}

// scraped are the labels that Prometheus adds to every metric.
var scraped = []string{"job", "instance"}

// promtool runs promtool, which the Debian package prometheus has.
func promtool(t *testing.T, dir string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	require.NoError(t, err, "promtool is missing: scripts/ensure-deps installs it")
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// rule is an alert.
type rule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	raw, err := os.ReadFile("rules.yaml")
	require.NoError(t, err)
	var file struct{ Groups []struct{ Rules []rule } }
	require.NoError(t, yaml.Unmarshal(raw, &file))
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	require.GreaterOrEqual(t, len(all), 12)
	return all
}

func TestAlerts_OnSeriesOfTheirTests_FireAndStayQuietAsTheyShould(t *testing.T) {
	promtool(t, ".", "check", "rules", "rules.yaml")
	promtool(t, ".", "test", "rules", "rules_test.yaml")
}

func TestAlerts_EachOfThem_IsTestedBothWaysAndHasARunbook(t *testing.T) {
	raw, err := os.ReadFile("rules_test.yaml")
	require.NoError(t, err)
	var file struct {
		Tests []struct {
			Tests []struct {
				Alertname string
				Expected  []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	require.NoError(t, yaml.Unmarshal(raw, &file))
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, group := range file.Tests {
		for _, c := range group.Tests {
			fires[c.Alertname] = fires[c.Alertname] || len(c.Expected) > 0
			quiet[c.Alertname] = quiet[c.Alertname] || len(c.Expected) == 0
		}
	}
	named := map[string]bool{"README.md": true}
	for _, r := range rules(t) {
		assert.True(t, fires[r.Alert], "%s: no test has it fire", r.Alert)
		assert.True(t, quiet[r.Alert], "%s: no test has it stay quiet", r.Alert)
		assert.Contains(t, []string{"critical", "warning"}, r.Labels["severity"], r.Alert)
		assert.NotEmpty(t, r.Annotations["summary"], r.Alert)
		name, ok := strings.CutPrefix(r.Annotations["runbook_url"], runbookURL)
		require.True(t, ok, "%s: it needs a runbook", r.Alert)
		named[name] = true
		page, err := os.ReadFile(filepath.Join(runbooks, name))
		require.NoError(t, err, r.Alert)
		assert.Contains(t, string(page), "`"+r.Alert+"`", "%s names its alert", name)
		for _, section := range []string{"\n## Find the cause\n", "\n## Mend it\n"} {
			assert.Contains(t, string(page), section, name)
		}
	}
	pages, err := os.ReadDir(runbooks)
	require.NoError(t, err)
	for _, p := range pages {
		assert.True(t, named[p.Name()], "%s belongs to no alert", p.Name())
	}
}

// known returns the labels of each metric that is served, from the page that the code generates and
// that is compared with a running set.
func known(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile(metricsPage)
	require.NoError(t, err)
	metrics := map[string][]string{}
	for name, labels := range foreign {
		metrics[name] = labels
	}
	row := regexp.MustCompile("(?m)^\\| `(niyanta_[a-z_]+)` \\| (\\w+) \\| (.*?) \\|")
	label := regexp.MustCompile("`([a-z_]+)`: ")
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		labels := slices.Clone(scraped)
		for _, l := range label.FindAllStringSubmatch(m[3], -1) {
			labels = append(labels, l[1])
		}
		if m[2] != "histogram" {
			metrics[m[1]] = labels
			continue
		}
		metrics[m[1]+"_sum"], metrics[m[1]+"_count"] = labels, labels
		metrics[m[1]+"_bucket"] = append(slices.Clone(labels), "le")
	}
	require.Greater(t, len(metrics), 40)
	return metrics
}

var (
	inQuotes  = regexp.MustCompile(`"[^"]*"`)
	selector  = regexp.MustCompile(`\b((?:niyanta|kubelet)_[a-z_]+|up)\b(?:\{([^}]*)\})?`)
	matcher   = regexp.MustCompile(`([a-z_]+)\s*(?:=~|!~|!=|=)`)
	grouping  = regexp.MustCompile(`\b(?:by|on|without) \(([^)]*)\)`)
	legends   = regexp.MustCompile(`\{\{([a-z_]+)\}\}`)
	noMetrics = regexp.MustCompile(`\b(by|on|without) \([^)]*\)`)
)

// mistakes says what an expression asks for that no process serves.
func mistakes(expr string, metrics map[string][]string) (wrong []string) {
	plain := inQuotes.ReplaceAllString(expr, `""`)
	var available []string
	found := selector.FindAllStringSubmatch(noMetrics.ReplaceAllString(plain, ""), -1)
	if len(found) == 0 {
		wrong = append(wrong, "it has no metric")
	}
	for _, m := range found {
		labels, is := metrics[m[1]]
		if !is {
			wrong = append(wrong, m[1]+" is not served")
			continue
		}
		available = append(available, labels...)
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(labels, l[1]) {
				wrong = append(wrong, m[1]+" has no label "+l[1])
			}
		}
	}
	for _, g := range grouping.FindAllStringSubmatch(plain, -1) {
		for l := range strings.SplitSeq(g[1], ",") {
			if !slices.Contains(available, strings.TrimSpace(l)) {
				wrong = append(wrong, "nothing in it has the label "+strings.TrimSpace(l))
			}
		}
	}
	return wrong
}

func TestMistakes_OfExpressions_AreFound(t *testing.T) {
	metrics := map[string][]string{"niyanta_a": {"tier", "instance"}, "niyanta_b_bucket": {"le"}}
	for expr, want := range map[string]string{
		`sum by (tier) (niyanta_a{tier="x"}) and on (instance) niyanta_a`:   "",
		`histogram_quantile(0.9, sum by (le) (rate(niyanta_b_bucket[5m])))`: "",
		`sum(niyanta_c)`:                 "niyanta_c is not served",
		`sum(niyanta_a{state="x"})`:      "niyanta_a has no label state",
		`sum by (state) (niyanta_a)`:     "nothing in it has the label state",
		`vector(1)`:                      "it has no metric",
		`sum(niyanta_b{le="niyanta_a"})`: "niyanta_b is not served",
	} {
		assert.Equal(t, want, strings.Join(mistakes(expr, metrics), "; "), expr)
	}
}

func TestAlerts_EachExpression_AsksForMetricsThatAreServed(t *testing.T) {
	metrics := known(t)
	for _, r := range rules(t) {
		assert.Empty(t, mistakes(r.Expr, metrics), "%s: %s", r.Alert, r.Expr)
	}
}

// dashboard is what the tests read of a dashboard of Grafana.
type dashboard struct {
	UID, Title string
	Panels     []struct {
		ID          int
		Title, Type string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ RefID, Expr, LegendFormat string }
	}
}

func TestDashboards_EachExpression_AsksForMetricsThatAreServed(t *testing.T) {
	metrics := known(t)
	files, err := filepath.Glob("dashboards/*.json")
	require.NoError(t, err)
	names, uids := []string{}, map[string]bool{}
	// promtool reads expressions only in rules: each becomes one.
	var recorded strings.Builder
	recorded.WriteString("groups:\n- name: dashboards\n  rules:\n")
	n := 0
	for _, file := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".json"))
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		var d dashboard
		require.NoError(t, json.Unmarshal(raw, &d), file)
		assert.False(t, uids[d.UID], "%s: uid %s is taken", file, d.UID)
		uids[d.UID] = true
		at := map[[2]int]string{}
		for _, p := range d.Panels {
			where := [2]int{p.GridPos.X, p.GridPos.Y}
			assert.Empty(t, at[where], "%s: %s lies on %s", file, p.Title, at[where])
			at[where] = p.Title
			assert.NotEmpty(t, p.Targets, "%s: %s", file, p.Title)
			for _, target := range p.Targets {
				n++
				fmt.Fprintf(&recorded, "  - record: expression:%d\n    expr: %q\n", n, target.Expr)
				assert.Empty(t, mistakes(target.Expr, metrics), "%s: %s: %s", file, p.Title, target.Expr)
				for _, l := range legends.FindAllStringSubmatch(target.LegendFormat, -1) {
					assert.Regexp(t, `\b`+l[1]+`\b|unless`, target.Expr, "%s: %s: the legend", file, p.Title)
				}
			}
		}
	}
	assert.Equal(t, []string{"overview", "postgresql", "scheduler", "tenants", "workers"}, names)
	assert.Greater(t, n, 60)
	path := filepath.Join(t.TempDir(), "dashboards.yaml")
	require.NoError(t, os.WriteFile(path, []byte(recorded.String()), 0o600))
	promtool(t, filepath.Dir(path), "check", "rules", "--lint=none", path)
}
