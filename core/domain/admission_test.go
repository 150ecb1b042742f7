package domain_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/niyanta/niyanta/core/domain"
)

func TestSubmission_Admit(t *testing.T) {
	const depth = 3
	customer := &domain.Customer{ID: "cust_a", Tier: domain.TierFree, Overrides: domain.Limits{MaxQueueDepth: depth}}
	digest, other := [32]byte{1}, [32]byte{2}
	use := func(age time.Duration, digest, meaning [32]byte) *domain.KeyUse {
		return &domain.KeyUse{
			CustomerID: "cust_a", Key: "k", WorkloadID: "wl_first", Digest: digest,
			Meaning: meaning, At: epoch0.Add(-age),
		}
	}
	for _, c := range []struct {
		name     string
		known    domain.KnownWorkloads
		key      string
		want     domain.Admission
		existing domain.WorkloadID
	}{
		{"room in the queue", domain.KnownWorkloads{Customer: customer, Queued: depth - 1}, "", domain.Admitted, ""},
		{"queue at its limit", domain.KnownWorkloads{Customer: customer, Queued: depth}, "",
			domain.AdmissionQueueFull, ""},
		{"queue over a limit that was lowered", domain.KnownWorkloads{Customer: customer, Queued: depth + 1}, "",
			domain.AdmissionQueueFull, ""},
		{"unknown customer", domain.KnownWorkloads{Owner: "cust_a"}, "", domain.AdmissionNoCustomer, ""},
		{"same id", domain.KnownWorkloads{Customer: customer, Owner: "cust_a", Queued: depth}, "",
			domain.AdmittedBefore, "wl_1"},
		{"another customer's id", domain.KnownWorkloads{Customer: customer, Owner: "cust_b"}, "",
			domain.AdmissionConflict, ""},
		{"key, same digest", domain.KnownWorkloads{Customer: customer, Use: use(0, digest, other), Queued: depth}, "k",
			domain.AdmittedBefore, "wl_first"},
		{"key, same meaning", domain.KnownWorkloads{Customer: customer, Use: use(0, other, digest)}, "k",
			domain.AdmittedBefore, "wl_first"},
		{"key, neither", domain.KnownWorkloads{Customer: customer, Use: use(0, other, other)}, "k",
			domain.AdmissionConflict, ""},
		{"key, almost forgotten", domain.KnownWorkloads{Customer: customer,
			Use: use(domain.IdempotencyRetention-1, other, other)}, "k", domain.AdmissionConflict, ""},
		{"key, forgotten", domain.KnownWorkloads{Customer: customer,
			Use: use(domain.IdempotencyRetention, other, other)}, "k", domain.Admitted, ""},
		{"key, new", domain.KnownWorkloads{Customer: customer}, "k", domain.Admitted, ""},
		{"no key", domain.KnownWorkloads{Customer: customer, Use: use(0, other, other)}, "", domain.Admitted, ""},
	} {
		s := domain.Submission{
			Spec: domain.Spec{ID: "wl_1", CustomerID: "cust_a"}, IdempotencyKey: c.key, Digest: digest, Meaning: digest,
		}
		got, existing := s.Admit(c.known, epoch0)
		assert.Equal(t, c.want, got, c.name)
		assert.Equal(t, c.existing, existing, c.name)
	}
}
