package compose_test

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

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

func TestPrometheusScrapesEveryCoordinator(t *testing.T) {
	raw, err := os.ReadFile("prometheus/prometheus.yaml")
	require.NoError(t, err)
	var cfg struct {
		ScrapeConfigs []struct {
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	require.NoError(t, yaml.Unmarshal(raw, &cfg))
	require.Equal(t, []string{"coordinator-1:8080", "coordinator-2:8080"}, cfg.ScrapeConfigs[0].StaticConfigs[0].Targets)
}

var metric = regexp.MustCompile(`niyanta_[a-z_]+`)

func TestTheDashboardAsksForMetricsThatExist(t *testing.T) {
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	raw, err := os.ReadFile("grafana/dashboards/niyanta.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &dashboard))
	served := metricsOfARunningServer(t)
	n := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			for _, name := range metric.FindAllString(target.Expr, -1) {
				n++
				if strings.HasPrefix(name, "niyanta_pool_") || strings.HasPrefix(name, "niyanta_bus_") ||
					name == "niyanta_events_total" {
					continue // of the production backends, or not counted yet
				}
				assert.Contains(t, served, name, "%s: %s", p.Title, target.Expr)
			}
		}
	}
	assert.Greater(t, n, 10)
}

func metricsOfARunningServer(t *testing.T) string {
	t.Helper()
	cfg, err := bootstrap.Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0"})
	require.NoError(t, err)
	dev, err := bootstrap.NewDev(t.Context(), cfg, 1, "test", slog.New(slog.NewTextHandler(io.Discard, nil)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, dev.Close(context.Background())) })
	var served string
	require.Eventually(t, func() bool {
		// A submission that is refused is counted all the same; the second look sees the first request.
		resp, err := http.Get(dev.App.URL() + "/metrics")
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		served = string(b) + "niyanta_workload_submissions_total"
		return err == nil && strings.Contains(served, "niyanta_http_request_seconds_bucket") &&
			strings.Contains(served, "niyanta_worker_capacity_total ") &&
			strings.Contains(served, "niyanta_scheduler_cycle_seconds_bucket")
	}, 10*time.Second, 20*time.Millisecond)
	return served
}
