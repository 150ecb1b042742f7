package kubernetes

import (
	"encoding/json"
	"fmt"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// object is what every decoded manifest has.
type object interface {
	GetName() string
	GetNamespace() string
}

// kinds makes an object of each kind that the manifests may have, by apiVersion and kind.
var kinds = map[string]func() object{
	"v1/Namespace":                            func() object { return &corev1.Namespace{} },
	"v1/ServiceAccount":                       func() object { return &corev1.ServiceAccount{} },
	"v1/ConfigMap":                            func() object { return &corev1.ConfigMap{} },
	"v1/Service":                              func() object { return &corev1.Service{} },
	"apps/v1/Deployment":                      func() object { return &appsv1.Deployment{} },
	"policy/v1/PodDisruptionBudget":           func() object { return &policyv1.PodDisruptionBudget{} },
	"networking.k8s.io/v1/NetworkPolicy":      func() object { return &networkingv1.NetworkPolicy{} },
	"networking.k8s.io/v1/Ingress":            func() object { return &networkingv1.Ingress{} },
	"monitoring.coreos.com/v1/ServiceMonitor": func() object { return &monitoringv1.ServiceMonitor{} },
	"monitoring.coreos.com/v1/PodMonitor":     func() object { return &monitoringv1.PodMonitor{} },
	"monitoring.coreos.com/v1/PrometheusRule": func() object { return &monitoringv1.PrometheusRule{} },
	"autoscaling/v2/HorizontalPodAutoscaler":  func() object { return &autoscalingv2.HorizontalPodAutoscaler{} },
	"keda.sh/v1alpha1/ScaledObject":           func() object { return &scaledObject{} },
	"keda.sh/v1alpha1/TriggerAuthentication":  func() object { return &triggerAuthentication{} },
}

// scaledObject is KEDA's. Its Go module needs hundreds of others, so the fields are written down here,
// from its version 2.17.
type scaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		ScaleTargetRef struct {
			Name                   string `json:"name"`
			APIVersion             string `json:"apiVersion"`
			Kind                   string `json:"kind"`
			EnvSourceContainerName string `json:"envSourceContainerName"`
		} `json:"scaleTargetRef"`
		PollingInterval       *int32 `json:"pollingInterval"`
		InitialCooldownPeriod *int32 `json:"initialCooldownPeriod"`
		CooldownPeriod        *int32 `json:"cooldownPeriod"`
		IdleReplicaCount      *int32 `json:"idleReplicaCount"`
		MinReplicaCount       *int32 `json:"minReplicaCount"`
		MaxReplicaCount       *int32 `json:"maxReplicaCount"`
		Fallback              *struct {
			FailureThreshold int32  `json:"failureThreshold"`
			Replicas         int32  `json:"replicas"`
			Behavior         string `json:"behavior"`
		} `json:"fallback"`
		Advanced *struct {
			RestoreToOriginalReplicaCount bool `json:"restoreToOriginalReplicaCount"`
			HorizontalPodAutoscalerConfig *struct {
				Name     string                                         `json:"name"`
				Behavior *autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior"`
			} `json:"horizontalPodAutoscalerConfig"`
		} `json:"advanced"`
		Triggers []struct {
			Type              string                         `json:"type"`
			Name              string                         `json:"name"`
			UseCachedMetrics  bool                           `json:"useCachedMetrics"`
			MetricType        autoscalingv2.MetricTargetType `json:"metricType"`
			Metadata          map[string]string              `json:"metadata"`
			AuthenticationRef *struct {
				Name string `json:"name"`
				Kind string `json:"kind"`
			} `json:"authenticationRef"`
		} `json:"triggers"`
	} `json:"spec"`
}

// triggerAuthentication is KEDA's.
type triggerAuthentication struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		SecretTargetRef []struct {
			Parameter string `json:"parameter"`
			Name      string `json:"name"`
			Key       string `json:"key"`
		} `json:"secretTargetRef"`
	} `json:"spec"`
}

// render returns the manifests of an overlay, each as YAML.
func render(t *testing.T, overlay string) [][]byte {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), overlay)
	require.NoError(t, err)
	var out [][]byte
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		require.NoError(t, err)
		out = append(out, text)
	}
	return out
}

// decode decodes a manifest into the type of its kind. A field that the type does not have is an error.
func decode(manifest []byte) (object, error) {
	var of metav1.TypeMeta
	if err := yaml.Unmarshal(manifest, &of); err != nil {
		return nil, err
	}
	newObject := kinds[of.APIVersion+"/"+of.Kind]
	if newObject == nil {
		return nil, fmt.Errorf("%s/%s is no kind that the tests know", of.APIVersion, of.Kind)
	}
	o := newObject()
	return o, yaml.UnmarshalStrict(manifest, o)
}

// set is the manifests of an overlay.
type set struct {
	*testing.T
	objects []object
}

func load(t *testing.T, overlay string) set {
	t.Helper()
	s := set{T: t}
	for _, manifest := range render(t, overlay) {
		o, err := decode(manifest)
		require.NoError(t, err, "%s", manifest)
		s.objects = append(s.objects, o)
	}
	return s
}

// find returns the object of a type with the name.
func find[T object](s set, name string) T {
	s.Helper()
	for _, o := range s.objects {
		if v, ok := o.(T); ok && v.GetName() == name {
			return v
		}
	}
	var none T
	require.Fail(s, fmt.Sprintf("no %T %s", none, name))
	return none
}

// every returns the objects of a type.
func every[T object](s set) (all []T) {
	for _, o := range s.objects {
		if v, ok := o.(T); ok {
			all = append(all, v)
		}
	}
	return all
}

// TestDecode_OfAFieldThatNoTypeHas_Fails plants an unknown field in every object inside every manifest.
func TestDecode_OfAFieldThatNoTypeHas_Fails(t *testing.T) {
	seen := map[string]bool{}
	for _, manifest := range append(render(t, "overlays/keda"), render(t, "overlays/hpa")...) {
		var v map[string]any
		require.NoError(t, yaml.Unmarshal(manifest, &v))
		kind := fmt.Sprint(v["apiVersion"], "/", v["kind"])
		seen[kind] = true
		planted := 0
		for _, part := range []string{"", "spec", "metadata"} {
			at, ok := v[part].(map[string]any)
			if part == "" {
				at, ok = v, true
			}
			if !ok {
				continue
			}
			at["replicaz"] = 3
			raw, err := json.Marshal(v)
			require.NoError(t, err)
			_, err = decode(raw)
			require.ErrorContains(t, err, "replicaz", "%s %s", kind, part)
			delete(at, "replicaz")
			planted++
		}
		require.GreaterOrEqual(t, planted, 2, kind)
	}
	for kind := range kinds {
		require.True(t, seen[kind], "%s is decoded, and no manifest is one", kind)
	}
}
