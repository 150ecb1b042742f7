package bootstrap

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/caarlos0/env/v11"

	"github.com/niyanta/niyanta/core/domain"
)

// Config is everything that can be set from outside, parsed once from variables prefixed NIYANTA_.
//
// A field's comment says what the setting does. Its tags say everything else: the default, whether
// it is secret, which roles read it, its bounds or choices, and with empty:"kept" that a variable
// which is set to nothing is no default. Validate reads the tags. The page
// docs/operations/settings.md is generated from both.
type Config struct {
	// Storage and messages

	// Where everything is kept. "memory" is this process's own: nothing survives its end, and it is
	// the only coordinator. Several servers or coordinators share "postgres".
	Store string `env:"STORE" envDefault:"memory" choices:"memory postgres" roles:"server coordinator"`
	// What carries messages between coordinators and workers. With "memory" workers join over HTTP,
	// and processes that share a database hear of each other through it.
	Bus string `env:"BUS" envDefault:"memory" choices:"memory nats redis" roles:"server coordinator worker"`
	// Where requests are counted for rate limits. With "memory" each coordinator limits by itself.
	RateLimiter string `env:"RATE_LIMITER" envDefault:"memory" choices:"memory redis" roles:"server coordinator"`

	// The database, as a URL or as key=value pairs. Required with STORE=postgres and for
	// migrations.
	PostgresURL string `env:"POSTGRES_URL" secret:"url" roles:"server coordinator migrate"`
	// Read replicas for lists, audit and logs: URLs, separated by commas. A parameter weight in a URL,
	// 1 to 100, says how much of these reads the replica serves in proportion; without one it is 1. A
	// replica that is behind by more than 5 s, or does not answer, is left out, and the primary
	// serves. A customer that has just written through a coordinator reads what it wrote there.
	// Decisions never use a replica.
	PostgresReplicaURL string `env:"POSTGRES_REPLICA_URL" secret:"url" roles:"server coordinator"`
	// The database for the one connection that listens for notifications, by which processes without
	// a bus hear of each other at once. Empty is POSTGRES_URL. Set it if a pooler is in front of
	// that, to an address behind the pooler; otherwise they hear of each other by polling.
	PostgresListenURL string `env:"POSTGRES_LISTEN_URL" secret:"url" roles:"server coordinator"`
	// Connections for everything but reads of clients. 0 is four for each processor, at least 8.
	PostgresMaxConns int `env:"POSTGRES_MAX_CONNS" envDefault:"0" min:"0" max:"1000" roles:"server coordinator"`
	// Connections for reads of clients. 0 is two for each processor, at least 4; 1 is too few.
	PostgresReadConns int `env:"POSTGRES_READ_CONNS" envDefault:"0" min:"0" max:"1000" roles:"server coordinator"`
	// Bring the schema up to date at the start. If it is off, run "niyanta migrate up" before.
	MigrateOnStart bool `env:"MIGRATE_ON_START" envDefault:"true" roles:"server coordinator"`
	// The servers of NATS, comma separated. Required with BUS=nats.
	NATSURL string `env:"NATS_URL" secret:"url" roles:"server coordinator worker"`
	// The path of a file with a NATS user's JWT and seed.
	NATSCreds string `env:"NATS_CREDS_FILE" roles:"server coordinator worker"`
	// The path of a file with the certificates that sign the NATS servers' own. It switches TLS on.
	NATSCA string `env:"NATS_CA_FILE" roles:"server coordinator worker"`
	// The path of a file with the client certificate for NATS. It goes together with NATS_KEY_FILE.
	NATSCert string `env:"NATS_CERT_FILE" roles:"server coordinator worker"`
	// The path of a file with the key of the client certificate for NATS.
	NATSKey string `env:"NATS_KEY_FILE" roles:"server coordinator worker"`
	// The Redis server. Required with BUS=redis and with RATE_LIMITER=redis.
	RedisURL string `env:"REDIS_URL" secret:"url" roles:"server coordinator worker"`
	// The path of a file with the certificates that sign the Redis server's own. Empty: the system's.
	// It needs a REDIS_URL that begins with rediss://, as the two settings below do.
	RedisCA string `env:"REDIS_CA_FILE" roles:"server coordinator worker"`
	// The path of a file with the client certificate for Redis. It goes together with REDIS_KEY_FILE.
	RedisCert string `env:"REDIS_CERT_FILE" roles:"server coordinator worker"`
	// The path of a file with the key of the client certificate for Redis.
	RedisKey string `env:"REDIS_KEY_FILE" roles:"server coordinator worker"`
	// What the names of subjects on the bus begin with: words of letters, digits, "-" and "_", each
	// ending in ".". It keeps several installations on one bus apart, and must be the same for all
	// coordinators and workers of one.
	BusPrefix string `env:"BUS_PREFIX" envDefault:"niyanta." roles:"server coordinator worker"`

	// Addresses

	// Where the API and the worker protocol are served. ":8080" is every interface of the machine.
	// "niyanta dev" listens on 127.0.0.1:8080 unless this or its flag --addr is set.
	HTTPAddr string `env:"HTTP_ADDR" envDefault:":8080" roles:"dev server coordinator"`
	// A second address, for the admin routes and /metrics. With it, the first one answers 404 for
	// them. Empty is none.
	AdminAddr string `env:"ADMIN_ADDR" roles:"dev server coordinator"`
	// Serve profiles of the process at ADMIN_ADDR, below /debug/pprof/, to administrators. They show
	// what the process does and cost it time while they are taken.
	Pprof bool `env:"PPROF" envDefault:"false" roles:"dev server coordinator"`
	// How long a connection without a request is kept. It must be longer than a load balancer in
	// front keeps its own idle connections.
	HTTPIdleTimeout time.Duration `env:"HTTP_IDLE_TIMEOUT" envDefault:"3m" min:"1s" max:"1h" roles:"dev server coordinator"`
	// Where coordinators answer, one URL or several, comma separated; one that does not answer is
	// left for the next. Required with BUS=memory. With another bus it is the way for what is too
	// large for the bus, and for everything while the bus is disconnected.
	CoordinatorURL string `env:"COORDINATOR_URL" secret:"url" roles:"worker scale-exporter"`

	// Encryption

	// The path of a file with this server's certificate, in PEM, its intermediates behind it. With it,
	// coordinators serve the API, and workers their probes and metrics, over TLS 1.3 and nothing else.
	// It goes together with TLS_KEY_FILE. Certificates are read again when their files change.
	TLSCert string `env:"TLS_CERT_FILE" roles:"dev server coordinator worker"`
	// The path of a file with the key of that certificate.
	TLSKey string `env:"TLS_KEY_FILE" roles:"dev server coordinator worker"`
	// The path of a file with the certificates that sign those of workers. With it, the worker
	// protocol over HTTP needs a client certificate beside the key. One of the certificate's names, an
	// id or a pattern like rack7-*, must match the worker's id. It needs TLS_CERT_FILE.
	WorkerClientCA string `env:"WORKER_CLIENT_CA_FILE" roles:"dev server coordinator"`
	// The path of a file with the certificates that sign the coordinators' own. Empty: the system's.
	// It needs a COORDINATOR_URL that begins with https://, as the two settings below do.
	CoordinatorCA string `env:"COORDINATOR_CA_FILE" roles:"worker scale-exporter"`
	// The path of a file with the client certificate that the worker shows coordinators. It goes
	// together with COORDINATOR_KEY_FILE.
	CoordinatorCert string `env:"COORDINATOR_CERT_FILE" roles:"worker scale-exporter"`
	// The path of a file with the key of that client certificate.
	CoordinatorKey string `env:"COORDINATOR_KEY_FILE" roles:"worker scale-exporter"`

	// Probes of workers

	// Where a worker serves /health, /ready and /metrics: an address, or nothing (the variable is set
	// and empty) to serve nothing. It needs no key and shows nothing of the work but its counts. While
	// another process listens on the default, the worker works without it and tries again; any other
	// address that is taken is a mistake. So give each of several workers on one machine an address of
	// its own. The workers in a server have none.
	WorkerHTTPAddr string `env:"WORKER_HTTP_ADDR" envDefault:":8081" empty:"kept" roles:"worker"`

	// Requests at once

	// How many requests of customers a coordinator serves at once. It answers those beyond with 503
	// and "Retry-After". Health checks are not counted. A batch of more than 1 MiB counts as 16.
	MaxRequests int `env:"MAX_REQUESTS" envDefault:"4096" min:"1" max:"1000000" roles:"dev server coordinator"`
	// How many of them one customer may have; a list of large payloads counts as several, by size.
	// Operators, who have no customer, have as many for themselves.
	MaxRequestsPerCustomer int `env:"MAX_REQUESTS_PER_CUSTOMER" envDefault:"512" min:"1" max:"1000000" roles:"dev server coordinator"`
	// How many requests of customers may wait at once, as those with "wait" do. They are not
	// counted as MAX_REQUESTS.
	MaxLongPolls int `env:"MAX_LONG_POLLS" envDefault:"4096" min:"1" max:"1000000" roles:"dev server coordinator"`
	// How many of them one customer may have.
	MaxLongPollsPerCustomer int `env:"MAX_LONG_POLLS_PER_CUSTOMER" envDefault:"512" min:"1" max:"1000000" roles:"dev server coordinator"`
	// How many streams of live updates may be open at once. They are not counted as MAX_REQUESTS.
	MaxStreams int `env:"MAX_STREAMS" envDefault:"10000" min:"1" max:"1000000" roles:"dev server coordinator"`
	// How many of them may be open with one key.
	MaxStreamsPerKey int `env:"MAX_STREAMS_PER_KEY" envDefault:"1000" min:"1" max:"1000000" roles:"dev server coordinator"`
	// After how long a stream of live updates without events sends a comment, so that proxies keep
	// it open, and the interval of pings over WebSockets. A client that takes no data for as long, or
	// answers no ping, loses its stream.
	StreamHeartbeat time.Duration `env:"STREAM_HEARTBEAT" envDefault:"15s" min:"100ms" max:"1h" roles:"dev server coordinator"`
	// Web pages of which origins may open WebSockets, beside those of the coordinator's own address,
	// comma separated: hosts, as app.example.com, or with their scheme, as https://app.example.com.
	// "*" stands for any characters, as in *.example.com. Programs that are no browsers send no origin.
	SocketOrigins []string `env:"SOCKET_ORIGINS" roles:"dev server coordinator"`
	// How many requests of workers a coordinator serves at once, beside those of customers.
	MaxWorkerRequests int `env:"MAX_WORKER_REQUESTS" envDefault:"4096" min:"1" max:"1000000" roles:"dev server coordinator"`
	// How many workers may wait at once for commands over HTTP. At most one request per worker
	// waits, so this bounds the workers without a bus.
	MaxWorkerPolls int `env:"MAX_WORKER_POLLS" envDefault:"16384" min:"1" max:"1000000" roles:"dev server coordinator"`

	// Keys

	// The first administrator's key: at least 32 characters, 8 of them different, no repetition.
	// Required for coordinators, the same for all of them: it also signs the cursors of lists.
	// "niyanta dev" makes one up.
	AdminKey string `env:"ADMIN_KEY" secret:"true" roles:"dev server coordinator"`
	// The workers' key, as strong as ADMIN_KEY and different from it. A coordinator accepts each of
	// several, comma separated, so that the key can be changed; a worker sends exactly one. A
	// coordinator needs it with BUS=memory, a worker with COORDINATOR_URL. A server needs it if
	// other workers join it. "niyanta dev" makes one up.
	WorkerKeys []string `env:"WORKER_KEY" secret:"true" roles:"dev server coordinator worker"`
	// The key of the customer cust_dev: "nyt_cust_dev_" and 32 letters and digits. One is made up
	// if it is empty.
	DevCustomerKey string `env:"DEV_CUSTOMER_KEY" secret:"true" roles:"dev"`

	// Identity provider

	// The URL of an OpenID Connect provider, exactly as its tokens name it in "iss". Its tokens are
	// then accepted beside API keys; see identity.md. It must begin with https://, unless it is on
	// this machine. Empty: no tokens are accepted.
	OIDCIssuer string `env:"OIDC_ISSUER" roles:"dev server coordinator"`
	// What tokens for this installation name in "aud". Required with OIDC_ISSUER.
	OIDCAudience string `env:"OIDC_AUDIENCE" roles:"dev server coordinator"`
	// The claim with the customer's id. Dots lead into objects.
	OIDCCustomerClaim string `env:"OIDC_CUSTOMER_CLAIM" envDefault:"customer_id" roles:"dev server coordinator"`
	// The claim with the role, or with a list of names among which it is. Dots lead into objects, as
	// in realm_access.roles.
	OIDCRoleClaim string `env:"OIDC_ROLE_CLAIM" envDefault:"role" roles:"dev server coordinator"`
	// What that claim calls the roles, as name=role,name=role with the roles admin, scaler, customer
	// and viewer. A bearer with several names has the first role of this list, one with none is
	// refused. Empty: their own names.
	OIDCRoles []string `env:"OIDC_ROLES" roles:"dev server coordinator"`
	// The path of a file with the certificates that sign the provider's own. Empty: the system's.
	OIDCCA string `env:"OIDC_CA_FILE" roles:"dev server coordinator"`

	// Workers

	// How many workers "niyanta server" has in its process. "niyanta dev" has two unless this or its
	// flag --workers is set.
	Workers int `env:"WORKERS" envDefault:"1" min:"0" max:"100" roles:"dev server"`
	// The worker's name: letters, digits, "-" and "_". No two workers may share one. Empty makes
	// one of the host's name. The workers of a server have it with "-1", "-2" and so on.
	WorkerID string `env:"WORKER_ID" roles:"server worker"`
	// How many workloads the worker runs at once. In a server each of its workers does.
	WorkerSlots int `env:"WORKER_SLOTS" envDefault:"10" min:"1" max:"10000" roles:"dev server worker"`
	// What affinity rules can ask for, as k=v,k=v.
	WorkerTags string `env:"WORKER_TAGS" roles:"dev server worker"`
	// The processors that workloads may reserve, such as 7.5; 0: without a limit. Empty: those of the
	// machine. The workers of one server share them, as they share memory and disk.
	WorkerCPU string `env:"WORKER_CPU" roles:"dev server worker"`
	// The memory that workloads may reserve, in MiB; 0: without a limit. Empty: that of the machine.
	WorkerMemoryMB string `env:"WORKER_MEMORY_MB" roles:"dev server worker"`
	// The disk that workloads may reserve, in MiB; 0: without a limit. Empty: what is free for
	// temporary files when the worker starts.
	WorkerDiskMB string `env:"WORKER_DISK_MB" roles:"dev server worker"`
	// The GPUs that workloads may reserve, as MODEL:COUNT, or MODEL@ID for one that
	// CUDA_VISIBLE_DEVICES names by the id, comma separated; "none": none. Empty: those of the
	// machine. In a server its first worker has them.
	WorkerDevices string `env:"WORKER_DEVICES" roles:"dev server worker"`
	// What else workloads may reserve, as name=amount, comma separated. Of a server: its first worker.
	WorkerResources string `env:"WORKER_RESOURCES" roles:"dev server worker"`
	// Run the worker as the child of a supervisor that certifies its death, so that its work moves
	// at once. Switch it off for debuggers only.
	Supervise bool `env:"SUPERVISE" envDefault:"true" roles:"dev server worker"`
	// The programs that the type "exec" may start, comma separated: names, looked up in PATH, or
	// absolute paths. Empty: the worker does not offer the type.
	ExecAllow []string `env:"EXEC_ALLOW" roles:"dev server worker"`
	// The variables that an input may set for a program, as program=NAME NAME, comma separated. The
	// program is one of EXEC_ALLOW, or "*" for all of them; a name that ends in "*" is a prefix.
	ExecEnv []string `env:"EXEC_ENV" roles:"dev server worker"`
	// The users that programs run as: "auto", "none", or a range first-last of user ids that nobody
	// else on the machine uses, at least one more than there are slots.
	ExecUIDs string `env:"EXEC_UIDS" envDefault:"auto" roles:"dev server worker"`
	// How programs are held to their resource_limits: by control groups ("cgroup"; without them the
	// worker does not start), by process limits and the worker's own looks ("rlimit"), not at all
	// ("none"), or by control groups where the worker may make them and by "rlimit" elsewhere ("auto").
	ExecLimits string `env:"EXEC_LIMITS" envDefault:"auto" roles:"dev server worker"`
	// Whether each program runs in PID, mount and IPC namespaces of its own: "auto" is where the
	// worker may make them. With "required" it does not start where it may not.
	ExecNamespaces string `env:"EXEC_NAMESPACES" envDefault:"auto" choices:"auto required none" roles:"dev server worker"`
	// Let the type "http" call private, loopback and link-local addresses.
	HTTPTypeAllowPrivate bool `env:"HTTP_TYPE_ALLOW_PRIVATE" envDefault:"false" roles:"dev server worker"`

	// Scheduling

	// The order in which waiting workloads are placed. "fifo" is by waiting time. "priority" is by
	// priority times the tier's weight, and what waits rises. "fair" shares slot-time between
	// customers by the tier's weight, and is by priority within one. Set it alike on all
	// coordinators.
	SchedulerPolicy domain.Policy `env:"SCHEDULER_POLICY" envDefault:"priority" choices:"fifo priority fair" roles:"dev server coordinator"`
	// Let a workload of a higher tier that finds every worker full ask one of a lower tier to
	// checkpoint and make room.
	Preemption bool `env:"PREEMPTION" envDefault:"false" roles:"dev server coordinator"`
	// The workload types, comma separated, whose anti-affinity rules also keep other customers'
	// work away.
	AntiAcross []string `env:"ANTI_AFFINITY_ACROSS_TYPES" roles:"dev server coordinator"`
	// Refuse a submission of a type that its customer has no config for and that no live worker
	// offers. If it is off, the submission is accepted and waits for a worker.
	RequireKnownTypes bool `env:"REQUIRE_KNOWN_TYPES" envDefault:"false" roles:"dev server coordinator"`

	// Scaling

	// The pools of workers that an autoscaler grows and shrinks, as a JSON list; see scaling.md. For
	// each of them GET /v1/scaling says how many workers it needs, also while it has none. Empty: no
	// pools. Set it alike on all coordinators.
	Pools string `env:"POOLS" roles:"dev server coordinator"`
	// The pool whose figures "niyanta scale-exporter" publishes. Required for it.
	ScalerPool string `env:"SCALER_POOL" roles:"scale-exporter"`
	// The scaler's key with which it asks coordinators. Required for it.
	ScalerKey string `env:"SCALER_KEY" secret:"true" roles:"scale-exporter"`
	// The time between two looks at the coordinators and the group.
	ScalerInterval time.Duration `env:"SCALER_INTERVAL" envDefault:"20s" min:"1s" max:"5m" roles:"scale-exporter"`
	// Where it serves /health, /ready and /metrics: an address, or nothing (the variable is set and
	// empty) to serve nothing.
	ScalerHTTPAddr string `env:"SCALER_HTTP_ADDR" envDefault:":8082" empty:"kept" roles:"scale-exporter"`
	// The EC2 Auto Scaling group whose machines run the pool's workers. Required for "niyanta
	// scale-exporter aws", which finds region and credentials as all programs with the AWS SDK do.
	AWSGroup string `env:"AWS_AUTOSCALING_GROUP" roles:"scale-exporter"`
	// The group's lifecycle hook for terminations, which the exporter completes when a machine's worker
	// has drained. Empty: none.
	AWSHook string `env:"AWS_LIFECYCLE_HOOK" roles:"scale-exporter"`
	// The namespace of the metrics in CloudWatch.
	AWSNamespace string `env:"AWS_METRIC_NAMESPACE" envDefault:"Niyanta" roles:"scale-exporter"`

	// Times

	// How often a worker sends a heartbeat. Coordinators tell it to their workers.
	HeartbeatInterval time.Duration `env:"HEARTBEAT_INTERVAL" envDefault:"2.5s" min:"100ms" roles:"dev server coordinator"`
	// How long a worker may be silent before its work goes to others: at least three heartbeat
	// intervals. Coordinators tell it to their workers.
	WorkerLease time.Duration `env:"WORKER_LEASE" envDefault:"10s" min:"100ms" roles:"dev server coordinator"`
	// How long a leader may be silent before another coordinator leads.
	LeaderTTL time.Duration `env:"LEADER_TTL" envDefault:"4s" min:"1s" roles:"dev server coordinator"`
	// How long a worker that is told to end waits for its runs to checkpoint and stop.
	DrainTimeout time.Duration `env:"DRAIN_TIMEOUT" envDefault:"5m" min:"100ms" roles:"dev server worker"`

	// Where the notice appears that the machine will be taken away: file:/path, an http URL of the
	// cloud's metadata service, signal:USR1 or signal:USR2; see scaling.md. The worker then drains
	// within PREEMPT_WITHIN, and does not start again while the notice is there. Empty: nowhere.
	PreemptNotice string `env:"PREEMPT_NOTICE" roles:"worker"`
	// How long the machine remains after the notice.
	PreemptWithin time.Duration `env:"PREEMPT_WITHIN" envDefault:"30s" min:"1s" max:"1h" roles:"worker"`

	// Retention

	// How long a workload is kept after it has finished; then it moves to the archive. A customer
	// can have a period of its own.
	KeepWorkloads time.Duration `env:"KEEP_WORKLOADS" envDefault:"2160h" min:"24h" roles:"dev server coordinator"`
	// How long the log lines of a workload are kept after it has finished. They go with the workload
	// at the latest. A customer can have a period of its own.
	KeepLogs time.Duration `env:"KEEP_LOGS" envDefault:"2160h" min:"1h" roles:"dev server coordinator"`
	// How long a workload is found in the archive, by its id.
	KeepArchive time.Duration `env:"KEEP_ARCHIVE" envDefault:"8760h" min:"24h" roles:"dev server coordinator"`
	// Where archived workloads are written as lines of JSON, month by month, before they are dropped:
	// s3://bucket/prefix with the parameters endpoint, region, path_style and kms_key_id, file:///folder,
	// or mem:// with STORE=memory. Empty: they are dropped without. Set it alike on all coordinators.
	ArchiveURL string `env:"ARCHIVE_URL" roles:"server coordinator"`
	// Where checkpoints above CHECKPOINT_THRESHOLD_MB are kept: s3://bucket/prefix with the parameters
	// endpoint, region, path_style and kms_key_id, file:///folder that all coordinators share, or mem://
	// with STORE=memory. Empty: nowhere, and a checkpoint has at most 10 MiB. Set it alike on all
	// coordinators, and keep it as long as there are such checkpoints.
	CheckpointURL string `env:"CHECKPOINT_URL" roles:"server coordinator"`
	// The largest checkpoint, in MiB, that is kept in the storage itself while CHECKPOINT_URL is set.
	CheckpointThreshold int `env:"CHECKPOINT_THRESHOLD_MB" envDefault:"1" min:"0" max:"10" roles:"server coordinator"`
	// The largest checkpoint, in MiB, while CHECKPOINT_URL is set.
	MaxCheckpoint int `env:"MAX_CHECKPOINT_MB" envDefault:"16384" min:"10" max:"65536" roles:"server coordinator"`
	// How long audit events of workloads and workers are kept. Those of a month in UTC go together,
	// when the whole month is older than this.
	KeepAudit time.Duration `env:"KEEP_AUDIT" envDefault:"8760h" min:"24h" roles:"dev server coordinator"`
	// How long audit events of administrators are kept.
	KeepAdminAudit time.Duration `env:"KEEP_ADMIN_AUDIT" envDefault:"8760h" min:"24h" roles:"dev server coordinator"`
	// How long the hours of statistics are kept.
	KeepStatistics time.Duration `env:"KEEP_STATISTICS" envDefault:"9600h" min:"24h" roles:"dev server coordinator"`
	// How long a worker that has died stays listed, and its ended sessions stay known: what was
	// delayed for longer than that could pass for new.
	KeepDeadWorkers time.Duration `env:"KEEP_DEAD_WORKERS" envDefault:"168h" min:"1h" roles:"dev server coordinator"`

	// Logs, metrics and traces

	// The least level that is logged: "debug", "info", "warn" or "error".
	LogLevel slog.Level `env:"LOG_LEVEL" envDefault:"info" roles:"dev server coordinator worker migrate scale-exporter"`
	// Text for people ("console") or one JSON object per line. Auto: text on a terminal, JSON
	// elsewhere.
	LogFormat string `env:"LOG_FORMAT" envDefault:"auto" choices:"auto json console" roles:"dev server coordinator worker migrate scale-exporter"`
	// The customers, comma separated, that have series of their own in /metrics: what they have waiting
	// and running. Figures of all customers are in the API.
	MetricsCustomers []string `env:"METRICS_CUSTOMERS" roles:"dev server coordinator"`
	// Where spans are sent with OTLP over HTTP, like http://collector:4318. Empty: nowhere.
	OTLPEndpoint string `env:"OTLP_ENDPOINT" secret:"url" roles:"dev server coordinator"`

	// TakeOver is what the command line says for this start, and no variable: set for good, two
	// processes would displace each other for ever.
	TakeOver bool

	// missing are the secrets whose files cannot be read. They are reported as that.
	missing []string
}

// retention returns how long what is kept for a time is kept.
func (c Config) retention() domain.Retention {
	return domain.Retention{
		Workloads: c.KeepWorkloads, Logs: c.KeepLogs, Archive: c.KeepArchive, Audit: c.KeepAudit,
		AdminAudit: c.KeepAdminAudit, Statistics: c.KeepStatistics, DeadWorkers: c.KeepDeadWorkers,
	}
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

// DevHTTPAddr is where the development server listens unless it is told otherwise: at this machine
// only, for it prints its keys.
const DevHTTPAddr = "127.0.0.1:8080"

// Prefix of all variables.
const Prefix = "NIYANTA_"

// Load parses the variables. Its error names each one that cannot be read, and the configuration
// has the default in its place, so that Validate can report what else is wrong.
func Load(environment []string) (Config, error) {
	vars := env.ToMap(environment)
	errs := []error{checkNames(vars)}
	missing, err := readSecretFiles(vars)
	errs = append(errs, err)
	c, err := parse(vars)
	var agg env.AggregateError
	if errors.As(err, &agg) {
		for _, e := range agg.Errors {
			errs = append(errs, explain(e, vars))
		}
		for _, e := range agg.Errors {
			var pe env.ParseError
			if errors.As(e, &pe) {
				delete(vars, variable(pe.Name))
			}
		}
		c, err = parse(vars)
	}
	c.missing = missing
	return c, errors.Join(append(errs, err)...)
}

func parse(vars map[string]string) (Config, error) {
	var c Config
	err := env.ParseWithOptions(&c, env.Options{Prefix: Prefix, Environment: vars})
	v, t := reflect.ValueOf(&c).Elem(), reflect.TypeFor[Config]()
	for i := range t.NumField() {
		if value, set := vars[Prefix+t.Field(i).Tag.Get("env")]; set && value == "" && t.Field(i).Tag.Get("empty") == "kept" {
			v.Field(i).SetZero()
		}
	}
	return c, err
}

// variable returns the name of the variable of a field, or nothing if there is no such field.
func variable(field string) string {
	f, ok := reflect.TypeFor[Config]().FieldByName(field)
	if !ok {
		return ""
	}
	return Prefix + f.Tag.Get("env")
}

// explain names the variable where env names the field, and says what its value must be.
func explain(err error, vars map[string]string) error {
	var pe env.ParseError
	if !errors.As(err, &pe) {
		return err
	}
	f, ok := reflect.TypeFor[Config]().FieldByName(pe.Name)
	if !ok {
		return err
	}
	name, want := variable(pe.Name), ""
	switch f.Type {
	case reflect.TypeFor[time.Duration]():
		want = "must be a duration like 10s or 5m"
	case reflect.TypeFor[bool]():
		want = "must be true or false"
	case reflect.TypeFor[slog.Level]():
		want = "must be debug, info, warn or error"
	case reflect.TypeFor[int]():
		want = "must be a whole number"
	default:
		return fmt.Errorf("%s: %w", name, pe.Err) // the value may be a secret
	}
	return fmt.Errorf("%s: %s, not %q", name, want, vars[name])
}
