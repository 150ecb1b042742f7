package kubernetes

import (
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/niyanta/niyanta/adapters/hardware"
	"github.com/niyanta/niyanta/bootstrap"
	"github.com/niyanta/niyanta/core/domain"
)

const (
	coordinator = "niyanta-coordinator"
	worker      = "niyanta-worker"
)

func overlays(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("overlays/*")
	require.NoError(t, err)
	require.Len(t, found, 5)
	return append(found, "base", "testdata/keda-tls")
}

// forEach runs a test on each overlay, and on the base.
func forEach(t *testing.T, f func(s set)) {
	t.Helper()
	for _, overlay := range overlays(t) {
		t.Run(path.Base(overlay), func(t *testing.T) { f(load(t, overlay)) })
	}
}

// container returns the only container of a Deployment.
func container(s set, name string) (*appsv1.Deployment, corev1.Container) {
	s.Helper()
	d := find[*appsv1.Deployment](s, name)
	require.Len(s, d.Spec.Template.Spec.Containers, 1)
	return d, d.Spec.Template.Spec.Containers[0]
}

// selects reports whether a selector selects the pods of a Deployment.
func selects(s set, selector *metav1.LabelSelector, d *appsv1.Deployment) bool {
	s.Helper()
	parsed, err := metav1.LabelSelectorAsSelector(selector)
	require.NoError(s, err)
	return parsed.Matches(labels.Set(d.Spec.Template.Labels))
}

func TestPods_OfEveryOverlay_AreConfined(t *testing.T) {
	forEach(t, func(s set) {
		require.Len(s, every[*appsv1.Deployment](s), 2)
		for _, name := range []string{coordinator, worker} {
			d, c := container(s, name)
			pod := d.Spec.Template.Spec
			require.NotNil(s, pod.SecurityContext)
			assert.True(s, *pod.SecurityContext.RunAsNonRoot)
			assert.NotZero(s, *pod.SecurityContext.RunAsUser)
			assert.Equal(s, corev1.SeccompProfileTypeRuntimeDefault, pod.SecurityContext.SeccompProfile.Type)
			assert.False(s, *c.SecurityContext.AllowPrivilegeEscalation)
			assert.True(s, *c.SecurityContext.ReadOnlyRootFilesystem)
			assert.Equal(s, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop)
			assert.Empty(s, c.SecurityContext.Capabilities.Add)
			assert.False(s, *pod.AutomountServiceAccountToken, "nothing speaks to the API of Kubernetes")
			assert.False(s, *find[*corev1.ServiceAccount](s, pod.ServiceAccountName).AutomountServiceAccountToken)
			for _, list := range []corev1.ResourceList{c.Resources.Requests, c.Resources.Limits} {
				assert.False(s, list.Cpu().IsZero(), name)
				assert.False(s, list.Memory().IsZero(), name)
			}
		}
	})
	ns := find[*corev1.Namespace](load(t, "base"), "niyanta")
	assert.Equal(t, "restricted", ns.Labels["pod-security.kubernetes.io/enforce"])
}

func TestPods_OfEveryOverlay_AreProbedAtTheRightPaths(t *testing.T) {
	forEach(t, func(s set) {
		for _, name := range []string{coordinator, worker} {
			_, c := container(s, name)
			ports := map[string]int32{}
			for _, p := range c.Ports {
				ports[p.Name] = p.ContainerPort
			}
			for probe, wants := range map[*corev1.Probe]string{
				c.StartupProbe: "/health", c.LivenessProbe: "/health", c.ReadinessProbe: "/ready",
			} {
				require.NotNil(s, probe)
				assert.Equal(s, wants, probe.HTTPGet.Path)
				assert.Contains(s, ports, probe.HTTPGet.Port.String())
			}
			alive := c.LivenessProbe
			assert.GreaterOrEqual(s, alive.PeriodSeconds*alive.FailureThreshold, int32(60), "a pause is no death")
		}
	})
}

func TestPods_OfEveryOverlay_EndWithinTheirGrace(t *testing.T) {
	forEach(t, func(s set) {
		d, c := container(s, worker)
		cfg := configure(s, d, &c, bootstrap.RoleWorker)
		grace := time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
		assert.GreaterOrEqual(s, grace, cfg.DrainTimeout+20*time.Second, "a drain must never be cut short")
		d, c = container(s, coordinator)
		pause := time.Duration(c.Lifecycle.PreStop.Sleep.Seconds) * time.Second
		assert.GreaterOrEqual(s, pause, 5*time.Second)
		grace = time.Duration(*d.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
		assert.GreaterOrEqual(s, grace, pause+15*time.Second+5*time.Second, "a coordinator shuts down within 15 s")
	})
}

func TestPods_OfEveryOverlay_AreSpreadAndDisruptedFewAtATime(t *testing.T) {
	forEach(t, func(s set) {
		for _, name := range []string{coordinator, worker} {
			d, _ := container(s, name)
			budget := find[*policyv1.PodDisruptionBudget](s, name)
			assert.True(s, selects(s, budget.Spec.Selector, d))
			assert.NotNil(s, budget.Spec.MaxUnavailable)
			spread := d.Spec.Template.Spec.TopologySpreadConstraints
			require.NotEmpty(s, spread, name)
			assert.True(s, selects(s, spread[0].LabelSelector, d))
			assert.True(s, selects(s, d.Spec.Selector, d))
		}
		d, _ := container(s, coordinator)
		service := find[*corev1.Service](s, coordinator)
		assert.True(s, selects(s, &metav1.LabelSelector{MatchLabels: service.Spec.Selector}, d))
		require.NotNil(s, d.Spec.Template.Spec.Affinity.PodAntiAffinity)
	})
	production := load(t, "overlays/production")
	d, c := container(production, coordinator)
	assert.EqualValues(t, 3, *d.Spec.Replicas)
	assert.NotEmpty(t, d.Spec.Template.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution)
	_, tag, _ := strings.Cut(c.Image, ":")
	assert.NotContains(t, []string{"", "latest", "dev"}, tag, "a release is named")
}

// Runs that keep to their limits do not get their pod evicted.
func TestWorkers_OfEveryOverlay_HaveScratchForTheLimitsOfAllSlots(t *testing.T) {
	forEach(t, func(s set) {
		d, c := container(s, worker)
		need := int64(configure(s, d, &c, bootstrap.RoleWorker).WorkerSlots) * int64(domain.DefaultLimits().DiskMB) << 20
		found := 0
		for _, v := range d.Spec.Template.Spec.Volumes {
			if v.EmptyDir != nil {
				found++
				assert.Greater(s, v.EmptyDir.SizeLimit.Value(), need, v.Name)
			}
		}
		assert.Equal(s, 1, found)
	})
}

// A worker that counts the disk of its node as its own gets work that it is evicted for.
func TestWorkers_OfEveryOverlay_OfferNoMoreDiskThanTheirScratch(t *testing.T) {
	forEach(t, func(s set) {
		d, c := container(s, worker)
		offered, err := hardware.ParseMB(configure(s, d, &c, bootstrap.RoleWorker).WorkerDiskMB)
		require.NoError(s, err)
		assert.Positive(s, offered)
		for _, v := range d.Spec.Template.Spec.Volumes {
			if v.EmptyDir != nil {
				assert.LessOrEqual(s, int64(offered)<<20, v.EmptyDir.SizeLimit.Value())
			}
		}
	})
}

// configure builds the environment of a container, with a file for each secret, and returns the
// configuration that the process would have. A variable that nobody reads is an error, and so is a
// secret that is not a file.
func configure(s set, d *appsv1.Deployment, c *corev1.Container, role bootstrap.Role) bootstrap.Config {
	s.Helper()
	secrets := map[string]string{
		"postgres-url": "postgres://niyanta@db/niyanta", "nats-url": "nats://bus:4222", "redis-url": "redis://redis:6379",
		"admin-key": "admin-key-of-tests-0123456789-abcdef", "worker-key": "worker-key-of-tests-0123456789-abcde",
	}
	if encrypts(s) {
		secrets["nats-url"], secrets["redis-url"] = "tls://bus:4222", "rediss://redis:6379"
	}
	mounts := map[string]string{}
	for _, v := range d.Spec.Template.Spec.Volumes {
		if v.Secret != nil {
			mounts[v.Name] = v.Secret.SecretName
		}
	}
	dir := s.TempDir()
	for name, value := range secrets {
		require.NoError(s, os.WriteFile(filepath.Join(dir, name), []byte(value+"\n"), 0o600))
	}
	for name, from := range certificates(s.T, d.Name) {
		raw, err := os.ReadFile(from)
		require.NoError(s, err)
		require.NoError(s, os.WriteFile(filepath.Join(dir, name), raw, 0o600))
	}
	// file returns the file that stands for one of a Secret.
	file := func(at string) string {
		folder, name := path.Split(at)
		mounted := false
		for _, m := range c.VolumeMounts {
			ours := mounts[m.Name] == d.Name || mounts[m.Name] == d.Name+"-tls"
			mounted = mounted || ours && m.ReadOnly && m.MountPath == path.Clean(folder)
		}
		assert.True(s, mounted, "%s is not in a Secret that is mounted", at)
		return filepath.Join(dir, name)
	}
	var env []string
	known := map[string]bool{}
	for _, setting := range (bootstrap.Config{}).Settings() {
		known[setting.Variable] = true
	}
	for _, from := range c.EnvFrom {
		require.NotNil(s, from.ConfigMapRef, "secrets are files, never variables")
		for name, value := range find[*corev1.ConfigMap](s, from.ConfigMapRef.Name).Data {
			assert.True(s, known[name], "%s is no setting", name)
			if strings.HasSuffix(name, "_FILE") {
				value = file(value)
			}
			env = append(env, name+"="+value)
		}
	}
	for _, v := range c.Env {
		require.Nil(s, v.ValueFrom, "secrets are files, never variables")
		variable, isFile := strings.CutSuffix(v.Name, "_FILE")
		require.True(s, isFile && known[variable], "%s names no secret's file", v.Name)
		require.Contains(s, secrets, path.Base(v.Value))
		env = append(env, v.Name+"="+file(v.Value))
	}
	cfg, err := bootstrap.Load(env)
	require.NoError(s, err)
	require.NoError(s, cfg.Validate(role))
	return cfg
}

func TestSettings_OfEveryOverlay_AreAccepted(t *testing.T) {
	forEach(t, func(s set) {
		d, c := container(s, coordinator)
		configured := configure(s, d, &c, bootstrap.RoleCoordinator)
		assert.Equal(s, bootstrap.StorePostgres, configured.Store)
		d, c = container(s, worker)
		worker := configure(s, d, &c, bootstrap.RoleWorker)
		assert.Equal(s, configured.Bus, worker.Bus)
		assert.Contains(s, worker.CoordinatorURL, "://"+coordinator)
	})
}

// admits reports whether a rule of a policy names the pods or the namespaces, and the port.
func admits(
	peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, label string, port int32,
) bool {
	for _, peer := range peers {
		named := map[string]string{}
		for _, selector := range []*metav1.LabelSelector{peer.PodSelector, peer.NamespaceSelector} {
			if selector != nil {
				for k, v := range selector.MatchLabels {
					named[k] = v
				}
			}
		}
		key, value, _ := strings.Cut(label, "=")
		if named[key] != value {
			continue
		}
		for _, p := range ports {
			if p.Port.IntVal == port {
				return true
			}
		}
	}
	return false
}

func TestNetworkPolicies_OfEveryOverlay_LetInAndOutWhoMust(t *testing.T) {
	const (
		ofCoordinators = "app.kubernetes.io/component=coordinator"
		ofWorkers      = "app.kubernetes.io/component=worker"
		clients        = "niyanta.dev/clients=true"
		monitoring     = "niyanta.dev/monitoring=true"
		backends       = "niyanta.dev/backends=true"
		keda           = "kubernetes.io/metadata.name=keda"
		dns            = "k8s-app=kube-dns"
	)
	forEach(t, func(s set) {
		deny := find[*networkingv1.NetworkPolicy](s, "niyanta-deny")
		assert.Empty(s, deny.Spec.PodSelector.MatchLabels)
		assert.Len(s, deny.Spec.PolicyTypes, 2)
		in := func(pods, from string, port int32) bool {
			d, _ := container(s, pods)
			for _, p := range every[*networkingv1.NetworkPolicy](s) {
				for _, rule := range p.Spec.Ingress {
					if selects(s, &p.Spec.PodSelector, d) && admits(rule.From, rule.Ports, from, port) {
						return true
					}
				}
			}
			return false
		}
		out := func(pods, to string, port int32) bool {
			d, _ := container(s, pods)
			for _, p := range every[*networkingv1.NetworkPolicy](s) {
				for _, rule := range p.Spec.Egress {
					if selects(s, &p.Spec.PodSelector, d) && admits(rule.To, rule.Ports, to, port) {
						return true
					}
				}
			}
			return false
		}
		assert.True(s, in(coordinator, ofWorkers, 8080))
		assert.True(s, in(coordinator, clients, 8080))
		assert.True(s, in(coordinator, monitoring, 8080), "Prometheus reads /metrics")
		assert.True(s, in(worker, monitoring, 8081))
		assert.False(s, in(worker, clients, 8081), "nobody else calls a worker")
		for _, port := range []int32{5432, 4222, 6379} {
			assert.True(s, out(coordinator, backends, port))
			assert.Equal(s, port == 4222, out(worker, backends, port), "a worker never reaches the database")
		}
		assert.True(s, out(worker, ofCoordinators, 8080))
		assert.True(s, out(coordinator, dns, 53))
		assert.True(s, out(worker, dns, 53))
		assert.Equal(s, len(every[*scaledObject](s)) > 0, in(coordinator, keda, 8080), "KEDA reads /v1/scaling")
	})
}

func TestMonitors_OfEveryOverlay_FindTheirTargets(t *testing.T) {
	forEach(t, func(s set) {
		monitor := find[*monitoringv1.ServiceMonitor](s, coordinator)
		service := find[*corev1.Service](s, coordinator)
		selector, err := metav1.LabelSelectorAsSelector(&monitor.Spec.Selector)
		require.NoError(s, err)
		assert.True(s, selector.Matches(labels.Set(service.Labels)))
		assert.Equal(s, service.Spec.Ports[0].Name, monitor.Spec.Endpoints[0].Port)
		d, c := container(s, worker)
		pods := find[*monitoringv1.PodMonitor](s, worker)
		assert.True(s, selects(s, &pods.Spec.Selector, d))
		assert.Equal(s, c.Ports[0].Name, *pods.Spec.PodMetricsEndpoints[0].Port)
	})
}

func TestPrometheusRule_IsThatOfTheMonitoringFolder(t *testing.T) {
	raw, err := os.ReadFile("../monitoring/rules.yaml")
	require.NoError(t, err)
	var file monitoringv1.PrometheusRuleSpec
	require.NoError(t, yaml.UnmarshalStrict(raw, &file))
	require.NotEmpty(t, file.Groups)
	got := find[*monitoringv1.PrometheusRule](load(t, "base"), "niyanta")
	assert.Equal(t, file, got.Spec, "copy the groups of deploy/monitoring/rules.yaml to base/prometheusrule.yaml")
}

func TestKEDA_Scales_ByAPoolOfTheCoordinators(t *testing.T) {
	for _, overlay := range []string{"overlays/keda", "testdata/keda-tls"} {
		t.Run(path.Base(overlay), func(t *testing.T) { scalesByAPool(t, load(t, overlay)) })
	}
}

func scalesByAPool(t *testing.T, s set) {
	t.Helper()
	scaled := find[*scaledObject](s, worker)
	d, c := container(s, worker)
	assert.Equal(t, d.Name, scaled.Spec.ScaleTargetRef.Name)
	assert.Nil(t, d.Spec.Replicas, "an applied manifest must not reset the number")
	require.Len(t, scaled.Spec.Triggers, 1)
	trigger := scaled.Spec.Triggers[0]
	assert.Equal(t, "metrics-api", trigger.Type)
	service := find[*corev1.Service](s, coordinator)
	assert.Equal(t, scheme(s, coordinator)+"://"+service.Name+"."+service.Namespace+".svc:8080/v1/scaling",
		trigger.Metadata["url"])
	assert.Equal(t, "1", trigger.Metadata["targetValue"])

	dc, cc := container(s, coordinator)
	pools, err := bootstrap.ParsePools(configure(s, dc, &cc, bootstrap.RoleCoordinator).Pools)
	require.NoError(t, err)
	require.Len(t, pools, 1)
	assert.Equal(t, "pools."+pools[0].Name+".desired_workers", trigger.Metadata["valueLocation"])
	assert.EqualValues(t, pools[0].MaxWorkers, *scaled.Spec.MaxReplicaCount)
	assert.EqualValues(t, pools[0].MinWorkers, *scaled.Spec.MinReplicaCount)
	assert.Equal(t, configure(s, d, &c, bootstrap.RoleWorker).WorkerSlots, pools[0].Slots)
	// What the pool does not state is not limited: work that is too large for every pod would add pods.
	offer := pools[0].Resources
	assert.Equal(t, c.Resources.Limits.Cpu().MilliValue(), int64(offer.CPUCores))
	assert.Equal(t, c.Resources.Limits.Memory().Value(), int64(offer.MemoryMB)<<20)
	assert.Equal(t, configure(s, d, &c, bootstrap.RoleWorker).WorkerDiskMB, strconv.Itoa(offer.DiskMB))

	auth := find[*triggerAuthentication](s, trigger.AuthenticationRef.Name)
	modes, parameters := "bearer", []string{"token"}
	if encrypts(s) {
		modes, parameters = "bearer,tls", []string{"token", "ca", "cert", "key"}
	}
	assert.Equal(t, modes, trigger.Metadata["authMode"])
	for i, parameter := range parameters {
		assert.Equal(t, parameter, auth.Spec.SecretTargetRef[i].Parameter)
	}
	behavior := scaled.Spec.Advanced.HorizontalPodAutoscalerConfig.Behavior
	assert.EqualValues(t, 300, *behavior.ScaleDown.StabilizationWindowSeconds)
	assert.EqualValues(t, 10, behavior.ScaleDown.Policies[0].Value)
}
