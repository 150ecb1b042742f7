package bootstrap

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/niyanta/niyanta/adapters/workloads"
	"github.com/niyanta/niyanta/core/domain"
)

// Config is everything that can be set from outside, parsed once from variables prefixed NIYANTA_.
type Config struct {
	Store       string `env:"STORE" envDefault:"memory"`
	Bus         string `env:"BUS" envDefault:"memory"`
	RateLimiter string `env:"RATE_LIMITER" envDefault:"memory"`

	PostgresURL        string `env:"POSTGRES_URL" secret:"url"`
	PostgresReplicaURL string `env:"POSTGRES_REPLICA_URL" secret:"url"`
	PostgresMaxConns   int    `env:"POSTGRES_MAX_CONNS" envDefault:"0"`
	PostgresReadConns  int    `env:"POSTGRES_READ_CONNS" envDefault:"0"`
	MigrateOnStart     bool   `env:"MIGRATE_ON_START" envDefault:"true"`
	NATSURL            string `env:"NATS_URL" secret:"url"`
	NATSCreds          string `env:"NATS_CREDS_FILE"`
	NATSCA             string `env:"NATS_CA_FILE"`
	NATSCert           string `env:"NATS_CERT_FILE"`
	NATSKey            string `env:"NATS_KEY_FILE"`
	RedisURL           string `env:"REDIS_URL" secret:"url"`
	BusPrefix          string `env:"BUS_PREFIX" envDefault:"niyanta."`
	OTLPEndpoint       string `env:"OTLP_ENDPOINT" secret:"url"`

	HTTPAddr       string   `env:"HTTP_ADDR" envDefault:":8080"`
	AdminAddr      string   `env:"ADMIN_ADDR"`
	CoordinatorURL string   `env:"COORDINATOR_URL" secret:"url"`
	AdminKey       string   `env:"ADMIN_KEY" secret:"true"`
	WorkerKeys     []string `env:"WORKER_KEY" secret:"true"`
	DevCustomerKey string   `env:"DEV_CUSTOMER_KEY" secret:"true"`

	WorkerID             string        `env:"WORKER_ID"`
	WorkerSlots          int           `env:"WORKER_SLOTS" envDefault:"10"`
	WorkerTags           string        `env:"WORKER_TAGS"`
	Supervise            bool          `env:"SUPERVISE" envDefault:"true"`
	ExecAllow            []string      `env:"EXEC_ALLOW"`
	ExecEnv              []string      `env:"EXEC_ENV"`
	ExecUIDs             string        `env:"EXEC_UIDS" envDefault:"auto"`
	HTTPTypeAllowPrivate bool          `env:"HTTP_TYPE_ALLOW_PRIVATE" envDefault:"false"`
	SchedulerPolicy      domain.Policy `env:"SCHEDULER_POLICY" envDefault:"priority"`
	Preemption           bool          `env:"PREEMPTION" envDefault:"false"`
	AntiAcross           []string      `env:"ANTI_AFFINITY_ACROSS_TYPES"`
	RequireKnownTypes    bool          `env:"REQUIRE_KNOWN_TYPES" envDefault:"false"`

	HeartbeatInterval time.Duration `env:"HEARTBEAT_INTERVAL" envDefault:"2.5s"`
	WorkerLease       time.Duration `env:"WORKER_LEASE" envDefault:"10s"`
	LeaderTTL         time.Duration `env:"LEADER_TTL" envDefault:"4s"`
	DrainTimeout      time.Duration `env:"DRAIN_TIMEOUT" envDefault:"5m"`

	HTTPIdleTimeout time.Duration `env:"HTTP_IDLE_TIMEOUT" envDefault:"3m"`

	LogLevel  slog.Level `env:"LOG_LEVEL" envDefault:"info"`
	LogFormat string     `env:"LOG_FORMAT" envDefault:"json"`

	// TakeOver is what the command line says for this start, and no variable: set for good, two processes would displace each
	// other for ever.
	TakeOver bool
}

// The backends.
const (
	StoreMemory   = "memory"
	StorePostgres = "postgres"
	BusMemory     = "memory"
	BusNATS       = "nats"
	BusRedis      = "redis"
	LimiterMemory = "memory"
	LimiterRedis  = "redis"
)

// Prefix of all variables.
const Prefix = "NIYANTA_"

// Role is what a process does; what must be configured depends on it.
type Role string

// The roles.
const (
	RoleDev         Role = "dev"
	RoleCoordinator Role = "coordinator"
	RoleWorker      Role = "worker"
	RoleMigrate     Role = "migrate"
)

// Load parses the variables that lookup finds. A value that does not parse is reported with its variable; all of them
// at once.
func Load(environment []string) (Config, error) {
	var c Config
	vars := env.ToMap(environment)
	unread := errors.Join(checkNames(vars), readSecretFiles(vars))
	err := env.ParseWithOptions(&c, env.Options{Prefix: Prefix, Environment: vars})
	var agg env.AggregateError
	if errors.As(err, &agg) {
		errs := []error{unread}
		for _, e := range agg.Errors {
			errs = append(errs, explain(e))
		}
		return c, errors.Join(errs...)
	}
	return c, errors.Join(unread, err)
}

// explain names the variable where env names the field.
func explain(err error) error {
	var pe env.ParseError
	if !errors.As(err, &pe) {
		return err
	}
	if f, ok := reflect.TypeFor[Config]().FieldByName(pe.Name); ok {
		return fmt.Errorf("%s%s: %w", Prefix, f.Tag.Get("env"), pe.Err)
	}
	return err
}

// Validate checks the configuration as a whole for a role and reports every mistake.
func (c Config) Validate(role Role) error {
	var errs []error
	wrong := func(variable, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s%s: %s", Prefix, variable, fmt.Sprintf(format, args...)))
	}
	oneOf(wrong, "STORE", c.Store, StoreMemory, StorePostgres)
	oneOf(wrong, "BUS", c.Bus, BusMemory, BusNATS, BusRedis)
	oneOf(wrong, "RATE_LIMITER", c.RateLimiter, LimiterMemory, LimiterRedis)
	oneOf(wrong, "SCHEDULER_POLICY", string(c.SchedulerPolicy), string(domain.PolicyFIFO), string(domain.PolicyPriority), string(domain.PolicyFair))
	for _, t := range c.AntiAcross {
		if err := domain.ValidateType("ANTI_AFFINITY_ACROSS_TYPES", t); err != nil {
			wrong("ANTI_AFFINITY_ACROSS_TYPES", "%q is not a workload type", t)
		}
	}
	oneOf(wrong, "LOG_FORMAT", c.LogFormat, "json", "console")
	if u, err := url.Parse(c.OTLPEndpoint); c.OTLPEndpoint != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		wrong("OTLP_ENDPOINT", "must look like http://host:4318, not %q", maskURL(c.OTLPEndpoint))
	}
	c.validateTimes(wrong)
	switch role {
	case RoleCoordinator:
		c.validateServing(wrong)
		c.validateCoordinator(wrong)
	case RoleWorker:
		c.validateWorker(wrong)
	case RoleMigrate:
		if c.PostgresURL == "" {
			wrong("POSTGRES_URL", "is required: it says which database to migrate")
		}
	case RoleDev:
		c.validateServing(wrong)
		c.validateKeys(wrong)
		if c.DevCustomerKey != "" {
			if _, owner, ok := domain.KeyPrefix(c.DevCustomerKey); !ok || owner != DevCustomer {
				wrong("DEV_CUSTOMER_KEY", "must look like nyt_%s_ and 32 letters and digits", DevCustomer)
			}
		}
		c.validateExec(wrong)
		c.validateSlots(wrong)
	}
	return errors.Join(errs...)
}

func oneOf(wrong func(string, string, ...any), variable, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		wrong(variable, "must be %s, not %q", strings.Join(allowed, " or "), value)
	}
}

// minLeaderTTL leaves a leader two tries of its renewal.
const minLeaderTTL = 4 * leaderEvery

func (c Config) validateTimes(wrong func(string, string, ...any)) {
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"HEARTBEAT_INTERVAL", c.HeartbeatInterval}, {"WORKER_LEASE", c.WorkerLease},
		{"LEADER_TTL", c.LeaderTTL}, {"DRAIN_TIMEOUT", c.DrainTimeout},
	} {
		if d.value < 100*time.Millisecond {
			wrong(d.name, "must be at least 100ms, not %s", d.value)
		}
	}
	if c.LeaderTTL < minLeaderTTL {
		wrong("LEADER_TTL", "must be at least %s: leadership is looked after every %s; not %s", minLeaderTTL, leaderEvery, c.LeaderTTL)
	}
	if c.WorkerLease < 3*c.HeartbeatInterval {
		wrong("WORKER_LEASE", "must be at least three heartbeat intervals (%s), so that one lost heartbeat does no harm; not %s",
			3*c.HeartbeatInterval, c.WorkerLease)
	}
}

// DevHTTPAddr is where the development server listens unless it is told otherwise: at this machine only, for it prints its keys.
const DevHTTPAddr = "127.0.0.1:8080"

// Bounds of HTTP_IDLE_TIMEOUT.
const (
	minIdleTimeout = time.Second
	maxIdleTimeout = time.Hour
)

// validateServing checks where and how the API is served.
func (c Config) validateServing(wrong func(string, string, ...any)) {
	port := ""
	for _, at := range []struct{ name, addr string }{{"HTTP_ADDR", c.HTTPAddr}, {"ADMIN_ADDR", c.AdminAddr}} {
		if at.addr == "" && at.name == "ADMIN_ADDR" {
			continue
		}
		_, p, err := net.SplitHostPort(at.addr)
		switch {
		case err != nil || p == "":
			wrong(at.name, "must look like :8080 or 127.0.0.1:8080, not %q", at.addr)
		case p == port && p != "0":
			wrong(at.name, "must have another port than %sHTTP_ADDR", Prefix)
		}
		port = p
	}
	if c.HTTPIdleTimeout < minIdleTimeout || c.HTTPIdleTimeout > maxIdleTimeout {
		wrong("HTTP_IDLE_TIMEOUT", "must be %s to %s, not %s; above what a load balancer in front keeps idle connections for", minIdleTimeout, maxIdleTimeout, c.HTTPIdleTimeout)
	}
}

func (c Config) validateCoordinator(wrong func(string, string, ...any)) {
	if c.AdminKey == "" {
		wrong("ADMIN_KEY", "is required, with at least %d characters", minSecret)
	}
	c.validateKeys(wrong)
	if len(c.WorkerKeys) == 0 && c.Bus == BusMemory {
		wrong("WORKER_KEY", "is required: with BUS=memory workers join over HTTP and authenticate with it")
	}
	if c.Store == StorePostgres && c.PostgresURL == "" {
		wrong("POSTGRES_URL", "is required with STORE=postgres")
	}
	if c.Store == StoreMemory && c.PostgresReplicaURL != "" {
		wrong("POSTGRES_REPLICA_URL", "needs STORE=postgres")
	}
	if c.Store == StoreMemory && c.Bus != BusMemory {
		wrong("BUS", "%s connects several processes, but STORE=memory is this process's alone: use STORE=postgres, or BUS=memory", c.Bus)
	}
	c.validateBus(wrong)
	if c.RateLimiter == LimiterRedis && c.RedisURL == "" {
		wrong("REDIS_URL", "is required with RATE_LIMITER=redis")
	}
	if c.PostgresReadConns < 0 || c.PostgresReadConns == 1 || c.PostgresReadConns > 1000 {
		wrong("POSTGRES_READ_CONNS", "must be 0 (two for each processor) or 2 to 1000, not %d", c.PostgresReadConns)
	}
	if c.PostgresMaxConns < 0 || c.PostgresMaxConns > 1000 {
		wrong("POSTGRES_MAX_CONNS", "must be 0 (four for each processor) to 1000, not %d", c.PostgresMaxConns)
	}
}

// validateBus checks what coordinators and workers share.
func (c Config) validateBus(wrong func(string, string, ...any)) {
	if c.Bus == BusNATS && c.NATSURL == "" {
		wrong("NATS_URL", "is required with BUS=nats")
	}
	if c.Bus == BusRedis && c.RedisURL == "" {
		wrong("REDIS_URL", "is required with BUS=redis")
	}
	if (c.NATSCert == "") != (c.NATSKey == "") {
		wrong("NATS_CERT_FILE", "and %sNATS_KEY_FILE go together", Prefix)
	}
	if c.BusPrefix != "" && !busPrefix.MatchString(c.BusPrefix) {
		wrong("BUS_PREFIX", "must be words of letters, digits, \"-\" and \"_\", each ending in \".\", not %q", c.BusPrefix)
	}
}

var busPrefix = regexp.MustCompile(`^([A-Za-z0-9_-]+\.)+$`)

func (c Config) validateWorker(wrong func(string, string, ...any)) {
	if c.CoordinatorURL == "" && c.Bus == BusMemory {
		wrong("COORDINATOR_URL", "is required with BUS=memory: the worker reaches its coordinator there")
	}
	if c.CoordinatorURL != "" && len(c.WorkerKeys) != 1 {
		wrong("WORKER_KEY", "is required with COORDINATOR_URL, exactly one key")
	}
	c.validateKeys(wrong)
	c.validateBus(wrong)
	if c.WorkerID != "" {
		if err := domain.ValidateWorkerID(domain.WorkerID(c.WorkerID)); err != nil {
			wrong("WORKER_ID", "%s", message(err))
		}
	}
	if _, err := ParseTags(c.WorkerTags); err != nil {
		wrong("WORKER_TAGS", "%s", message(err))
	}
	c.validateExec(wrong)
	c.validateSlots(wrong)
}

// validateExec checks what programs may do.
func (c Config) validateExec(wrong func(string, string, ...any)) {
	if err := workloads.ValidateUsers(c.ExecUIDs); err != nil {
		wrong("EXEC_UIDS", "%s", message(err))
	}
	if err := workloads.ValidateEnv(c.ExecAllow, c.ExecEnv); err != nil {
		wrong("EXEC_ENV", "%s", message(err))
	}
}

func (c Config) validateSlots(wrong func(string, string, ...any)) {
	if c.WorkerSlots < 1 || c.WorkerSlots > domain.MaxSlots {
		wrong("WORKER_SLOTS", "must be 1 to %d, not %d", domain.MaxSlots, c.WorkerSlots)
	}
}

func message(err error) string {
	var e *domain.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// ParseTags reads "k=v,k=v".
func ParseTags(s string) (map[string]string, error) {
	if s == "" {
		return nil, nil
	}
	tags := map[string]string{}
	for pair := range strings.SplitSeq(s, ",") {
		k, v, ok := strings.Cut(pair, "=")
		if k = strings.TrimSpace(k); !ok || k == "" {
			return nil, fmt.Errorf("must look like k=v,k=v, not %q", s)
		}
		tags[k] = strings.TrimSpace(v)
	}
	return tags, domain.ValidateTags("tags", tags)
}
