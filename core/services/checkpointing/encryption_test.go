package checkpointing_test

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// give sets the key of the customer.
func (b *bench) give(t *testing.T, id domain.EncryptionKeyID) {
	t.Helper()
	_, err := b.stores.Customers.Update(t.Context(), "cust_a", domain.CustomerPatch{EncryptionKeyID: &id}, domain.Admin{})
	require.NoError(t, err)
}

func TestSave_OfACustomerWithAKey_WritesUnderTheKeyThatItHasThen(t *testing.T) {
	b := newBench(t)
	var saved [][]byte
	for i, id := range []domain.EncryptionKeyID{"", "k1", "k2", ""} {
		b.give(t, id)
		saved = append(saved, b.saved(t, int64(i+1)))
		assert.Equal(t, id, b.blobs.Under(b.blobs.keys[i]))
	}
	// What was written under the keys before stays readable.
	for sequence := int64(4); sequence > 0; sequence-- {
		c, err := b.Get(t.Context(), "cust_a", "wl_1", sequence)
		require.NoError(t, err)
		d, err := b.Data(t.Context(), c)
		require.NoError(t, err)
		var got bytes.Buffer
		_, err = got.ReadFrom(d.Body)
		require.NoError(t, err)
		require.NoError(t, d.Body.Close())
		require.Equal(t, saved[sequence-1], got.Bytes())
	}
}

func TestSave_WhenTheKeyCannotBeUsed_StoresNothingAndSucceedsLater(t *testing.T) {
	b := newBench(t)
	first := b.saved(t, 1)
	b.give(t, "arn:aws:kms:eu-central-1:1:key/secret")
	b.blobs.Refuse("arn:aws:kms:eu-central-1:1:key/secret", true)
	for range 2 {
		_, opened, err := b.save(t, 2, make([]byte, 500))
		require.True(t, domain.IsNotEncrypted(err), "%v", err)
		require.True(t, opened)
	}
	require.Equal(t, 2, b.counts["encryption_refused"])
	require.Len(t, b.blobs.values(t), 1, "nothing was written")
	assert.Contains(t, b.log.String(), `"customer_id":"cust_a"`)
	assert.NotContains(t, b.log.String(), "secret")
	sequence, data, err := b.load(t)
	require.NoError(t, err)
	require.Equal(t, []any{int64(1), first}, []any{sequence, data}, "the checkpoint before is kept")
	require.NoError(t, b.Sweep(t.Context()))
	require.Len(t, b.blobs.values(t), 1)

	b.blobs.Refuse("arn:aws:kms:eu-central-1:1:key/secret", false)
	second := b.saved(t, 2)
	sequence, data, err = b.load(t)
	require.NoError(t, err)
	require.Equal(t, []any{int64(2), second}, []any{sequence, data})
}

func logger(b *bytes.Buffer) *slog.Logger { return slog.New(slog.NewJSONHandler(b, nil)) }
