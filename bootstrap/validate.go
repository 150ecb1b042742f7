package bootstrap

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/niyanta/niyanta/adapters/blob"
	"github.com/niyanta/niyanta/adapters/hardware"
	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/adapters/preemption"
	"github.com/niyanta/niyanta/adapters/workloads"
	"github.com/niyanta/niyanta/core/domain"
)

// metricsCustomersLimit bounds how many customers have series of their own.
const metricsCustomersLimit = 100

// Validate checks the configuration as a whole for a role and reports every mistake.
func (c Config) Validate(role Role) error {
	var errs []error
	wrong := func(variable, format string, args ...any) {
		if slices.Contains(c.missing, variable) {
			return
		}
		errs = append(errs, fmt.Errorf("%s%s: %s", Prefix, variable, fmt.Sprintf(format, args...)))
	}
	c.validateTags(wrong)
	c.validateCertificates(wrong)
	c.validateIdentity(wrong)
	if _, err := ParsePools(c.Pools); err != nil {
		wrong("POOLS", "%s", err)
	}
	for _, t := range c.AntiAcross {
		if err := domain.ValidateType("ANTI_AFFINITY_ACROSS_TYPES", t); err != nil {
			wrong("ANTI_AFFINITY_ACROSS_TYPES", "%q is not a workload type", t)
		}
	}
	if len(c.MetricsCustomers) > metricsCustomersLimit {
		wrong("METRICS_CUSTOMERS", "must name at most %d customers, not %d", metricsCustomersLimit,
			len(c.MetricsCustomers))
	}
	for _, id := range c.MetricsCustomers {
		if err := domain.ValidateCustomerID(domain.CustomerID(id)); err != nil {
			wrong("METRICS_CUSTOMERS", "%q is not the id of a customer", id)
		}
	}
	if u, err := url.Parse(c.OTLPEndpoint); c.OTLPEndpoint != "" &&
		(err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		wrong("OTLP_ENDPOINT", "must look like http://host:4318, not %q", maskURL(c.OTLPEndpoint))
	}
	if c.WorkerLease < 3*c.HeartbeatInterval {
		wrong("WORKER_LEASE",
			"must be at least three heartbeat intervals (%s), so that one lost heartbeat does no harm; not %s",
			3*c.HeartbeatInterval, c.WorkerLease)
	}
	switch role {
	case RoleCoordinator:
		c.validateServing(wrong)
		c.validateCoordinator(wrong)
		if len(c.WorkerKeys) == 0 && c.Bus == BusMemory {
			wrong("WORKER_KEY", "is required: with NIYANTA_BUS=memory workers join over HTTP and authenticate with it")
		}
	case RoleServer:
		c.validateServing(wrong)
		c.validateCoordinator(wrong)
		c.validateRuns(wrong)
	case RoleWorker:
		c.validateWorker(wrong)
	case RoleScaleExporter:
		c.validateScaleExporter(wrong)
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
		c.validateRuns(wrong)
	}
	return errors.Join(errs...)
}

// validateTags checks each value against the choices or bounds that its field's tags state.
func (c Config) validateTags(wrong func(string, string, ...any)) {
	v, t := reflect.ValueOf(c), reflect.TypeFor[Config]()
	for i := range t.NumField() {
		tag, value := t.Field(i).Tag, v.Field(i)
		if choices := strings.Fields(tag.Get("choices")); len(choices) > 0 &&
			!slices.Contains(choices, value.String()) {
			wrong(tag.Get("env"), "must be %s, not %q", strings.Join(choices, " or "), value.String())
		}
		least, most := tag.Get("min"), tag.Get("max")
		if outside, err := outside(value, least, most); outside || err != nil {
			wrong(tag.Get("env"), "must be %s, not %v", between(least, most), value.Interface())
		}
	}
}

// between describes the allowed values. most may be empty.
func between(least, most string) string {
	if most == "" {
		return "at least " + least
	}
	return least + " to " + most
}

// outside reports whether a value is outside its bounds. A bound may be empty.
func outside(value reflect.Value, least, most string) (bool, error) {
	for text, is := range map[string]func(limit int64) bool{
		least: func(limit int64) bool { return value.Int() < limit },
		most:  func(limit int64) bool { return value.Int() > limit },
	} {
		if text == "" {
			continue
		}
		limit, err := bound(value.Type(), text)
		if err != nil || is(limit) {
			return true, err
		}
	}
	return false, nil
}

// bound parses a bound of a duration or of a number.
func bound(t reflect.Type, text string) (int64, error) {
	if t == reflect.TypeFor[time.Duration]() {
		d, err := time.ParseDuration(text)
		return int64(d), err
	}
	return strconv.ParseInt(text, 10, 64)
}

// validateServing checks the addresses of the API.
func (c Config) validateServing(wrong func(string, string, ...any)) {
	for _, origin := range c.SocketOrigins {
		_, host, schemed := strings.Cut(origin, "://")
		if !schemed {
			host = origin
		}
		if _, err := path.Match(origin, ""); err != nil || host == "" || strings.Contains(host, "/") {
			wrong("SOCKET_ORIGINS", "must be hosts, as app.example.com, or schemes and hosts, as "+
				"https://app.example.com, not %q", origin)
		}
	}
	if c.Pprof && c.AdminAddr == "" {
		wrong("PPROF", "needs %sADMIN_ADDR, where profiles are served", Prefix)
	}
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
}

func (c Config) validateCoordinator(wrong func(string, string, ...any)) {
	if c.AdminKey == "" {
		wrong("ADMIN_KEY", "is required, with at least %d characters: make one with `openssl rand -hex 24`", minSecret)
	}
	c.validateKeys(wrong)
	if c.Store == StorePostgres && c.PostgresURL == "" {
		wrong("POSTGRES_URL", "is required with NIYANTA_STORE=postgres")
	}
	if err := postgres.CheckReplicaURLs(c.PostgresReplicaURL); err != nil {
		wrong("POSTGRES_REPLICA_URL", "is not valid: %v", err)
	}
	if c.Store == StoreMemory { // a set URL shows that another store was meant
		for _, url := range [][2]string{
			{"POSTGRES_URL", c.PostgresURL}, {"POSTGRES_REPLICA_URL", c.PostgresReplicaURL},
			{"POSTGRES_LISTEN_URL", c.PostgresListenURL},
		} {
			if url[1] != "" {
				wrong(url[0], "is set, but the store is memory: set NIYANTA_STORE=postgres, or unset it")
			}
		}
	}
	if c.Store == StoreMemory && c.Bus != BusMemory {
		wrong("BUS",
			"%s connects several processes, but NIYANTA_STORE=memory is this process's alone: "+
				"use NIYANTA_STORE=postgres, or NIYANTA_BUS=memory", c.Bus)
	}
	for _, url := range [][2]string{{"ARCHIVE_URL", c.ArchiveURL}, {"CHECKPOINT_URL", c.CheckpointURL}} {
		switch name, location := url[0], url[1]; location {
		case "":
		case blobsInMemory:
			if c.Store != StoreMemory {
				wrong(name, "is mem://, which keeps nothing beyond this process: use s3:// or file:// with "+
					"NIYANTA_STORE=%s", c.Store)
			}
		default:
			if err := blob.Validate(location); err != nil {
				wrong(name, "%s", err)
			}
		}
	}
	c.validateBus(wrong)
	if c.RedisURL != "" && c.Bus == BusMemory && c.RateLimiter == LimiterMemory {
		wrong("REDIS_URL",
			"is set, but nothing uses it: set NIYANTA_BUS=redis or NIYANTA_RATE_LIMITER=redis, or unset it")
	}
	if c.RateLimiter == LimiterRedis && c.RedisURL == "" {
		wrong("REDIS_URL", "is required with NIYANTA_RATE_LIMITER=redis")
	}
	if c.PostgresReadConns == 1 {
		wrong("POSTGRES_READ_CONNS", "must be 0 (two for each processor) or at least 2, not 1")
	}
}

// validateBus checks the settings of the bus, for coordinators and workers.
func (c Config) validateBus(wrong func(string, string, ...any)) {
	if c.Bus == BusMemory && c.NATSURL != "" {
		wrong("NATS_URL", "is set, but the bus is memory: set NIYANTA_BUS=nats, or unset it")
	}
	if c.Bus == BusNATS && c.NATSURL == "" {
		wrong("NATS_URL", "is required with NIYANTA_BUS=nats")
	}
	if c.Bus == BusRedis && c.RedisURL == "" {
		wrong("REDIS_URL", "is required with NIYANTA_BUS=redis")
	}
	if c.BusPrefix != "" && !busPrefix.MatchString(c.BusPrefix) {
		wrong("BUS_PREFIX", "must be words of letters, digits, \"-\" and \"_\", each ending in \".\", not %q",
			c.BusPrefix)
	}
}

var busPrefix = regexp.MustCompile(`^([A-Za-z0-9_-]+\.)+$`)

func (c Config) validateWorker(wrong func(string, string, ...any)) {
	if c.CoordinatorURL == "" && c.Bus == BusMemory {
		wrong("COORDINATOR_URL", "is required with NIYANTA_BUS=memory: the worker reaches its coordinator there")
	}
	if c.CoordinatorURL != "" && len(c.WorkerKeys) != 1 {
		wrong("WORKER_KEY", "is required with NIYANTA_COORDINATOR_URL, exactly one key: that of the coordinator")
	}
	if c.PreemptNotice != "" {
		if _, err := preemption.Parse(c.PreemptNotice); err != nil {
			wrong("PREEMPT_NOTICE", "%s", err)
		}
	}
	c.validateKeys(wrong)
	c.validateBus(wrong)
	c.validateRuns(wrong)
}

// validateRuns checks what a worker says of itself, and what its programs may do.
func (c Config) validateRuns(wrong func(string, string, ...any)) {
	if c.WorkerID != "" {
		if err := domain.ValidateWorkerID(domain.WorkerID(c.WorkerID)); err != nil {
			wrong("WORKER_ID", "%s", message(err))
		}
	}
	if _, err := ParseTags(c.WorkerTags); err != nil {
		wrong("WORKER_TAGS", "%s", message(err))
	}
	if _, err := hardware.ParseCPU(c.WorkerCPU); err != nil {
		wrong("WORKER_CPU", "%s", message(err))
	}
	if _, err := hardware.ParseMB(c.WorkerMemoryMB); err != nil {
		wrong("WORKER_MEMORY_MB", "%s", message(err))
	}
	if _, err := hardware.ParseMB(c.WorkerDiskMB); err != nil {
		wrong("WORKER_DISK_MB", "%s", message(err))
	}
	if _, err := hardware.ParseDevices(c.WorkerDevices); err != nil {
		wrong("WORKER_DEVICES", "%s", message(err))
	}
	if _, err := hardware.ParseCustom(c.WorkerResources); err != nil {
		wrong("WORKER_RESOURCES", "%s", message(err))
	}
	if err := workloads.ValidateUsers(c.ExecUIDs); err != nil {
		wrong("EXEC_UIDS", "%s", message(err))
	}
	if err := workloads.ValidateLimits(c.ExecLimits); err != nil {
		wrong("EXEC_LIMITS", "%s", message(err))
	}
	if err := workloads.ValidateEnv(c.ExecAllow, c.ExecEnv); err != nil {
		wrong("EXEC_ENV", "%s", message(err))
	}
}

func message(err error) string {
	var e *domain.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// ParseTags parses tags such as "k=v,k=v".
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
