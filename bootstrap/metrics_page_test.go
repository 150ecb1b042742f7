package bootstrap

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/http/workerserver"
	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
	niyanta "github.com/niyanta/niyanta/sdk"
)

//go:generate go test -run TestMetricsPage_OfThisCode_IsCurrent -count=1 . -args -write-metrics

var writeMetrics = flag.Bool("write-metrics", false, "write docs/operations/metrics.md instead of comparing it")

const metricsPage = "../docs/operations/metrics.md"

func TestMetricsPage_OfThisCode_IsCurrent(t *testing.T) {
	page := renderMetrics()
	if *writeMetrics {
		require.NoError(t, os.WriteFile(metricsPage, []byte(page), 0o644)) //nolint:gosec // a document
		return
	}
	committed, err := os.ReadFile(metricsPage)
	require.NoError(t, err)
	assert.Equal(t, string(committed), page, "run make generate")
}

func renderMetrics() string {
	var b strings.Builder
	b.WriteString(`# Metrics

<!-- Generated from adapters/telemetry and adapters/http/workerserver by make generate. -->

Coordinators and servers serve their metrics at ` + "`/metrics`" + ` of ` + "`NIYANTA_HTTP_ADDR`" + `, or of
` + "`NIYANTA_ADMIN_ADDR`" + ` if that is set; workers at ` + "`NIYANTA_WORKER_HTTP_ADDR`" + `, scale exporters at
` + "`NIYANTA_SCALER_HTTP_ADDR`" + `. The format is that of Prometheus. Coordinators also have those of the Go
runtime and of the process.

- Labels take their values from fixed sets, or from the first few that are seen; whatever else there
  is counts as ` + "`other`" + `. So neither customers nor types make series without end.
- What only the leader knows is absent on the other coordinators, also on one that led before. There
  is one value in the fleet: ` + "`sum`, `max` and `avg`" + ` over coordinators all give it.
- Counters and histograms are each coordinator's own: sum their rates.
- The leader counts what waits every 5 seconds. Of the delayed workloads of one lane it counts at
  most 10,000.
- Figures of each customer are in the API: ` + "`GET /v1/customer/stats`" + ` and
  ` + "`GET /v1/metrics/queue-depth`" + `.
`)
	for _, group := range []struct {
		title, place string
		of           any
	}{
		{"Coordinators", "coordinators", telemetry.Definitions()},
		{"The leader", "leader", telemetry.Definitions()},
		{"Workers", "workers", workerserver.Definitions()},
		{"Scale exporters", "scale exporters", telemetry.ExporterDefinitions()},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n| metric | type | labels | |\n|---|---|---|---|\n", group.title)
		for _, d := range definitionsOf(group.of) {
			if d.place == group.place {
				fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.name, d.kind, d.labelCell(), d.helpCell())
			}
		}
	}
	return b.String()
}

// metricDoc is what the page says of a metric.
type metricDoc struct {
	name, kind, place, help, when string
	labels                        []string // names
	values                        []string // in the place of each label
}

func (d *metricDoc) labelCell() string {
	var parts []string
	for i, l := range d.labels {
		parts = append(parts, "`"+l+"`: "+d.values[i])
	}
	return strings.Join(parts, "<br>")
}

func (d *metricDoc) helpCell() string {
	if d.when == "" {
		return d.help
	}
	return d.help + " Only if " + d.when + "."
}

// definitionsOf reads definitions of a type that only adapters may name.
func definitionsOf(definitions any) []metricDoc {
	v := reflect.ValueOf(definitions)
	out := make([]metricDoc, v.Len())
	for i := range out {
		d := v.Index(i)
		out[i] = metricDoc{
			name: d.FieldByName("Name").String(), kind: d.FieldByName("Type").String(),
			place: d.FieldByName("Place").String(), help: d.FieldByName("Help").String(),
			when: d.FieldByName("When").String(),
		}
		for l := range d.FieldByName("Labels").Len() {
			label := d.FieldByName("Labels").Index(l)
			out[i].labels = append(out[i].labels, label.FieldByName("Name").String())
			out[i].values = append(out[i].values, label.FieldByName("Values").String())
		}
	}
	return out
}

// exposed returns the families with the program's prefix that a process serves.
func exposed(t *testing.T, url string) map[string]*dto.MetricFamily {
	t.Helper()
	status, body := probe(url + "/metrics")
	require.Equal(t, 200, status)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	require.NoError(t, err)
	for name := range families {
		if !strings.HasPrefix(name, "niyanta_") {
			delete(families, name)
		}
	}
	return families
}

// disagreements says what is wrong with what a process serves, by the definitions.
func disagreements(families map[string]*dto.MetricFamily, defs []metricDoc) (wrong []string) {
	kinds := map[string]dto.MetricType{
		"counter": dto.MetricType_COUNTER, "gauge": dto.MetricType_GAUGE, "histogram": dto.MetricType_HISTOGRAM,
	}
	known := map[string]metricDoc{}
	for _, d := range defs {
		known[d.name] = d
	}
	for name, f := range families {
		d, is := known[name]
		if !is {
			wrong = append(wrong, name+" is not declared")
			continue
		}
		if f.GetType() != kinds[d.kind] || f.GetHelp() != d.help {
			wrong = append(wrong, name+" has another type or text than declared")
		}
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName())
			}
			want := slices.Sorted(slices.Values(d.labels))
			if slices.Sort(labels); !slices.Equal(labels, want) {
				wrong = append(wrong, fmt.Sprintf("%s has the labels %v, not %v", name, labels, want))
			}
		}
	}
	return wrong
}

// TestMetrics_OfARunningSet_AreThoseOfThePage compares what coordinators and a worker serve with the
// definitions, in both directions.
func TestMetrics_OfARunningSet_AreThoseOfThePage(t *testing.T) {
	coordinators, workers := definitionsOf(telemetry.Definitions()), definitionsOf(workerserver.Definitions())
	cluster, missing := servers.SharedPostgres(t, preparePostgres), map[string]bool{}
	for _, d := range append(slices.Clone(coordinators), workers...) {
		missing[d.name+" "+d.place] = true
	}
	for _, set := range []struct {
		name   string
		change func(*Config)
	}{
		{"without a bus", func(*Config) {}},
		{"with a bus and a replica", func(c *Config) {
			a := testfiles.NewAuthority(t)
			bus, shown := servers.StartNATSWithTLS(t, a, "niyanta", "secret"), a.Issue(t, "client")
			c.Bus, c.NATSURL = BusNATS, fmt.Sprintf("tls://niyanta:secret@127.0.0.1:%d", bus.Port)
			c.NATSCA, c.NATSCert, c.NATSKey = a.CA, shown.Cert, shown.Key
			c.PostgresReplicaURL = c.PostgresURL
			c.CheckpointURL = "file://" + t.TempDir()
		}},
	} {
		cfg, err := Load([]string{
			"NIYANTA_STORE=postgres", "NIYANTA_POSTGRES_URL=" + cluster.URL(cluster.Database(t)),
			"NIYANTA_HTTP_ADDR=127.0.0.1:0",
			"NIYANTA_METRICS_CUSTOMERS=cust_listed", `NIYANTA_POOLS=[{"name":"all","types":["sleep"]}]`,
			"NIYANTA_WORKER_HTTP_ADDR=127.0.0.1:0",
		})
		require.NoError(t, err)
		cfg.AdminKey, cfg.WorkerKeys = testAdminKey, []string{testWorkerKey}
		set.change(&cfg)
		app, err := NewCoordinator(t.Context(), cfg, silent)
		require.NoError(t, err)
		require.NoError(t, app.Start(t.Context()))
		cfg.CoordinatorURL = app.URL()
		w, err := NewWorker(context.Background(), cfg, "test", silent)
		require.NoError(t, err)
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		useEverything(t, app.URL())
		app.host.Observer.Count("rare", 1)
		var wrong []string
		// What has a condition is looked for until the last set has it.
		assert.Eventually(t, func() bool {
			families, ofWorker := exposed(t, app.URL()), exposed(t, "http://"+w.server.Addr())
			wrong = append(disagreements(families, coordinators), disagreements(ofWorker, workers)...)
			all := len(wrong) == 0
			for _, d := range append(slices.Clone(coordinators), workers...) {
				is := families[d.name] != nil
				if d.place == "workers" {
					is = ofWorker[d.name] != nil
				}
				if is {
					delete(missing, d.name+" "+d.place)
				}
				all = all && (is || d.when != "")
			}
			return all && (set.name == "without a bus" || len(missing) == 0)
		}, 30*time.Second, 50*time.Millisecond, "the leader has counted: %s", set.name)
		assert.Empty(t, wrong, set.name)
		stop()
		require.NoError(t, <-ended)
		require.NoError(t, app.Close(context.Background()))
	}
	assert.Empty(t, missing, "these are declared, and no process serves them")
}

// useEverything makes a workload run, so that each counter has counted.
func useEverything(t *testing.T, url string) {
	t.Helper()
	admin, err := niyanta.NewClient(url, testAdminKey)
	require.NoError(t, err)
	defer admin.Close()
	cust, err := admin.CreateCustomer(t.Context(), niyanta.CustomerInput{Name: "Test", Tier: "standard"})
	require.NoError(t, err)
	key, err := admin.CreateKey(t.Context(), cust.CustomerID, niyanta.KeyInput{Role: "customer"})
	require.NoError(t, err)
	client, err := niyanta.NewClient(url, key.Key)
	require.NoError(t, err)
	defer client.Close()
	a, err := client.Submit(t.Context(), niyanta.Submission{WorkloadType: "sleep",
		InputParams: json.RawMessage(`{"duration_ms":10}`)}, "")
	require.NoError(t, err)
	_, err = client.Wait(t.Context(), a.WorkloadID, 30*time.Second)
	require.NoError(t, err)
}
