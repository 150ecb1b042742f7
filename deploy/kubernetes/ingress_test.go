package kubernetes

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

func TestIngress_OfEveryOverlay_HasTLSAndLeadsToTheCoordinators(t *testing.T) {
	forEach(t, func(s set) {
		in := find[*networkingv1.Ingress](s, "niyanta")
		service := find[*corev1.Service](s, coordinator)
		for _, rule := range in.Spec.Rules {
			assert.Contains(s, in.Spec.TLS[0].Hosts, rule.Host)
			backend := rule.HTTP.Paths[0].Backend.Service
			assert.Equal(s, service.Name, backend.Name)
			assert.Equal(s, service.Spec.Ports[0].Name, backend.Port.Name)
		}
	})
}

// Metrics need no key and tell of all customers: what is reached through the Ingress must not have them.
func TestIngress_OfEveryOverlay_LeadsNobodyToTheMetrics(t *testing.T) {
	forEach(t, func(s set) {
		for _, rule := range find[*networkingv1.Ingress](s, "niyanta").Spec.Rules {
			found := 0
			for _, p := range rule.HTTP.Paths {
				if p.Path == "/metrics" && *p.PathType == networkingv1.PathTypeExact {
					found++
					assert.Empty(s, find[*corev1.Service](s, p.Backend.Service.Name).Spec.Selector, "it has no pods")
				}
			}
			assert.Equal(s, 1, found, rule.Host)
		}
	})
}

// A batch has up to 16 MiB, and a coordinator answers within 90 s; the controller of nginx takes 1 MiB
// and waits for 60 s unless it is told.
func TestIngress_OfEveryOverlay_LetsBatchesAndLongPollsThrough(t *testing.T) {
	forEach(t, func(s set) {
		of := find[*networkingv1.Ingress](s, "niyanta").Annotations
		size, err := resource.ParseQuantity(strings.ToUpper(of["nginx.ingress.kubernetes.io/proxy-body-size"]))
		require.NoError(s, err)
		assert.Greater(s, size.Value(), int64(16<<20))
		for _, name := range []string{"read", "send"} {
			seconds, err := strconv.Atoi(of["nginx.ingress.kubernetes.io/proxy-"+name+"-timeout"])
			require.NoError(s, err, name)
			assert.Greater(s, seconds, 90, name)
		}
	})
}
