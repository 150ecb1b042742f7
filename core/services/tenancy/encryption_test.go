package tenancy_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/tenancy"
)

func TestCustomer_KeyWhereNothingIsEncrypted_IsRefusedByField(t *testing.T) {
	p := newPlace(t)
	able := func(keyless string) *tenancy.Service {
		return tenancy.New(tenancy.Config{Keyless: keyless}, tenancy.Deps{
			Customers: p.store.Customers, Clock: p.clock, IDs: system.IDs{}, Notifier: memory.NewNotifier(),
		})
	}
	by := domain.Admin{KeyID: "key_admin"}
	patch := func(id domain.EncryptionKeyID) domain.CustomerPatch {
		return domain.CustomerPatch{EncryptionKeyID: &id}
	}
	can, cannot := able(""), able("the storage of the archive does not encrypt with keys")

	_, err := cannot.CreateCustomer(t.Context(), domain.Customer{Name: "B", Tier: domain.TierFree,
		EncryptionKeyID: "k"}, by)
	require.ErrorContains(t, err, "encryption_key_id: the storage of the archive does not encrypt with keys")
	require.True(t, domain.IsCode(err, domain.CodeInvalidInput))
	_, err = cannot.UpdateCustomer(t.Context(), "cust_a", patch("k"), by)
	require.ErrorContains(t, err, "encryption_key_id: the storage")
	_, err = can.UpdateCustomer(t.Context(), "cust_a", patch("a b"), by)
	require.ErrorContains(t, err, "encryption_key_id: must have")
	c, err := can.GetCustomer(t.Context(), "cust_a")
	require.NoError(t, err)
	require.Empty(t, c.EncryptionKeyID, "nothing was changed")

	c, err = can.CreateCustomer(t.Context(), domain.Customer{Name: "B", Tier: domain.TierFree, EncryptionKeyID: "k"}, by)
	require.NoError(t, err)
	assert.Equal(t, domain.EncryptionKeyID("k"), c.EncryptionKeyID)
	c, err = can.UpdateCustomer(t.Context(), "cust_a", patch("k"), by)
	require.NoError(t, err)
	assert.Equal(t, domain.EncryptionKeyID("k"), c.EncryptionKeyID)
	// A coordinator whose storage was changed since changes the rest, and removes the key.
	c, err = cannot.UpdateCustomer(t.Context(), "cust_a", domain.CustomerPatch{Name: new("C")}, by)
	require.NoError(t, err)
	assert.Equal(t, domain.EncryptionKeyID("k"), c.EncryptionKeyID)
	c, err = cannot.UpdateCustomer(t.Context(), "cust_a", patch(""), by)
	require.NoError(t, err)
	assert.Empty(t, c.EncryptionKeyID)
}
