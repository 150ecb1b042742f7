package bootstrap

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
)

// Setting is one variable with its effective value.
type Setting struct{ Variable, Value string }

// shown lists the text settings that `niyanta config` prints unmasked. All other text settings are
// masked, so that a new setting counts as secret until it is added here. Numbers, durations and
// switches hold no secrets and are always printed.
var shown = map[string]bool{
	"STORE": true, "BUS": true, "RATE_LIMITER": true, "BUS_PREFIX": true,
	"NATS_CREDS_FILE": true, "NATS_CA_FILE": true, "NATS_CERT_FILE": true, "NATS_KEY_FILE": true,
	"REDIS_CA_FILE": true, "REDIS_CERT_FILE": true, "REDIS_KEY_FILE": true,
	"TLS_CERT_FILE": true, "TLS_KEY_FILE": true, "WORKER_CLIENT_CA_FILE": true,
	"COORDINATOR_CA_FILE": true, "COORDINATOR_CERT_FILE": true, "COORDINATOR_KEY_FILE": true,
	"OIDC_ISSUER": true, "OIDC_AUDIENCE": true, "OIDC_CUSTOMER_CLAIM": true, "OIDC_ROLE_CLAIM": true,
	"OIDC_ROLES": true, "OIDC_CA_FILE": true,
	"HTTP_ADDR": true, "ADMIN_ADDR": true, "WORKER_HTTP_ADDR": true,
	"WORKER_ID": true, "WORKER_TAGS": true, "WORKER_CPU": true, "WORKER_MEMORY_MB": true,
	"WORKER_DISK_MB": true, "WORKER_DEVICES": true, "WORKER_RESOURCES": true, "PREEMPT_NOTICE": true,
	"POOLS":       true,
	"SCALER_POOL": true, "SCALER_HTTP_ADDR": true, "AWS_AUTOSCALING_GROUP": true, "AWS_LIFECYCLE_HOOK": true,
	"AWS_METRIC_NAMESPACE": true,
	"EXEC_ALLOW":           true, "EXEC_ENV": true, "EXEC_UIDS": true, "EXEC_LIMITS": true,
	"EXEC_NAMESPACES":            true,
	"ANTI_AFFINITY_ACROSS_TYPES": true, "SCHEDULER_POLICY": true, "LOG_FORMAT": true, "METRICS_CUSTOMERS": true,
}

// Settings lists the effective values in the order of Config, secrets masked.
func (c Config) Settings() []Setting {
	v, t := reflect.ValueOf(c), reflect.TypeFor[Config]()
	out := make([]Setting, 0, t.NumField())
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("env")
		if name == "" {
			continue // set by the command line
		}
		out = append(out, Setting{Prefix + name, shownValue(name, f.Tag.Get("secret"), v.Field(i))})
	}
	return out
}

// shownValue returns the value of a setting as text, masked if it may be secret.
func shownValue(name, secret string, v reflect.Value) string {
	value, text := fmt.Sprint(v.Interface()), v.Kind() == reflect.String
	if list, ok := v.Interface().([]string); ok {
		value, text = strings.Join(list, ","), true
	}
	switch {
	case value == "" || secret == "" && (!text || shown[name]):
		return value
	case secret == "url":
		return maskURLs(value)
	}
	return masked
}

const masked = "********"

// maskURLs applies maskURL to connection strings that are separated by commas.
func maskURLs(s string) string {
	parts := strings.Split(s, ",")
	for i, part := range parts {
		parts[i] = maskURL(strings.TrimSpace(part))
	}
	return strings.Join(parts, ",")
}

// plainSchemes lists the schemes of URLs of which a part is printed. The value says whether the
// path is the name of a database. Otherwise it may hold a token.
var plainSchemes = map[string]struct{ path bool }{
	"postgres": {true}, "postgresql": {true}, "redis": {true}, "rediss": {true},
	"nats": {}, "tls": {}, "ws": {}, "wss": {}, "http": {}, "https": {},
}

// plainParameters lists the parameters of connection strings that hold no secret.
var plainParameters = map[string]bool{
	"sslmode": true, "connect_timeout": true, "application_name": true, "default_query_exec_mode": true,
	"host": true, "port": true, "dbname": true, "user": true, "target_session_attrs": true, "search_path": true,
	"timezone": true, "pool_max_conns": true, "sslrootcert": true, "sslcert": true, "sslkey": true,
	"db": true, "protocol": true,
}

// plainPaths lists paths that hold no secret.
var plainPaths = map[string]bool{"": true, "/": true, "/v1/traces": true}

// maskURL masks a connection string but for the parts that help to recognise it: scheme, user,
// host, database and harmless parameters. A user without a password may be a token, so it is
// masked. A string that cannot be parsed is masked as a whole.
func maskURL(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" {
		return masked
	}
	scheme, known := plainSchemes[u.Scheme]
	if !known {
		return masked
	}
	if u.User != nil {
		if password, _ := u.User.Password(); password != "" {
			u.User = url.UserPassword(u.User.Username(), masked)
		} else {
			u.User = url.User(masked)
		}
	}
	if !scheme.path && !plainPaths[u.Path] {
		u.Path, u.RawPath = "/"+masked, ""
	}
	q := u.Query()
	for k := range q {
		if !plainParameters[k] {
			q.Set(k, masked)
		}
	}
	u.RawQuery = q.Encode()
	if u.Fragment != "" {
		u.Fragment, u.RawFragment = masked, ""
	}
	return strings.ReplaceAll(u.String(), url.QueryEscape(masked), masked)
}
