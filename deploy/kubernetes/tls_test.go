package kubernetes

import (
	"crypto/x509"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/niyanta/niyanta/bootstrap"
	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// certificates returns the files of a Secret with a certificate for a Deployment.
func certificates(t *testing.T, name string) map[string]string {
	t.Helper()
	ca := testfiles.NewAuthority(t)
	pair := ca.Issue(t, name, func(c *x509.Certificate) { c.DNSNames = []string{name + ".niyanta.svc"} })
	return map[string]string{"tls.crt": pair.Cert, "tls.key": pair.Key, "ca.crt": ca.CA}
}

// encrypts reports whether the set has the component for encryption.
func encrypts(s set) bool {
	s.Helper()
	return find[*corev1.ConfigMap](s, coordinator).Data["NIYANTA_TLS_CERT_FILE"] != ""
}

// scheme returns how the processes of a Deployment serve, by their own configuration.
func scheme(s set, name string) string {
	s.Helper()
	d, c := container(s, name)
	role := bootstrap.RoleCoordinator
	if name == worker {
		role = bootstrap.RoleWorker
	}
	if configure(s, d, &c, role).TLSCert != "" {
		return "https"
	}
	return "http"
}

func TestSchemes_OfEveryOverlay_AreThoseThatTheProcessesServe(t *testing.T) {
	forEach(t, func(s set) {
		of := map[string]string{coordinator: scheme(s, coordinator), worker: scheme(s, worker)}
		for name, serves := range of {
			_, c := container(s, name)
			for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
				wants := corev1.URISchemeHTTP
				if serves == "https" {
					wants = corev1.URISchemeHTTPS
				}
				got := probe.HTTPGet.Scheme
				if got == "" { // what the API fills in
					got = corev1.URISchemeHTTP
				}
				assert.Equal(s, wants, got, name)
			}
		}
		endpoint := find[*monitoringv1.ServiceMonitor](s, coordinator).Spec.Endpoints[0]
		pods := find[*monitoringv1.PodMonitor](s, worker).Spec.PodMetricsEndpoints[0]
		assert.Equal(s, of[coordinator] == "https", endpoint.Scheme == "https")
		assert.Equal(s, of[worker] == "https", pods.Scheme == "https")
		backend := find[*networkingv1.Ingress](s, "niyanta").Annotations["nginx.ingress.kubernetes.io/backend-protocol"]
		assert.Equal(s, of[coordinator] == "https", backend == "HTTPS")

		d, c := container(s, worker)
		cfg := configure(s, d, &c, bootstrap.RoleWorker)
		assert.Contains(s, cfg.CoordinatorURL, of[coordinator]+"://")
		d, c = container(s, coordinator)
		serves := configure(s, d, &c, bootstrap.RoleCoordinator)
		assert.Equal(s, serves.WorkerClientCA != "", cfg.CoordinatorCert != "" && cfg.CoordinatorKey != "",
			"workers show a certificate where coordinators ask for one")
		assert.Equal(s, of[coordinator] == "https", cfg.CoordinatorCA != "")
	})
}

func TestTLS_OfTheComponent_EncryptsEveryConnection(t *testing.T) {
	for _, overlay := range []string{"overlays/tls", "testdata/keda-tls"} {
		s := load(t, overlay)
		assert.Equal(t, "https", scheme(s, coordinator))
		assert.Equal(t, "https", scheme(s, worker))
		d, c := container(s, coordinator)
		of := configure(s, d, &c, bootstrap.RoleCoordinator)
		for name, file := range map[string]string{
			"workers": of.WorkerClientCA, "NATS": of.NATSCA, "NATS's client": of.NATSCert, "Redis": of.RedisCA,
			"Redis's client": of.RedisCert,
		} {
			assert.NotEmpty(t, file, name)
		}
		tls := find[*monitoringv1.ServiceMonitor](s, coordinator).Spec.Endpoints[0].TLSConfig
		require.NotNil(t, tls)
		require.NotNil(t, tls.ServerName)
		service := find[*corev1.Service](s, coordinator)
		assert.Equal(t, service.Name+"."+service.Namespace+".svc", *tls.ServerName)
		assert.Equal(t, coordinator+"-tls", tls.CA.Secret.Name)
	}
}
