package kubernetes

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	"sigs.k8s.io/yaml"
)

func TestHPA_Scales_WithinItsBoundsAndAtItsRates(t *testing.T) {
	s := load(t, "overlays/hpa")
	d, _ := container(s, worker)
	assert.Nil(t, d.Spec.Replicas, "an applied manifest must not reset the number")
	scaler := find[*autoscalingv2.HorizontalPodAutoscaler](s, worker)
	assert.Equal(t, autoscalingv2.CrossVersionObjectReference{APIVersion: d.APIVersion, Kind: d.Kind, Name: d.Name},
		scaler.Spec.ScaleTargetRef)
	assert.EqualValues(t, 3, *scaler.Spec.MinReplicas)
	assert.EqualValues(t, 500, scaler.Spec.MaxReplicas)
	up, down := scaler.Spec.Behavior.ScaleUp, scaler.Spec.Behavior.ScaleDown
	assert.Contains(t, up.Policies, autoscalingv2.HPAScalingPolicy{
		Type: autoscalingv2.PercentScalingPolicy, Value: 50, PeriodSeconds: 60,
	})
	assert.EqualValues(t, 300, *down.StabilizationWindowSeconds)
	assert.Equal(t, []autoscalingv2.HPAScalingPolicy{{
		Type: autoscalingv2.PercentScalingPolicy, Value: 10, PeriodSeconds: 60,
	}}, down.Policies)
	targets := map[string]string{}
	for _, m := range scaler.Spec.Metrics {
		require.Equal(t, autoscalingv2.ExternalMetricSourceType, m.Type)
		switch target := m.External.Target; target.Type {
		case autoscalingv2.AverageValueMetricType: // of each worker
			targets[m.External.Metric.Name] = target.AverageValue.String() + " each"
		case autoscalingv2.ValueMetricType:
			targets[m.External.Metric.Name] = target.Value.String()
		case autoscalingv2.UtilizationMetricType:
			require.Fail(t, "an external metric has no utilisation")
		}
	}
	assert.Equal(t, map[string]string{
		"niyanta_queue_depth_total": "100 each", "niyanta_worker_utilization_percent": "70",
	}, targets)
}

// The adapter must serve each metric that the autoscaler reads, from metrics that exist.
func TestHPA_TheAdapter_ServesItsMetrics(t *testing.T) {
	raw, err := os.ReadFile("overlays/hpa/adapter-values.yaml")
	require.NoError(t, err)
	var values struct {
		Rules struct {
			Default  bool `json:"default"`
			External []struct {
				SeriesQuery string `json:"seriesQuery"`
				Resources   struct {
					Namespaced bool `json:"namespaced"`
				} `json:"resources"`
				Name struct {
					As string `json:"as"`
				} `json:"name"`
				MetricsQuery string `json:"metricsQuery"`
			} `json:"external"`
		} `json:"rules"`
	}
	require.NoError(t, yaml.UnmarshalStrict(raw, &values))
	page, err := os.ReadFile("../../docs/operations/metrics.md")
	require.NoError(t, err)
	served := map[string]bool{}
	for _, rule := range values.Rules.External {
		served[rule.Name.As] = true
		assert.True(t, strings.HasPrefix(rule.MetricsQuery, "max("+rule.SeriesQuery+" "), rule.MetricsQuery)
		for _, name := range regexp.MustCompile(`niyanta_[a-z_]+`).FindAllString(rule.MetricsQuery, -1) {
			assert.Contains(t, string(page), "| `"+name+"` | gauge |")
		}
	}
	for _, m := range find[*autoscalingv2.HorizontalPodAutoscaler](load(t, "overlays/hpa"), worker).Spec.Metrics {
		assert.True(t, served[m.External.Metric.Name], m.External.Metric.Name)
	}
}
