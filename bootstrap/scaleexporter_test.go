package bootstrap

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/core/ports"
)

// machines is a group with a machine in each state. broken makes each call fail.
type machines struct{ broken atomic.Bool }

func (m *machines) err() error {
	if m.broken.Load() {
		return errors.New("the cloud fails")
	}
	return nil
}

func (m *machines) Machines(context.Context) ([]ports.Machine, error) {
	return []ports.Machine{
		{ID: "i-new", State: ports.MachineStarting}, {ID: "i-idle", State: ports.MachineInService, Protected: true},
		{ID: "i-done", State: ports.MachineWaiting}, {ID: "i-gone", State: ports.MachineLeaving},
	}, m.err()
}

func (m *machines) Protect(context.Context, bool, ...string) error    { return m.err() }
func (m *machines) Publish(context.Context, ports.GroupFigures) error { return m.err() }
func (m *machines) Hold(context.Context, string) error                { return m.err() }
func (m *machines) Release(context.Context, string) error             { return m.err() }

// TestMetrics_OfAScaleExporter_AreThoseOfThePage compares what an exporter serves with the
// definitions, in both directions, and the values of labels with those that the page lists.
func TestMetrics_OfAScaleExporter_AreThoseOfThePage(t *testing.T) {
	d := devWith(t, 1, `NIYANTA_POOLS=[{"name":"cpu","types":["sleep"]}]`)
	cfg, err := Load([]string{
		"NIYANTA_COORDINATOR_URL=" + d.App.URL(), "NIYANTA_SCALER_KEY=" + d.AdminKey, "NIYANTA_SCALER_POOL=cpu",
		"NIYANTA_SCALER_INTERVAL=1s", "NIYANTA_SCALER_HTTP_ADDR=127.0.0.1:0", "NIYANTA_AWS_AUTOSCALING_GROUP=workers",
		"NIYANTA_AWS_LIFECYCLE_HOOK=drain",
	})
	require.NoError(t, err)
	require.NoError(t, cfg.Validate(RoleScaleExporter))
	group := &machines{}
	x, err := newScaleExporter(cfg, "test", group, silent)
	require.NoError(t, err)
	defer x.fleet.Close()
	stop, err := x.serve(t.Context())
	require.NoError(t, err)
	defer stop()
	declared := definitionsOf(telemetry.ExporterDefinitions())

	before := exposed(t, "http://"+x.Addr())
	assert.Empty(t, disagreements(before, declared))
	assert.NotContains(t, before, "niyanta_scale_export_published_timestamp_seconds", "nothing was published")
	assert.Contains(t, before, "niyanta_scale_export_failures_total", "alerts need the zero before the first failure")

	x.round(t.Context())
	assert.True(t, x.ready())
	group.broken.Store(true)
	x.round(t.Context())
	families := exposed(t, "http://"+x.Addr())
	assert.Empty(t, disagreements(families, declared))
	for _, def := range declared {
		f := families[def.name]
		if !assert.NotNil(t, f, "%s is declared, and not served", def.name) {
			continue
		}
		for i, label := range def.labels {
			served := map[string]bool{}
			for _, m := range f.Metric {
				for _, l := range m.Label {
					if l.GetName() == label {
						served[l.GetValue()] = true
					}
				}
			}
			want := strings.Split(def.values[i], ", ")
			for _, v := range want {
				assert.True(t, served[v], "%s: no series has %s=%q", def.name, label, v)
			}
			for v := range served {
				assert.True(t, slices.Contains(want, v), "%s: %s=%q is not declared", def.name, label, v)
			}
		}
	}
	if m := families["niyanta_scale_export_published_timestamp_seconds"]; assert.Len(t, m.GetMetric(), 1) {
		at := time.UnixMilli(int64(m.Metric[0].GetGauge().GetValue() * 1000))
		assert.WithinDuration(t, time.Now(), at, time.Minute)
	}
	for name, want := range map[string]float64{
		"niyanta_scale_export_rounds_total": 2, "niyanta_scale_export_released_machines_total": 1,
	} {
		got := 0.0
		for _, m := range families[name].GetMetric() {
			got += m.GetCounter().GetValue()
		}
		assert.InDelta(t, want, got, 0, name)
	}
}
