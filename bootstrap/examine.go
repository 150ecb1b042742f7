package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/services/coordinator"
)

// Severity says how bad a finding is.
type Severity int

// The severities.
const (
	SeverityNone    Severity = iota // as it should be
	SeverityWarning                 // it works, and may hurt some day
	SeverityProblem                 // a server does not start, or does not work
)

// Finding is what was found about one setting of a server.
type Finding struct {
	Severity Severity
	// Found says what is the case, Advice what to do about it.
	Found, Advice string
}

// findings collects findings.
type findings []Finding

func (f *findings) fine(format string, args ...any) {
	*f = append(*f, Finding{SeverityNone, fmt.Sprintf(format, args...), ""})
}

func (f *findings) warning(advice, format string, args ...any) {
	*f = append(*f, Finding{SeverityWarning, fmt.Sprintf(format, args...), advice})
}

func (f *findings) problem(advice, format string, args ...any) {
	*f = append(*f, Finding{SeverityProblem, fmt.Sprintf(format, args...), advice})
}

// examineTimeout bounds how long an answer is waited for.
const examineTimeout = 5 * time.Second

// Examine reads the settings of a server as a start in that role would, and asks what they name. It
// changes nothing.
func Examine(ctx context.Context, environment []string, role Role) []Finding {
	var found findings
	cfg, err := Load(environment)
	if err := errors.Join(err, cfg.Validate(role)); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			found.problem("a "+string(role)+" with these settings does not start; docs/operations/settings.md describes each",
				"%s", line)
		}
		return found
	}
	found.files(cfg, environment)
	var asks []func(context.Context, Config)
	if role == RoleServer || role == RoleCoordinator {
		found.database(ctx, cfg) // it may try several hosts, for a bounded time each
		asks = append(asks, found.limiter, found.archive, found.checkpoints)
	}
	if role == RoleScaleExporter {
		asks = append(asks, found.scaler)
	} else {
		asks = append(asks, found.bus)
	}
	if role == RoleWorker && cfg.CoordinatorURL != "" {
		asks = append(asks, found.coordinators)
	}
	for _, ask := range asks {
		bounded, cancel := context.WithTimeout(ctx, examineTimeout)
		ask(bounded, cfg)
		cancel()
	}
	if len(found) == 0 {
		found.fine("the settings are those of a %s, and name nothing else that could be asked", role)
	}
	return found
}

// files checks that nobody else may read files with secrets.
func (f *findings) files(cfg Config, environment []string) {
	paths := map[string]string{}
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("secret") != "" {
			paths[Prefix+t.Field(i).Tag.Get("env")+fileSuffix] = ""
		}
	}
	for _, pair := range environment {
		if name, path, _ := strings.Cut(pair, "="); path != "" {
			if _, secret := paths[name]; secret {
				paths[name] = path
			}
		}
	}
	for _, prefix := range []string{tlsServing, tlsCoordinator, tlsNATS, tlsRedis} {
		paths[Prefix+prefix+"_KEY_FILE"] = cfg.certificateFiles(prefix).Key
	}
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		if path := paths[name]; path != "" && readableByAll(path) {
			f.warning("chmod 600 "+path+", and make the server's user its owner",
				"%s: %s holds a secret, and every user of this machine may read it", name, path)
		}
	}
}

func readableByAll(path string) bool {
	info, err := os.Stat(path)
	return err == nil && runtime.GOOS != "windows" && info.Mode()&fs.ModeType == 0 && info.Mode().Perm()&0o004 != 0
}

// database asks the database about itself.
func (f *findings) database(ctx context.Context, cfg Config) {
	if cfg.Store != StorePostgres {
		f.warning("set NIYANTA_STORE=postgres for anything but a try",
			"NIYANTA_STORE: memory keeps everything in this process; nothing survives its end")
		return
	}
	const setting = Prefix + "POSTGRES_URL"
	db, err := postgres.Inspect(ctx, cfg.PostgresURL)
	if err != nil {
		_, err = explainDatabase(err)
		f.problem("start the database, or correct the address, the user and the database's name", "%s", err)
		return
	}
	before := len(*f)
	switch {
	case db.Standby:
		f.problem("name the primary; of several hosts in the URL, coordinators use the one that takes writes",
			"%s: the server is a standby, which takes no writes", setting)
		return
	case db.ReadOnly:
		f.problem("ALTER ROLE or ALTER DATABASE … RESET default_transaction_read_only",
			"%s: transactions of this user are read-only by default", setting)
	}
	switch {
	case db.Schema != nil && !cfg.MigrateOnStart:
		f.problem("run niyanta migrate up, or set NIYANTA_MIGRATE_ON_START=true", "%s: %s", setting, db.Schema)
	case db.Schema != nil:
		f.fine("%s: the next start brings the schema up to date", setting)
		before++
	}
	if len(db.Unsafe) > 0 {
		f.problem("set "+strings.Join(db.Unsafe, "=on, ")+"=on in postgresql.conf and restart or reload the server",
			"%s: the server has %s=off: a crash loses workloads that were acknowledged", setting,
			strings.Join(db.Unsafe, "=off, "))
	}
	o := postgres.Options{MaxConns: cfg.PostgresMaxConns, ReadConns: cfg.PostgresReadConns}
	if own := o.Connections(); !postgres.Pooled(cfg.PostgresURL) && own > db.Connections {
		f.problem("raise max_connections, put a pooler in between, or lower POSTGRES_MAX_CONNS and POSTGRES_READ_CONNS",
			"%s: a coordinator of these settings opens up to %d connections, and the server has %d for all", setting, own,
			db.Connections)
	}
	if postgres.Pooled(cfg.PostgresURL) && cfg.PostgresListenURL == "" && cfg.Bus == BusMemory {
		f.warning("set NIYANTA_POSTGRES_LISTEN_URL to the address behind the pooler, or use a bus",
			"%s: through a pooler, coordinators hear of each other by polling only, which is slow", setting)
	}
	if len(*f) == before {
		f.fine("%s: the database answers, takes writes and keeps what it acknowledges", setting)
	}
}

func (f *findings) bus(ctx context.Context, cfg Config) {
	if cfg.Bus == BusMemory {
		return
	}
	setting := Prefix + strings.ToUpper(cfg.Bus) + "_URL"
	const advice = "start it, or correct the address, the credentials and the certificates; until then work goes over " +
		"HTTP and starts later"
	b, err := openBus(cfg, "doctor", system.IDs{}, slog.New(slog.DiscardHandler))
	if err != nil {
		f.problem(advice, "%s", err)
		return
	}
	defer b.close()
	if err := b.ping(ctx); err != nil {
		f.problem(advice, "%s: the bus does not answer: %s", setting, err)
		return
	}
	f.fine("%s: the bus answers", setting)
}

func (f *findings) limiter(ctx context.Context, cfg Config) {
	if cfg.RateLimiter != LimiterRedis {
		return
	}
	c, _, err := openRedis(cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		defer func() { _ = c.Close() }() // nothing is left to lose
		err = c.Ping(ctx).Err()
	}
	if err != nil {
		f.problem("start Redis, or correct the address and the password; until then each coordinator limits by itself",
			"%sREDIS_URL: the rate limiter does not answer: %s", Prefix, err)
		return
	}
	f.fine("%sREDIS_URL: the rate limiter answers", Prefix)
}

func (f *findings) archive(ctx context.Context, cfg Config) {
	a, done, err := openArchive(cfg, coordinator.Host{Clock: system.Clock{}})
	if err == nil {
		defer done()
		if a.Ping == nil {
			return
		}
		err = a.Ping(ctx)
	}
	if err != nil {
		f.problem("create the bucket or folder, or correct the address and the credentials; until then nothing is dropped "+
			"from the archive", "%sARCHIVE_URL: the archive does not answer: %s", Prefix, err)
		return
	}
	f.fine("%sARCHIVE_URL: the archive answers", Prefix)
}

func (f *findings) checkpoints(ctx context.Context, cfg Config) {
	c, done, err := openCheckpoints(cfg, coordinator.Host{Clock: system.Clock{}})
	if err == nil {
		defer done()
		if c.Ping == nil {
			return
		}
		err = c.Ping(ctx)
	}
	if err != nil {
		f.problem("create the bucket or folder, or correct the address and the credentials; until then large checkpoints "+
			"are neither saved nor restored", "%sCHECKPOINT_URL: the storage does not answer: %s", Prefix, err)
		return
	}
	f.fine("%sCHECKPOINT_URL: the storage of large checkpoints answers", Prefix)
}

// coordinators asks each coordinator that a worker would reach whether it accepts the worker's key.
func (f *findings) coordinators(ctx context.Context, cfg Config) {
	shown, err := cfg.openCertificates(tlsCoordinator, slog.New(slog.DiscardHandler))
	if err != nil {
		f.problem("a worker with these settings does not start", "%s", err)
		return
	}
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented to be one
	shown.Equip(t)
	defer t.CloseIdleConnections()
	for address := range strings.SplitSeq(cfg.CoordinatorURL, ",") {
		f.coordinator(ctx, t, strings.TrimSpace(address), cfg.WorkerKeys[0])
	}
}

// coordinator asks with an empty report, which is refused for what it lacks if the key is accepted.
func (f *findings) coordinator(ctx context.Context, t http.RoundTripper, address, key string) {
	const setting = Prefix + "COORDINATOR_URL"
	at := strings.TrimSuffix(address, "/")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at+"/v1/worker/end", strings.NewReader("{}"))
	if err != nil {
		f.problem("correct the address", "%s: %q is not a URL", setting, maskURL(address))
		return
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := t.RoundTrip(req)
	if err != nil {
		f.problem("start the coordinator, or correct the address and the certificates", "%s: %s does not answer: %s", setting,
			maskURL(address), err)
		return
	}
	_ = resp.Body.Close() // it is not read
	switch resp.StatusCode {
	case http.StatusBadRequest:
		f.fine("%s: %s accepts this worker's key", setting, maskURL(address))
	case http.StatusUnauthorized:
		f.problem("set NIYANTA_WORKER_KEY to the coordinators' own, or make a key (niyanta key create --role worker)",
			"%sWORKER_KEY: %s does not know the key: the worker cannot register", Prefix, maskURL(address))
	case http.StatusForbidden:
		f.problem("use a worker's key, and a client certificate that names the worker if the coordinators want one",
			"%sWORKER_KEY: %s refuses the key or the certificate: it is not a worker's", Prefix, maskURL(address))
	default:
		f.problem("check the address: it must be a coordinator's, without a path", "%s: %s answers %s", setting,
			maskURL(address), resp.Status)
	}
}
