package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/bootstrap"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// site is what misconfigurations are planted on: a coordinator with a worker, and a database whose
// schema is current and that keeps what it acknowledges.
type site struct {
	*fleet
	t        *testing.T
	key      string
	database *servers.Postgres
	name     string // of the database
	secrets  string // a folder
}

func newSite(t *testing.T) *site {
	t.Helper()
	customer, _, f := shells(t)
	durable, err := servers.StartPostgres(true)
	require.NoError(t, err)
	t.Cleanup(durable.Remove)
	s := &site{fleet: f, t: t, key: customer.key, database: durable, name: durable.EmptyDatabase(t), secrets: t.TempDir()}
	migrate(t, durable.URL(s.name))
	return s
}

func migrate(t *testing.T, url string) {
	t.Helper()
	_, err := bootstrap.MigrateUp(context.Background(), bootstrap.Config{PostgresURL: url},
		bootstrap.NewLogger(t.Output(), 8, "json"))
	require.NoError(t, err)
}

// coordinator sets the settings of a coordinator that would start.
func (s *site) coordinator(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"STORE": "postgres", "POSTGRES_URL": s.database.URL(s.name), "ADMIN_KEY_FILE": s.secret(t, "admin", s.adminKey),
		"WORKER_KEY_FILE": s.secret(t, "worker", s.workerKey), "POSTGRES_MAX_CONNS": "20",
	} {
		t.Setenv("NIYANTA_"+name, value)
	}
}

// worker sets the settings of a worker that would join.
func (s *site) workerSettings(t *testing.T) {
	t.Helper()
	t.Setenv("NIYANTA_COORDINATOR_URL", s.url)
	t.Setenv("NIYANTA_WORKER_KEY", s.workerKey)
}

func (s *site) secret(t *testing.T, name, value string) string {
	t.Helper()
	path := filepath.Join(s.secrets, name)
	require.NoError(t, os.WriteFile(path, []byte(value), 0o600))
	require.NoError(t, os.Chmod(path, 0o600))
	return path
}

// client returns arguments that name the coordinator and a key.
func (s *site) client(key string) []string { return []string{"--url", s.url, "--api-key", key} }

// Each misconfiguration is planted on processes that run or in settings that a start would read. The
// finding must name it, and say what to do. Before and after, the doctor finds nothing.
func TestDoctor_OfPlantedMisconfigurations_FindsEachAndSaysWhatToDo(t *testing.T) {
	s := newSite(t)
	d := newDesk(t)
	as := func(role string, more ...string) []string {
		return append(s.client(s.key), append(more, "--as", role)...)
	}
	coordinator := func(t *testing.T, variable, value string) []string {
		t.Helper()
		s.coordinator(t)
		t.Setenv(variable, value)
		return as("coordinator")
	}
	planted := []struct {
		name  string
		plant func(t *testing.T) (args []string)
		want  string // "check result: part of what was found"
		to    string // part of the advice
	}{
		{"no coordinator at the address", func(t *testing.T) []string {
			t.Helper()
			return []string{"--url", "http://" + testfiles.DeadAddress(t), "--api-key", s.key}
		}, "reach problem: connection refused", "start a coordinator"},
		{"plain HTTP to a coordinator with TLS", func(t *testing.T) []string {
			t.Helper()
			secured := securedDev(t, testfiles.NewAuthority(t), time.Now().Add(400*24*time.Hour))
			return []string{"--url", strings.Replace(secured.App.URL(), "https:", "http:", 1), "--api-key", s.key}
		}, "reach problem: 400 Bad Request", "use https://"},
		{"a revoked key", func(t *testing.T) []string {
			t.Helper()
			c, err := s.admin.CreateCustomer(t.Context(), niyanta.CustomerInput{Name: "Old", Tier: "free"})
			require.NoError(t, err)
			key, err := s.admin.CreateKey(t.Context(), c.CustomerID, niyanta.KeyInput{Role: "customer"})
			require.NoError(t, err)
			require.NoError(t, s.admin.RevokeKey(t.Context(), c.CustomerID, key.KeyID))
			return s.client(key.Key)
		}, "key problem: unknown, expired or revoked", "niyanta key create"},
		{"a worker's key for a client", func(*testing.T) []string { return s.client(s.workerKey) },
			"key problem: it is a worker's", "use a customer's key"},
		{"two coordinators without a common database", func(t *testing.T) []string {
			t.Helper()
			return []string{"--url", s.url + "," + newFleet(t).url, "--api-key", s.key}
		}, "coordinators problem: do not share a database", "NIYANTA_POSTGRES_URL"},
		{"a program that no worker may start", func(t *testing.T) []string {
			t.Helper()
			id := s.submitAs(s.key, "exec", `{"command":["ffmpeg"]}`)
			t.Cleanup(func() {
				_, err := s.clientWith(s.key).Cancel(context.WithoutCancel(t.Context()), id, "", "")
				require.NoError(t, err)
			})
			return s.client(s.key)
		}, "queue problem: no worker could run it", "NIYANTA_EXEC_ALLOW"},
		{"a mistyped variable", func(t *testing.T) []string {
			t.Helper()
			t.Setenv("NIYANTA_WORKER_SLOT", "4")
			return s.client(s.key)
		}, "settings problem: NIYANTA_WORKER_SLOT: no such setting; did you mean NIYANTA_WORKER_SLOTS?", "correct or unset"},
		{"a lease of two heartbeats", func(t *testing.T) []string {
			t.Helper()
			return coordinator(t, "NIYANTA_WORKER_LEASE", "5s")
		}, "settings problem: NIYANTA_WORKER_LEASE: must be at least three heartbeat intervals", "settings.md"},
		{"another installation's worker key", func(t *testing.T) []string {
			t.Helper()
			s.workerSettings(t)
			t.Setenv("NIYANTA_WORKER_KEY", "another-key-of-tests-0123456789-xyz")
			return as("worker")
		}, "settings problem: does not know the key", "set NIYANTA_WORKER_KEY"},
		{"a customer's key for a worker", func(t *testing.T) []string {
			t.Helper()
			s.workerSettings(t)
			t.Setenv("NIYANTA_WORKER_KEY", s.key)
			return as("worker")
		}, "settings problem: it is not a worker's", "use a worker's key"},
		{"a database that forgets what it acknowledged", func(t *testing.T) []string {
			t.Helper()
			url := servers.SharedPostgres(t, func(string) error { return nil })
			name := url.EmptyDatabase(t)
			migrate(t, url.URL(name))
			return coordinator(t, "NIYANTA_POSTGRES_URL", url.URL(name))
		}, "settings problem: fsync=off, full_page_writes=off, synchronous_commit=off", "postgresql.conf"},
		{"a schema that nobody migrated", func(t *testing.T) []string {
			t.Helper()
			args := coordinator(t, "NIYANTA_POSTGRES_URL", s.database.URL(s.database.EmptyDatabase(t)))
			t.Setenv("NIYANTA_MIGRATE_ON_START", "false")
			return args
		}, "settings problem: the schema is missing or too old", "niyanta migrate up"},
		{"a standby as the database", func(t *testing.T) []string {
			t.Helper()
			return coordinator(t, "NIYANTA_POSTGRES_URL", s.database.StartReplica(t).URL(s.name))
		}, "settings problem: the server is a standby", "name the primary"},
		{"more connections than the server has", func(t *testing.T) []string {
			t.Helper()
			return coordinator(t, "NIYANTA_POSTGRES_MAX_CONNS", "400")
		}, "settings problem: the server has 297 for all", "raise max_connections"},
		{"no bus at the address", func(t *testing.T) []string {
			t.Helper()
			args := coordinator(t, "NIYANTA_BUS", "nats")
			t.Setenv("NIYANTA_NATS_URL", "nats://"+testfiles.DeadAddress(t))
			return args
		}, "settings problem: NIYANTA_NATS_URL: the bus does not answer", "correct the address"},
		{"no rate limiter at the address", func(t *testing.T) []string {
			t.Helper()
			args := coordinator(t, "NIYANTA_RATE_LIMITER", "redis")
			t.Setenv("NIYANTA_REDIS_URL", "redis://"+testfiles.DeadAddress(t))
			return args
		}, "settings problem: NIYANTA_REDIS_URL: the rate limiter does not answer", "correct the address"},
		{"an archive below a file", func(t *testing.T) []string {
			t.Helper()
			return coordinator(t, "NIYANTA_ARCHIVE_URL", "file://"+filepath.Join(s.secret(t, "file", "x"), "archive"))
		}, "settings problem: NIYANTA_ARCHIVE_URL: the archive does not answer", "create the bucket or folder"},
		{"large checkpoints below a file", func(t *testing.T) []string {
			t.Helper()
			return coordinator(t, "NIYANTA_CHECKPOINT_URL", "file://"+filepath.Join(s.secret(t, "file", "x"), "checkpoints"))
		}, "settings problem: NIYANTA_CHECKPOINT_URL: the storage does not answer", "create the bucket or folder"},
		{"a secret that everybody may read", func(t *testing.T) []string {
			t.Helper()
			s.coordinator(t)
			require.NoError(t, os.Chmod(filepath.Join(s.secrets, "admin"), 0o644)) //nolint:gosec // the mistake
			return as("coordinator")
		}, "settings warning: NIYANTA_ADMIN_KEY_FILE", "chmod 600"},
		{"contexts that everybody may read", func(t *testing.T) []string {
			t.Helper()
			d.must("", "context", "add", "mine", "--url", s.url, "--api-key", s.key)
			require.NoError(t, os.Chmod(d.file, 0o644)) //nolint:gosec // the mistake
			t.Cleanup(func() { require.NoError(t, os.Remove(d.file)) })
			return nil
		}, "contexts problem: others may read it", "chmod 600"},
	}
	sound := func(t *testing.T) {
		t.Helper()
		assertSound(t, d, s.client(s.key))
		t.Run("coordinator", func(t *testing.T) {
			s.coordinator(t)
			assertSound(t, d, as("coordinator"))
		})
		t.Run("worker", func(t *testing.T) {
			s.workerSettings(t)
			assertSound(t, d, as("worker"))
		})
	}
	t.Run("before", sound)
	for _, p := range planted {
		t.Run(p.name, func(t *testing.T) {
			args := append([]string{"doctor"}, p.plant(t)...)
			out, errs, code := d.run("", append(args, "-o", "json")...)
			if strings.Contains(p.want, " problem: ") {
				assert.Equal(t, exitError, code, "%s\n%s", out, errs)
			}
			assertFound(t, "json", out, p.want)
			head, _, _ := strings.Cut(p.want, ": ")
			assertFound(t, "json", out, fmt.Sprintf("%s: %s", head, p.to))
			table, _, _ := d.run("", args...)
			assertFound(t, "table", table, fmt.Sprintf("%s: %s", head, p.to))
		})
	}
	t.Run("after", sound)
}

// assertSound checks that the doctor finds nothing.
func assertSound(t *testing.T, d desk, args []string) {
	t.Helper()
	out, errs, code := d.run("", append([]string{"doctor"}, args...)...)
	assert.Equal(t, exitDone, code, "%s\n%s", out, errs)
	assert.NotContains(t, out, findingProblem)
	assert.NotContains(t, out, findingWarning)
}
