package archiving_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/archiving"

	compressor "github.com/niyanta/niyanta/adapters/zstd"
)

// keyed are customers with their keys. Others are not there any more.
type keyed struct {
	ports.CustomerStore
	keys map[domain.CustomerID]domain.EncryptionKeyID
}

func (k keyed) Get(_ context.Context, id domain.CustomerID) (domain.Customer, error) {
	under, found := k.keys[id]
	if !found {
		return domain.Customer{}, domain.NotFound("customer")
	}
	return domain.Customer{ID: id, EncryptionKeyID: under}, nil
}

// givenKeys is given, with keys of the customers.
func givenKeys(
	t *testing.T, n int, keys map[domain.CustomerID]domain.EncryptionKeyID, of ...domain.CustomerID,
) *fixture {
	t.Helper()
	f := given(t, n, of...)
	f.storage.Blobs = memory.NewKeyedBlobs(contracttests.NewClock(month))
	z, err := compressor.New()
	require.NoError(t, err)
	f.service = archiving.New(archiving.Deps{
		Blobs: f.storage, Retention: f.archive, Customers: keyed{keys: keys}, Compressor: z, Observer: f.observer,
	})
	return f
}

func TestArchive_OfCustomersWithKeys_IsWrittenUnderThem(t *testing.T) {
	f := givenKeys(t, 10_001, map[domain.CustomerID]domain.EncryptionKeyID{"cust_a": "k1", "cust_b": "", "cust_c": "k2"},
		"cust_a", "cust_b", "cust_c")
	f.write(1)
	for _, part := range []int{1, 2} {
		assert.Equal(t, domain.EncryptionKeyID("k1"), f.storage.Under(key("cust_a", part)))
		assert.Empty(t, f.storage.Under(key("cust_b", part)))
		assert.Equal(t, domain.EncryptionKeyID("k2"), f.storage.Under(key("cust_c", part)))
	}
	assert.Len(t, f.objects(), 6)
}

func TestArchive_WhenAKeyCannotBeUsed_DropsNothingAndIsWrittenLater(t *testing.T) {
	f := givenKeys(t, 3, map[domain.CustomerID]domain.EncryptionKeyID{"cust_a": "", "cust_b": "secret"},
		"cust_a", "cust_b")
	f.storage.Refuse("secret", true)
	_, _, err := f.service.Step(t.Context(), 1)
	require.NoError(t, err)
	until, more, err := f.service.Step(t.Context(), 1)
	require.True(t, domain.IsNotEncrypted(err), "%v", err)
	require.ErrorContains(t, err, "cust_b", "whose key it is")
	require.NotContains(t, err.Error(), "secret")
	require.False(t, more)
	require.Equal(t, month, until, "the month must stay")
	assert.Equal(t, 1, f.observer.counts["encryption_refused"])
	assert.Len(t, f.objects(), 1)
	f.storage.Refuse("secret", false)
	f.write(1)
	assert.Equal(t, domain.EncryptionKeyID("secret"), f.storage.Under(key("cust_b", 1)))
}

// TestArchive_OfACustomerThatIsGone_IsNotWritten: its key is not known any more.
func TestArchive_OfACustomerThatIsGone_IsNotWritten(t *testing.T) {
	f := givenKeys(t, 10_001, map[domain.CustomerID]domain.EncryptionKeyID{"cust_a": "k1", "cust_c": "k2"},
		"cust_a", "cust_b", "cust_c")
	f.storage.broken = key("cust_b", 1) // a put would fail
	f.write(1)
	objects := f.objects()
	require.Len(t, objects, 4)
	assert.Equal(t, 1, linesOf(objects[key("cust_c", 2)]))
	assert.Equal(t, map[string]int{"archive_workloads_written": 20_002}, f.observer.counts)
}
