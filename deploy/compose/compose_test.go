package compose_test

import (
	"debug/buildinfo"
	"encoding/json"
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
	"github.com/niyanta/niyanta/contracttests/testfiles"
)

var secrets = []string{
	"POSTGRES_PASSWORD=secret", "NIYANTA_ADMIN_KEY=" + "admin-key-of-tests-0123456789-abcdef",
	"NIYANTA_WORKER_KEY=" + "worker-key-of-tests-0123456789-abcde", "GRAFANA_PASSWORD=g",
}

func load(t *testing.T, env []string, more ...string) (*types.Project, error) {
	t.Helper()
	files := append([]string{"compose.yaml"}, more...)
	o, err := cli.NewProjectOptions(files, cli.WithEnv(env), cli.WithResolvedPaths(true))
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
	t.Run("plain", func(t *testing.T) {
		p, err := load(t, secrets)
		require.NoError(t, err)
		scrapesEveryProcess(t, p, "")
	})
	t.Run("with TLS", func(t *testing.T) {
		p, err := load(t, secrets, "compose.tls.yaml")
		require.NoError(t, err)
		scrapesEveryProcess(t, p, "https")
	})
}

// scrapesEveryProcess checks the configuration that Prometheus has in the set.
func scrapesEveryProcess(t *testing.T, p *types.Project, scheme string) {
	t.Helper()
	var file string
	for _, v := range p.Services["prometheus"].Volumes {
		if v.Target == "/etc/prometheus/prometheus.yml" {
			file = v.Source
		}
	}
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	var cfg struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			JobName       string                       `yaml:"job_name"`
			Scheme        string                       `yaml:"scheme"`
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	require.NoError(t, yaml.Unmarshal(raw, &cfg))
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
		assert.Equal(t, scheme, job.Scheme)
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

func TestTLS_OfTheSet_IsServedAndUsedByEveryProcess(t *testing.T) {
	p, err := load(t, secrets, "compose.tls.yaml")
	require.NoError(t, err)
	ca := testfiles.NewAuthority(t)
	server, worker := ca.Issue(t, "server"), ca.Issue(t, "worker")
	files := map[string]string{
		"/tls/ca.crt": ca.CA, "/tls/server.crt": server.Cert, "/tls/server.key": server.Key,
		"/tls/worker.crt": worker.Cert, "/tls/worker.key": worker.Key,
	}
	seen := 0
	for name, s := range p.Services {
		role := bootstrap.Role(strings.Join(s.Command, " "))
		if role != bootstrap.RoleCoordinator && role != bootstrap.RoleWorker {
			continue
		}
		seen++
		assert.True(t, slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
			return v.Target == "/tls" && v.ReadOnly && filepath.Base(v.Source) == "tls"
		}), name)
		var env []string
		for k, v := range s.Environment {
			value := *v
			if strings.HasSuffix(k, "_FILE") {
				require.Contains(t, files, value, "%s of %s", k, name)
				value = files[value]
			}
			env = append(env, k+"="+value)
		}
		cfg, err := bootstrap.Load(env)
		require.NoError(t, err, name)
		require.NoError(t, cfg.Validate(role), name)
		assert.NotEmpty(t, cfg.TLSCert, name)
		if role == bootstrap.RoleCoordinator {
			assert.NotEmpty(t, cfg.WorkerClientCA, name)
			continue
		}
		for address := range strings.SplitSeq(cfg.CoordinatorURL, ",") {
			assert.Regexp(t, `^https://coordinator-\d:8080$`, address)
		}
		assert.NotEmpty(t, cfg.CoordinatorCA, name)
		assert.NotEmpty(t, cfg.CoordinatorCert, name)
	}
	assert.Equal(t, 4, seen)
}

// TestDockerfile_Steps_StampTheVersionAndListWhatIsInTheProgram runs the steps of the Dockerfile that
// make the files of the image.
func TestDockerfile_Steps_StampTheVersionAndListWhatIsInTheProgram(t *testing.T) {
	file, err := os.ReadFile("Dockerfile")
	require.NoError(t, err)
	dir := t.TempDir()
	steps := 0
	for line := range strings.Lines(string(file)) {
		run, ok := strings.CutPrefix(line, "RUN ")
		if !ok || !strings.Contains(run, "/niyanta") {
			continue
		}
		steps++
		step := exec.Command("sh", "-ec", strings.ReplaceAll(run, " /niyanta", " "+dir+"/niyanta"))
		step.Dir, step.Env = "../..", append(os.Environ(), "VERSION=v1.2.3-test")
		out, err := step.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	require.Equal(t, 2, steps)
	out, err := exec.Command(dir+"/niyanta", "--version").Output()
	require.NoError(t, err)
	assert.Contains(t, string(out), "v1.2.3-test")
	info, err := buildinfo.ReadFile(dir + "/niyanta")
	require.NoError(t, err)
	raw, err := os.ReadFile(dir + "/niyanta.cdx.json")
	require.NoError(t, err)
	var bill struct {
		Metadata struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version string }
	}
	require.NoError(t, json.Unmarshal(raw, &bill))
	assert.Equal(t, "github.com/niyanta/niyanta", bill.Metadata.Component.Name)
	assert.Equal(t, "v1.2.3-test", bill.Metadata.Component.Version)
	listed := map[string]string{}
	for _, c := range bill.Components {
		listed[c.Name] = c.Version
	}
	require.NotEmpty(t, info.Deps)
	for _, m := range info.Deps {
		assert.Equal(t, m.Version, listed[m.Path], m.Path)
	}
	assert.Contains(t, listed, "std")
	assert.Contains(t, string(file), "COPY --from=build /niyanta /niyanta.cdx.json /\n")
	assert.Contains(t, string(file), `ENTRYPOINT ["/niyanta"]`)
	assert.Regexp(t, `(?m)^FROM \S+/distroless/\S+:nonroot$`, string(file), "not root, and nothing else in it")
}
