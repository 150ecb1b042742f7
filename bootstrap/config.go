package bootstrap

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/niyanta/niyanta/core/domain"
)

// Config is everything that can be set from outside, parsed once from variables prefixed NIYANTA_.
type Config struct {
	Store       string `env:"STORE" envDefault:"memory"`
	Bus         string `env:"BUS" envDefault:"memory"`
	RateLimiter string `env:"RATE_LIMITER" envDefault:"memory"`

	HTTPAddr       string   `env:"HTTP_ADDR" envDefault:":8080"`
	CoordinatorURL string   `env:"COORDINATOR_URL"`
	AdminKey       string   `env:"ADMIN_KEY" secret:"true"`
	WorkerKeys     []string `env:"WORKER_KEY" secret:"true"`
	DevCustomerKey string   `env:"DEV_CUSTOMER_KEY" secret:"true"`

	WorkerID             string        `env:"WORKER_ID"`
	WorkerSlots          int           `env:"WORKER_SLOTS" envDefault:"10"`
	WorkerTags           string        `env:"WORKER_TAGS"`
	ExecAllow            []string      `env:"EXEC_ALLOW"`
	HTTPTypeAllowPrivate bool          `env:"HTTP_TYPE_ALLOW_PRIVATE" envDefault:"false"`
	SchedulerPolicy      domain.Policy `env:"SCHEDULER_POLICY" envDefault:"priority"`

	HeartbeatInterval time.Duration `env:"HEARTBEAT_INTERVAL" envDefault:"5s"`
	WorkerLease       time.Duration `env:"WORKER_LEASE" envDefault:"20s"`
	LeaderTTL         time.Duration `env:"LEADER_TTL" envDefault:"8s"`
	DrainTimeout      time.Duration `env:"DRAIN_TIMEOUT" envDefault:"5m"`

	LogLevel  slog.Level `env:"LOG_LEVEL" envDefault:"info"`
	LogFormat string     `env:"LOG_FORMAT" envDefault:"json"`
}

// Prefix of all variables.
const Prefix = "NIYANTA_"

// Role is what a process does; what must be configured depends on it.
type Role string

// The roles.
const (
	RoleDev         Role = "dev"
	RoleCoordinator Role = "coordinator"
	RoleWorker      Role = "worker"
)

// Load parses the variables that lookup finds. A value that does not parse is reported with its variable; all of them
// at once.
func Load(environment []string) (Config, error) {
	var c Config
	vars := env.ToMap(environment)
	err := env.ParseWithOptions(&c, env.Options{Prefix: Prefix, Environment: vars})
	var agg env.AggregateError
	if errors.As(err, &agg) {
		var errs []error
		for _, e := range agg.Errors {
			errs = append(errs, explain(e))
		}
		return c, errors.Join(errs...)
	}
	return c, err
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
	oneOf(wrong, "STORE", c.Store, "memory")
	oneOf(wrong, "BUS", c.Bus, "memory")
	oneOf(wrong, "RATE_LIMITER", c.RateLimiter, "memory")
	oneOf(wrong, "SCHEDULER_POLICY", string(c.SchedulerPolicy), string(domain.PolicyFIFO), string(domain.PolicyPriority))
	oneOf(wrong, "LOG_FORMAT", c.LogFormat, "json", "console")
	c.validateTimes(wrong)
	switch role {
	case RoleCoordinator:
		c.validateCoordinator(wrong)
	case RoleWorker:
		c.validateWorker(wrong)
	case RoleDev:
		if c.AdminKey != "" && len(c.AdminKey) < minSecret {
			wrong("ADMIN_KEY", "must have at least %d characters", minSecret)
		}
		if c.DevCustomerKey != "" {
			if _, owner, ok := domain.KeyPrefix(c.DevCustomerKey); !ok || owner != DevCustomer {
				wrong("DEV_CUSTOMER_KEY", "must look like nyt_%s_ and 32 characters", DevCustomer)
			}
		}
		c.validateSlots(wrong)
	}
	return errors.Join(errs...)
}

// minSecret is the least length of a secret that an operator chooses.
const minSecret = 32

func oneOf(wrong func(string, string, ...any), variable, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		wrong(variable, "must be %s, not %q", strings.Join(allowed, " or "), value)
	}
}

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
	if c.WorkerLease < 3*c.HeartbeatInterval {
		wrong("WORKER_LEASE", "must be at least three heartbeat intervals (%s), so that one lost heartbeat does no harm; not %s",
			3*c.HeartbeatInterval, c.WorkerLease)
	}
}

func (c Config) validateCoordinator(wrong func(string, string, ...any)) {
	if len(c.AdminKey) < minSecret {
		wrong("ADMIN_KEY", "is required, with at least %d characters", minSecret)
	}
	if len(c.WorkerKeys) == 0 {
		wrong("WORKER_KEY", "is required: with BUS=memory workers join over HTTP and authenticate with it")
	}
}

func (c Config) validateWorker(wrong func(string, string, ...any)) {
	if c.CoordinatorURL == "" {
		wrong("COORDINATOR_URL", "is required: the worker reaches its coordinator there")
	}
	if len(c.WorkerKeys) != 1 {
		wrong("WORKER_KEY", "is required, exactly one key")
	}
	if c.WorkerID != "" {
		if err := domain.ValidateWorkerID(domain.WorkerID(c.WorkerID)); err != nil {
			wrong("WORKER_ID", "%s", message(err))
		}
	}
	if _, err := ParseTags(c.WorkerTags); err != nil {
		wrong("WORKER_TAGS", "%s", message(err))
	}
	c.validateSlots(wrong)
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

// Setting is one variable with its effective value.
type Setting struct{ Variable, Value string }

// Settings lists the effective values in the order of Config, secrets masked.
func (c Config) Settings() []Setting {
	v, t := reflect.ValueOf(c), reflect.TypeFor[Config]()
	out := make([]Setting, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		value := fmt.Sprint(v.Field(i).Interface())
		if list, ok := v.Field(i).Interface().([]string); ok {
			value = strings.Join(list, ",")
		}
		if f.Tag.Get("secret") == "true" && value != "" {
			value = "********"
		}
		out = append(out, Setting{Prefix + f.Tag.Get("env"), value})
	}
	return out
}
