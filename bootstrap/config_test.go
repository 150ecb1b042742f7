package bootstrap

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

var (
	adminKey  = "NIYANTA_ADMIN_KEY=admin-key-of-tests-0123456789-abcdef"
	workerKey = "NIYANTA_WORKER_KEY=worker-key-of-tests-0123456789-abcde"
)

var production = []string{
	"NIYANTA_STORE=postgres", "NIYANTA_BUS=nats", "NIYANTA_RATE_LIMITER=redis",
	"NIYANTA_POSTGRES_URL=postgres://u:p@h/d", "NIYANTA_NATS_URL=nats://h", "NIYANTA_REDIS_URL=redis://h",
}

// problems loads and validates a configuration, and returns the mistakes, one per line.
func problems(role Role, environment ...string) string {
	c, err := Load(environment)
	if err = errors.Join(err, c.Validate(role)); err == nil {
		return ""
	}
	return err.Error()
}

func TestConfig_Defaults_AreThoseOfTheDocumentation(t *testing.T) {
	c, err := Load(nil)
	require.NoError(t, err)
	require.NoError(t, c.Validate(RoleDev))
	assert.Equal(t, 2500*time.Millisecond, c.HeartbeatInterval)
	assert.Equal(t, 10*time.Second, c.WorkerLease)
	assert.Equal(t, 4*time.Second, c.LeaderTTL)
	assert.Equal(t, 5*time.Minute, c.DrainTimeout)
	assert.Equal(t, ":8080", c.HTTPAddr)
	assert.Equal(t, 10, c.WorkerSlots)
}

func TestLoad_WithSeveralMistakes_ReportsThemAll(t *testing.T) {
	got := problems(RoleCoordinator, "NIYANTA_ADMIN_KEY=short", "NIYANTA_SCHEDULER_POLICY=random",
		"NIYANTA_WORKER_LEASE=6s", "NIYANTA_LOG_FORMAT=xml")
	for _, name := range []string{"ADMIN_KEY", "WORKER_KEY", "SCHEDULER_POLICY", "WORKER_LEASE", "LOG_FORMAT"} {
		assert.Contains(t, got, "NIYANTA_"+name+":")
	}
	got = problems(RoleDev, "NIYANTA_WORKER_SLOTS=ten", "NIYANTA_DRAIN_TIMEOUT=soon", "NIYANTA_LOG_LEVEL=loud")
	for _, name := range []string{"WORKER_SLOTS", "DRAIN_TIMEOUT", "LOG_LEVEL"} {
		assert.Contains(t, got, "NIYANTA_"+name+":", "values that do not parse, all at once")
	}
	got = problems(RoleDev, "NIYANTA_STOER=postgres", "NIYANTA_WORKER_SLOTS=ten", "NIYANTA_HEARTBEAT_INTERVAL=9s")
	assert.Equal(t, []string{
		"NIYANTA_STOER: no such setting; did you mean NIYANTA_STORE?",
		`NIYANTA_WORKER_SLOTS: must be a whole number, not "ten"`,
		"NIYANTA_WORKER_LEASE: must be at least three heartbeat intervals (27s), so that one lost heartbeat does no " +
			"harm; not 10s",
	}, strings.Split(got, "\n"), "names, values and bounds in one report")
}

func TestLoad_WhenAValueDoesNotParse_SaysWhatItMustBe(t *testing.T) {
	for setting, want := range map[string]string{
		"WORKER_SLOTS=ten":    `NIYANTA_WORKER_SLOTS: must be a whole number, not "ten"`,
		"WORKER_LEASE=10":     `NIYANTA_WORKER_LEASE: must be a duration like 10s or 5m, not "10"`,
		"MIGRATE_ON_START=ja": `NIYANTA_MIGRATE_ON_START: must be true or false, not "ja"`,
		"LOG_LEVEL=verbose":   `NIYANTA_LOG_LEVEL: must be debug, info, warn or error, not "verbose"`,
	} {
		_, err := Load([]string{"NIYANTA_" + setting})
		assert.EqualError(t, err, want)
	}
}

func TestConfig_ForEachRole_RequiresItsSettings(t *testing.T) {
	url := "NIYANTA_COORDINATOR_URL=http://127.0.0.1:1"
	for _, c := range []struct {
		name        string
		role        Role
		environment []string
		wrong       string
	}{
		{"a coordinator", RoleCoordinator, []string{adminKey, workerKey}, ""},
		{"a coordinator without a worker key", RoleCoordinator, []string{adminKey}, "WORKER_KEY"},
		{"a server in memory", RoleServer, []string{adminKey}, ""},
		{"a server on PostgreSQL without a bus", RoleServer,
			[]string{adminKey, "NIYANTA_STORE=postgres", "NIYANTA_POSTGRES_URL=postgres://u:p@h/d"}, ""},
		{"a server on PostgreSQL, NATS and Redis", RoleServer, append(slices.Clone(production), adminKey), ""},
		{"a server without an admin key", RoleServer, nil, "ADMIN_KEY"},
		{"a server with a bad id", RoleServer, []string{adminKey, "NIYANTA_WORKER_ID=a.b"}, "WORKER_ID"},
		{"a server on a memory store with a bus", RoleServer,
			[]string{adminKey, "NIYANTA_BUS=nats", "NIYANTA_NATS_URL=nats://n"}, "BUS"},
		{"a server in memory with a URL to listen at", RoleServer,
			[]string{adminKey, "NIYANTA_POSTGRES_LISTEN_URL=postgres://u:p@h/d"}, "POSTGRES_LISTEN_URL"},
		{"a worker", RoleWorker, []string{workerKey, url}, ""},
		{"a worker without a coordinator", RoleWorker, []string{workerKey}, "COORDINATOR_URL"},
		{"a worker with two keys", RoleWorker, []string{workerKey + ",other", url}, "WORKER_KEY"},
		{"a worker with a bad id", RoleWorker, []string{workerKey, url, "NIYANTA_WORKER_ID=a.b"}, "WORKER_ID"},
		{"a worker with bad tags", RoleWorker, []string{workerKey, url, "NIYANTA_WORKER_TAGS=gpu"}, "WORKER_TAGS"},
		{"a worker with no slots", RoleWorker, []string{workerKey, url, "NIYANTA_WORKER_SLOTS=0"}, "WORKER_SLOTS"},
		{"a development server with a foreign key", RoleDev,
			[]string{"NIYANTA_DEV_CUSTOMER_KEY=nyt_cust_x_" + strings.Repeat("0", 32)}, "DEV_CUSTOMER_KEY"},
		{"a heartbeat of nothing", RoleDev, []string{"NIYANTA_HEARTBEAT_INTERVAL=0s"}, "HEARTBEAT_INTERVAL"},
		{"a coordinator on PostgreSQL, NATS and Redis", RoleCoordinator, append(production, adminKey), ""},
		{"a coordinator in memory with a database's URL", RoleCoordinator,
			[]string{adminKey, workerKey, "NIYANTA_POSTGRES_URL=postgres://u:p@h/d"}, "POSTGRES_URL"},
		{"a coordinator without a bus with its URL", RoleCoordinator,
			[]string{adminKey, workerKey, "NIYANTA_NATS_URL=nats://h"}, "NATS_URL"},
		{"a worker without a bus with its URL", RoleWorker, []string{workerKey, url, "NIYANTA_NATS_URL=nats://h"},
			"NATS_URL"},
		{"a coordinator that uses no Redis with its URL", RoleCoordinator,
			[]string{adminKey, workerKey, "NIYANTA_REDIS_URL=redis://h"}, "REDIS_URL"},
		{"an archive in memory beside PostgreSQL", RoleCoordinator, append([]string{adminKey, workerKey,
			"NIYANTA_ARCHIVE_URL=mem://"}, production...), "ARCHIVE_URL"},
		{"an archive in no storage that there is", RoleServer, []string{adminKey, "NIYANTA_ARCHIVE_URL=ftp://h/a"},
			"ARCHIVE_URL"},
		{"an archive in a bucket with an unknown parameter", RoleCoordinator, []string{adminKey, workerKey,
			"NIYANTA_ARCHIVE_URL=s3://b?regoin=x"}, "ARCHIVE_URL"},
		{"a coordinator on PostgreSQL without its URL", RoleCoordinator,
			[]string{adminKey, workerKey, "NIYANTA_STORE=postgres"}, "POSTGRES_URL"},
		{"a coordinator on NATS without its URL", RoleCoordinator,
			[]string{adminKey, "NIYANTA_STORE=postgres", "NIYANTA_BUS=nats"}, "NATS_URL"},
		{"a coordinator on Redis without its URL", RoleCoordinator,
			[]string{adminKey, workerKey, "NIYANTA_RATE_LIMITER=redis"}, "REDIS_URL"},
		{"several processes on a memory store", RoleCoordinator,
			[]string{adminKey, "NIYANTA_BUS=nats", "NIYANTA_NATS_URL=nats://n"}, "BUS"},
		{"a short worker key", RoleCoordinator, []string{adminKey, "NIYANTA_WORKER_KEY=short"}, "WORKER_KEY"},
		{"a worker with a short key", RoleWorker, []string{"NIYANTA_WORKER_KEY=short", url}, "WORKER_KEY"},
		{"an admin key that is a worker's too", RoleCoordinator,
			[]string{adminKey, "NIYANTA_WORKER_KEY=" + adminKey[len("NIYANTA_ADMIN_KEY="):]}, "WORKER_KEY"},
		{"an admin key that is one of the workers'", RoleCoordinator,
			[]string{adminKey, workerKey + "," + adminKey[len("NIYANTA_ADMIN_KEY="):]}, "WORKER_KEY"},
		{"an admin key of one character", RoleCoordinator, []string{"NIYANTA_ADMIN_KEY=" + strings.Repeat("a", 40),
			workerKey}, "ADMIN_KEY"},
		{"an admin key of little variety", RoleCoordinator, []string{"NIYANTA_ADMIN_KEY=" + strings.Repeat("abc", 20),
			workerKey}, "ADMIN_KEY"},
		{"an admin key that repeats itself", RoleCoordinator,
			[]string{"NIYANTA_ADMIN_KEY=" + strings.Repeat("changeme-secret-", 2) + "chan", workerKey}, "ADMIN_KEY"},
		{"worker keys of which one is of one character", RoleCoordinator,
			[]string{adminKey, workerKey + "," + strings.Repeat("w", 32)}, "WORKER_KEY"},
		{"a development server with a weak admin key", RoleDev,
			[]string{"NIYANTA_ADMIN_KEY=" + strings.Repeat("a", 32)}, "ADMIN_KEY"},
		{"a hexadecimal key", RoleCoordinator, []string{"NIYANTA_ADMIN_KEY=4f1c09d7a25be3864f00c9d1e7b2a538",
			workerKey}, ""},
		{"a bad prefix", RoleCoordinator, append(production, adminKey, "NIYANTA_BUS_PREFIX=a b"), "BUS_PREFIX"},
		{"half a certificate", RoleCoordinator, append(production, adminKey, "NIYANTA_NATS_CERT_FILE=x"),
			"NATS_CERT_FILE"},
		{"a worker on the bus alone", RoleWorker, production, ""},
		{"a migration without a database", RoleMigrate, nil, "POSTGRES_URL"},
		{"an unknown store", RoleDev, []string{"NIYANTA_STORE=floppy"}, "STORE"},
	} {
		got := problems(c.role, c.environment...)
		if c.wrong == "" {
			assert.Empty(t, got, c.name)
			continue
		}
		assert.Contains(t, got, "NIYANTA_"+c.wrong+":", c.name)
	}
}

func TestConfig_PolicyAndPreemption_AreReadAndShown(t *testing.T) {
	shown := func(environment ...string) map[string]string {
		c, err := Load(environment)
		require.NoError(t, err)
		require.NoError(t, c.Validate(RoleDev))
		settings := map[string]string{}
		for _, s := range c.Settings() {
			settings[s.Variable] = s.Value
		}
		return settings
	}
	byDefault, chosen := shown(), shown("NIYANTA_SCHEDULER_POLICY=fair", "NIYANTA_PREEMPTION=true")
	assert.Equal(t, "priority", byDefault["NIYANTA_SCHEDULER_POLICY"])
	assert.Equal(t, "false", byDefault["NIYANTA_PREEMPTION"])
	assert.Equal(t, "fair", chosen["NIYANTA_SCHEDULER_POLICY"])
	assert.Equal(t, "true", chosen["NIYANTA_PREEMPTION"])
	for _, policy := range []domain.Policy{domain.PolicyFIFO, domain.PolicyPriority, domain.PolicyFair} {
		assert.Empty(t, problems(RoleDev, "NIYANTA_SCHEDULER_POLICY="+string(policy)))
	}
	assert.Contains(t, problems(RoleDev, "NIYANTA_SCHEDULER_POLICY=unfair"), "NIYANTA_SCHEDULER_POLICY:")
	assert.Contains(t, problems(RoleDev, "NIYANTA_PREEMPTION=perhaps"), "NIYANTA_PREEMPTION:")
	assert.Empty(t, byDefault["NIYANTA_ANTI_AFFINITY_ACROSS_TYPES"])
	assert.Equal(t, "solver,crawler",
		shown("NIYANTA_ANTI_AFFINITY_ACROSS_TYPES=solver,crawler")["NIYANTA_ANTI_AFFINITY_ACROSS_TYPES"])
	assert.Contains(t, problems(RoleDev, "NIYANTA_ANTI_AFFINITY_ACROSS_TYPES=no type"),
		"NIYANTA_ANTI_AFFINITY_ACROSS_TYPES:")
}

func TestConfig_Tags_AreReadAsPairs(t *testing.T) {
	tags, err := ParseTags("gpu=a100, region=eu-1")
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"gpu": "a100", "region": "eu-1"}, tags)
	for _, bad := range []string{"gpu", "=x", "a=1,,b=2"} {
		_, err := ParseTags(bad)
		assert.Error(t, err, bad)
	}
}
