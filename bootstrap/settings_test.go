package bootstrap

import (
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/services/coordinator"
)

const canary = "hunter2canary"

// TestSettings_WithACanaryInEverySetting_PrintNone puts a secret into every text setting, in every
// place of a URL.
func TestSettings_WithACanaryInEverySetting_PrintNone(t *testing.T) {
	forms := []string{
		canary, "x," + canary,
		"host=h password=" + canary, canary + ":4222", canary + "@h:4222", "unknown://" + canary,
	}
	for scheme, understood := range plainSchemes {
		base := scheme + "://"
		forms = append(forms, base+"u:"+canary+"@h:1", base+canary+"@h:1", base+canary+":@h:1", base+":"+canary+"@h:1",
			base+"u:p,"+canary+"@h:1", base+"h:1?password="+canary, base+"h:1?token="+canary+"&user=u",
			base+"h:1/?x=%20"+canary, base+"h:1#"+canary,
			base+"a:b@one:1,"+base+"u:"+canary+"@two:1", base+"a:b@one:1, "+base+canary+"@two:1")
		if !understood.path {
			forms = append(forms, base+"h:1/"+canary, base+"h:1/v1/"+canary+"/x", base+"h:1/%2F"+canary)
		}
	}
	var printed []string
	for i := range reflect.TypeFor[Config]().NumField() {
		f := reflect.TypeFor[Config]().Field(i)
		list := f.Type == reflect.TypeFor[[]string]()
		if f.Type.Kind() != reflect.String && !list || !f.IsExported() {
			continue
		}
		name := f.Tag.Get("env")
		for _, form := range forms {
			var c Config
			if v := reflect.ValueOf(&c).Elem().Field(i); list {
				v.Set(reflect.ValueOf([]string{"x", form}))
			} else {
				v.SetString(form)
			}
			for _, s := range c.Settings() {
				if strings.Contains(s.Value, canary) && !slices.Contains(printed, name) {
					printed = append(printed, name)
				}
			}
		}
	}
	want := []string{
		"STORE", "BUS", "RATE_LIMITER", "NATS_CREDS_FILE", "NATS_CA_FILE", "NATS_CERT_FILE", "NATS_KEY_FILE",
		"REDIS_CA_FILE", "REDIS_CERT_FILE", "REDIS_KEY_FILE", "TLS_CERT_FILE", "TLS_KEY_FILE",
		"WORKER_CLIENT_CA_FILE", "COORDINATOR_CA_FILE", "COORDINATOR_CERT_FILE", "COORDINATOR_KEY_FILE",
		"OIDC_ISSUER", "OIDC_AUDIENCE", "OIDC_CUSTOMER_CLAIM", "OIDC_ROLE_CLAIM", "OIDC_ROLES", "OIDC_CA_FILE",
		"BUS_PREFIX", "HTTP_ADDR", "ADMIN_ADDR", "WORKER_HTTP_ADDR",
		"WORKER_ID", "WORKER_TAGS", "WORKER_CPU", "WORKER_MEMORY_MB", "WORKER_DISK_MB", "WORKER_DEVICES",
		"WORKER_RESOURCES", "PREEMPT_NOTICE",
		"EXEC_ALLOW", "EXEC_ENV", "EXEC_UIDS", "EXEC_LIMITS", "EXEC_NAMESPACES",
		"SCHEDULER_POLICY", "ANTI_AFFINITY_ACROSS_TYPES", "LOG_FORMAT",
		"METRICS_CUSTOMERS", "POOLS", "SCALER_POOL", "SCALER_HTTP_ADDR", "AWS_AUTOSCALING_GROUP", "AWS_LIFECYCLE_HOOK",
		"AWS_METRIC_NAMESPACE",
	}
	slices.Sort(printed)
	slices.Sort(want)
	assert.Equal(t, want, printed,
		"only these settings are printed as they are: names, addresses and paths, no secrets")
}

func TestSettings_OfURLs_KeepWhatHelpsToRecogniseThem(t *testing.T) {
	for s, want := range map[string]string{
		"postgres://u:hunter2@h:5432/d?sslmode=disable": "postgres://u:********@h:5432/d?sslmode=disable",
		"postgres://u@h/d": "postgres://********@h/d",
		"postgres:///d?host=/run/postgresql&passfile=x":       "postgres:///d?host=%2Frun%2Fpostgresql&passfile=********",
		"postgres://h/d?password=hunter2&user=u":              "postgres://h/d?password=********&user=u",
		"host=h password=hunter2":                             "********",
		"nats://a:hunter2@one:4222,nats://b:hunter2@two:4222": "nats://a:********@one:4222,nats://b:********@two:4222",
		"nats://token@h:4222":                                 "nats://********@h:4222",
		"redis://:hunter2@h:6379/0":                           "redis://:********@h:6379/0",
		"https://key:secret@collector/v1/traces":              "https://key:********@collector/v1/traces",
		"https://collector/token/v1/traces?api-key=k":         "https://collector/********?api-key=********",
		"http://one:8080,http://u:p@two:8080":                 "http://one:8080,http://u:********@two:8080",
	} {
		assert.Equal(t, want, maskURLs(s))
	}
	c, err := Load([]string{adminKey, workerKey, "NIYANTA_EXEC_ALLOW=sh,ls"})
	require.NoError(t, err)
	settings := map[string]string{}
	for _, s := range c.Settings() {
		settings[s.Variable] = s.Value
	}
	assert.Equal(t, "********", settings["NIYANTA_ADMIN_KEY"])
	assert.Equal(t, "********", settings["NIYANTA_WORKER_KEY"])
	assert.Equal(t, "sh,ls", settings["NIYANTA_EXEC_ALLOW"])
	assert.Empty(t, settings["NIYANTA_DEV_CUSTOMER_KEY"], "an empty secret shows that it is empty")
	assert.Equal(t, "10", settings["NIYANTA_WORKER_SLOTS"])
}

func TestConfig_WhenAURLIsWrong_TheReasonHoldsNoSecret(t *testing.T) {
	for _, s := range []string{
		"NIYANTA_OTLP_ENDPOINT=ftp://u:" + canary + "@h", "NIYANTA_OTLP_ENDPOINT=http://u:" + canary + "@h:x",
		"NIYANTA_OTLP_ENDPOINT=" + canary,
	} {
		got := problems(RoleDev, s)
		assert.Contains(t, got, "NIYANTA_OTLP_ENDPOINT")
		assert.NotContains(t, got, canary)
	}
	log := NewLogger(os.Stderr, 8, "json")
	for _, bad := range []string{"://u:%s@h", "nats://u:%s@h:x", "http://u:%s@h:x", "u:%s@h", "ftp://u:%s@h"} {
		bad = strings.ReplaceAll(bad, "%s", canary)
		_, err := NewWorker(t.Context(), Config{CoordinatorURL: bad, WorkerKeys: []string{"k"}, Bus: BusMemory}, "v",
			log)
		require.Error(t, err)
		assert.NotContains(t, err.Error(), canary, "coordinator")
		for _, bus := range []string{BusNATS, BusRedis} {
			cfg := Config{Bus: bus, NATSURL: bad, RedisURL: bad}
			if opened, err := openBus(cfg, "x", nil, log); err == nil {
				opened.close()
			} else {
				assert.NotContains(t, err.Error(), canary, bus)
			}
		}
		_, _, err = openStorage(t.Context(), Config{Store: StorePostgres, PostgresURL: bad},
			coordinator.Host{Log: log}, nil)
		require.Error(t, err)
		assert.NotContains(t, err.Error(), canary, "postgres")
	}
}

func TestSecrets_FromFiles_AreReadAndEveryMistakeIsReported(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	for i := range reflect.TypeFor[Config]().NumField() {
		f := reflect.TypeFor[Config]().Field(i)
		if f.Tag.Get("secret") == "" {
			continue
		}
		name := f.Tag.Get("env")
		c, err := Load([]string{"NIYANTA_" + name + "_FILE=" + file(name, "http://h/"+name+"\n")})
		require.NoError(t, err)
		got := reflect.ValueOf(c).Field(i).Interface()
		if list, ok := got.([]string); ok {
			got = list[0]
		}
		assert.Equal(t, "http://h/"+name, got, name)
	}
	c, err := Load([]string{"NIYANTA_WORKER_KEY_FILE=" + file("keys", "one\r\ntwo\n\n")})
	require.NoError(t, err)
	assert.Equal(t, []string{"one", "two"}, c.WorkerKeys)

	_, err = Load([]string{
		"NIYANTA_ADMIN_KEY_FILE=" + file("admin", canary), "NIYANTA_ADMIN_KEY=" + canary,
		"NIYANTA_REDIS_URL_FILE=" + filepath.Join(dir, "none"), "NIYANTA_NATS_URL_FILE=" + file("empty", " \n"),
		"NIYANTA_POSTGRES_URL_FILE=" + file("huge", strings.Repeat("x", secretFileLimit+1)), "NIYANTA_WORKER_SLOTS=ten",
	})
	require.Error(t, err)
	for _, name := range []string{
		"ADMIN_KEY_FILE", "REDIS_URL_FILE", "NATS_URL_FILE", "POSTGRES_URL_FILE", "WORKER_SLOTS",
	} {
		assert.Contains(t, err.Error(), "NIYANTA_"+name+":")
	}
	assert.NotContains(t, err.Error(), canary)

	c, err = Load([]string{"NIYANTA_ADMIN_KEY_FILE=" + filepath.Join(dir, "none"), workerKey})
	require.Error(t, err)
	require.NoError(t, c.Validate(RoleCoordinator), "a file that cannot be read is one mistake, not two")
}

func TestMaskURL_OfWhatItPrints_IsStable(t *testing.T) {
	for scheme := range plainSchemes {
		once := maskURL(scheme + "://u:p@h:1/x?y=z#f")
		_, err := url.Parse(once)
		require.NoError(t, err)
		assert.Equal(t, once, maskURL(once))
	}
}
