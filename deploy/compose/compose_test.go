package compose_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/niyanta/niyanta/bootstrap"
)

var secrets = []string{
	"POSTGRES_PASSWORD=secret", "NIYANTA_ADMIN_KEY=" + "admin-key-of-tests-0123456789-abcdef",
	"NIYANTA_WORKER_KEY=" + "worker-key-of-tests-0123456789-abcde", "GRAFANA_PASSWORD=g",
}

func load(t *testing.T, env []string) (*types.Project, error) {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{"compose.yaml"}, cli.WithEnv(env), cli.WithResolvedPaths(true))
	require.NoError(t, err)
	return o.LoadProject(t.Context())
}

func TestTheFileLoadsAndItsProcessesAcceptTheirConfiguration(t *testing.T) {
	p, err := load(t, secrets)
	require.NoError(t, err)
	roles := map[string]bootstrap.Role{"coordinator": bootstrap.RoleCoordinator, "worker": bootstrap.RoleWorker}
	seen := map[bootstrap.Role]int{}
	for name, s := range p.Services {
		assert.NotContains(t, s.Image, ":latest", name)
		role, ours := roles[strings.Join(s.Command, " ")]
		if !ours {
			assert.Contains(t, s.Image, ":", "%s: pinned", name)
			continue
		}
		seen[role]++
		var env []string
		for k, v := range s.Environment {
			env = append(env, k+"="+*v)
		}
		cfg, err := bootstrap.Load(env)
		require.NoError(t, err, name)
		require.NoError(t, cfg.Validate(role), name)
		for _, setting := range env {
			variable, _, _ := strings.Cut(setting, "=")
			assert.Contains(t, known(cfg), variable, "%s sets what nobody reads", name)
		}
	}
	assert.Equal(t, map[bootstrap.Role]int{bootstrap.RoleCoordinator: 2, bootstrap.RoleWorker: 2}, seen)
	for _, name := range []string{"postgres", "nats", "redis", "prometheus", "grafana"} {
		assert.Contains(t, p.Services, name)
	}
}

func known(cfg bootstrap.Config) (names []string) {
	for _, s := range cfg.Settings() {
		names = append(names, s.Variable)
	}
	return names
}

func TestASecretThatWasNotChosenStopsTheStart(t *testing.T) {
	for i := range secrets {
		env := append(append([]string{}, secrets[:i]...), secrets[i+1:]...)
		_, err := load(t, env)
		name, _, _ := strings.Cut(secrets[i], "=")
		require.ErrorContains(t, err, name)
	}
	example, err := os.ReadFile(".env.example")
	require.NoError(t, err)
	for _, s := range secrets {
		name, _, _ := strings.Cut(s, "=")
		assert.Contains(t, string(example), name+"=\n", "the example names it and gives no value")
	}
}

func TestEveryFileThatIsMountedExists(t *testing.T) {
	p, err := load(t, secrets)
	require.NoError(t, err)
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				assert.FileExists(t, lastFile(t, v.Source), name)
			}
		}
	}
}

// lastFile is path, or some file below it.
func lastFile(t *testing.T, path string) (found string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(path, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = p
		}
		return err
	}))
	return found
}

func TestPrometheus_OfTheSet_ScrapesEveryProcess(t *testing.T) {
	raw, err := os.ReadFile("prometheus/prometheus.yaml")
	require.NoError(t, err)
	var cfg struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string                       `yaml:"job_name"`
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	require.NoError(t, yaml.Unmarshal(raw, &cfg))
	p, err := load(t, secrets)
	require.NoError(t, err)
	want := map[string][]string{}
	for name, s := range p.Services {
		switch strings.Join(s.Command, " ") {
		case "coordinator":
			want["niyanta-coordinator"] = append(want["niyanta-coordinator"], name+":8080")
		case "worker":
			want["niyanta-worker"] = append(want["niyanta-worker"], name+":8081")
		}
	}
	got := map[string][]string{}
	for _, job := range cfg.ScrapeConfigs {
		got[job.JobName] = job.StaticConfigs[0].Targets
		slices.Sort(want[job.JobName])
	}
	require.Equal(t, want, got)
	mounted := false
	for _, v := range p.Services["prometheus"].Volumes {
		mounted = mounted || v.Target == cfg.RuleFiles[0] && filepath.Base(v.Source) == "rules.yaml"
	}
	require.True(t, mounted, "its rules are those of deploy/monitoring")
}

// TestDockerfile_BuildStep_StampsTheVersion runs the step of the Dockerfile that builds the program.
func TestDockerfile_BuildStep_StampsTheVersion(t *testing.T) {
	file, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	var step string
	for line := range strings.Lines(string(file)) {
		if run, ok := strings.CutPrefix(line, "RUN "); ok && strings.Contains(run, "go build") {
			step = run
		}
	}
	require.Contains(t, step, " -o /niyanta ")
	binary := filepath.Join(t.TempDir(), "niyanta")
	build := exec.Command("sh", "-ec", strings.Replace(step, " -o /niyanta ", " -o "+binary+" ", 1))
	build.Dir, build.Env = "../..", append(os.Environ(), "VERSION=v1.2.3-test")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	out, err = exec.Command(binary, "--version").Output()
	require.NoError(t, err)
	assert.Contains(t, string(out), "v1.2.3-test")
	assert.Contains(t, string(file), `ENTRYPOINT ["/niyanta"]`)
	assert.Regexp(t, `(?m)^FROM \S+/distroless/\S+:nonroot$`, string(file), "not root, and nothing else in it")
}
