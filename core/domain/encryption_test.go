package domain_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

const someKey domain.EncryptionKeyID = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab"

func TestEncryptionKeyID_WhenItIsNotPrintableOrTooLong_IsRefusedByField(t *testing.T) {
	for _, good := range []domain.EncryptionKeyID{"", "k", someKey, "alias/acme", "!~",
		domain.EncryptionKeyID(strings.Repeat("k", domain.MaxEncryptionKeyID))} {
		require.NoError(t, good.Validate("encryption_key_id"))
	}
	for _, bad := range []domain.EncryptionKeyID{" ", "a b", "a ", "a\n", "a\r\nX-Amz-Acl: public-read",
		"a\x00", "\x7f", "é",
		"\xff", domain.EncryptionKeyID(strings.Repeat("k", domain.MaxEncryptionKeyID+1))} {
		c := domain.Customer{ID: "cust_a", Name: "A", Tier: domain.TierFree, EncryptionKeyID: bad}
		err := c.Validate()
		require.True(t, domain.IsCode(err, domain.CodeInvalidInput), "%q", string(bad))
		assert.ErrorContains(t, err, "encryption_key_id: must have")
	}
}

func TestErrNotEncrypted_IsTriedAgainAndRecognized(t *testing.T) {
	err := fmt.Errorf("put: %w", domain.ErrNotEncrypted("the storage knows no keys", nil))
	assert.True(t, domain.IsNotEncrypted(err))
	assert.True(t, domain.IsCode(err, domain.CodeUnavailable))
	assert.False(t, domain.IsNotEncrypted(domain.Unavailable(0, "away")))
	assert.False(t, domain.IsNotEncrypted(nil))
}

func TestCustomer_ChangeOfItsKey_IsInTheAudit(t *testing.T) {
	c, act := domain.Customer{ID: "cust_a", Name: "A", Tier: domain.TierFree, EncryptionKeyID: "k1"}.
		Onboard(operator, epoch0)
	assert.Contains(t, string(act.After), `"encryption_key_id":"k1"`)
	c, act, err := c.Change(domain.CustomerPatch{EncryptionKeyID: new(domain.EncryptionKeyID("k2"))}, operator, epoch0)
	require.NoError(t, err)
	assert.Contains(t, string(act.Before), `"encryption_key_id":"k1"`)
	assert.Contains(t, string(act.After), `"encryption_key_id":"k2"`)
	c, _, err = c.Change(domain.CustomerPatch{Name: new("B")}, operator, epoch0)
	require.NoError(t, err)
	assert.Equal(t, domain.EncryptionKeyID("k2"), c.EncryptionKeyID, "left out it stays as it is")
	c, act, err = c.Change(domain.CustomerPatch{EncryptionKeyID: new(domain.EncryptionKeyID(""))}, operator, epoch0)
	require.NoError(t, err)
	assert.Contains(t, string(act.Before), `"encryption_key_id":"k2"`)
	assert.NotContains(t, string(act.After), "encryption_key_id")
	assert.Empty(t, c.EncryptionKeyID)
}
