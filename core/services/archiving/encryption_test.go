package archiving_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

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

// round calls Step until a round is over.
func (f *fixture) round() (until time.Time, err error) {
	f.Helper()
	for more := true; more; {
		until, more, err = f.service.Step(f.Context(), 1)
	}
	return until, err
}

// manifest returns what the month's file says; empty if there is none.
func (f *fixture) manifest(month string) string {
	f.Helper()
	r, _, err := f.storage.Get(f.Context(), "months/"+month+".json")
	if domain.IsCode(err, domain.CodeNotFound) {
		return ""
	}
	require.NoError(f, err)
	text, err := io.ReadAll(r)
	require.NoError(f, err)
	return string(text)
}

func TestArchive_WhenAKeyCannotBeUsed_DelaysTheLinesOfItsCustomerOnly(t *testing.T) {
	f := givenKeys(t, 3, map[domain.CustomerID]domain.EncryptionKeyID{"cust_a": "", "cust_b": "secret", "cust_c": "k3"},
		"cust_a", "cust_b", "cust_c")
	april := month.AddDate(0, 1, 0)
	f.archive.months = []time.Time{month, april}
	f.storage.Refuse("secret", true)
	const rounds = 6 // the months, and then each of them twice again
	for range rounds {
		until, err := f.round()
		require.True(t, domain.IsNotEncrypted(err), "%v", err)
		require.ErrorContains(t, err, "cust_b", "whose key it is")
		require.NotContains(t, err.Error(), "secret")
		require.Equal(t, month, until, "the month must stay")
	}
	assert.Equal(t, rounds, f.observer.counts["encryption_refused"])
	assert.Equal(t, map[string]int{
		key("cust_a", 1): 1, key("cust_c", 1): 1, inApril(key("cust_a", 1)): 1, inApril(key("cust_c", 1)): 1,
	}, f.storage.puts, "the others are written, once")

	f.storage.Refuse("secret", false)
	f.storage.broken = inApril(key("cust_b", 1))
	until, err := f.round()
	require.ErrorContains(t, err, "the storage is away")
	require.Equal(t, april, until, "March is whole")
	f.storage.broken = ""
	f.write(1)
	for _, m := range []string{"2026-03", "2026-04"} {
		assert.Regexp(t, `"workloads":9,"objects":3,`, f.manifest(m))
	}
	assert.Equal(t, domain.EncryptionKeyID("secret"), f.storage.Under(key("cust_b", 1)))
	assert.Zero(t, f.write(2), "it is written, for the next leader too")
}

func inApril(key string) string { return strings.ReplaceAll(key, "2026-03", "2026-04") }

func TestArchive_WhenAKeyEndsBetweenTwoObjects_CountsEachLineOnce(t *testing.T) {
	f := givenKeys(t, 10_001, map[domain.CustomerID]domain.EncryptionKeyID{"cust_a": "k1", "cust_b": "k2"},
		"cust_a", "cust_b")
	f.storage.before = func(k string) { f.storage.Refuse("k1", k == key("cust_a", 2)) }
	_, err := f.round()
	require.True(t, domain.IsNotEncrypted(err), "%v", err)
	assert.Empty(t, f.manifest("2026-03"))
	f.storage.before = func(string) { f.storage.Refuse("k1", false) }
	f.write(1)
	assert.Regexp(t, `"workloads":20002,"objects":4,`, f.manifest("2026-03"))
	assert.Len(t, f.objects(), 4)
}

func TestArchive_WhenACustomerWithABadKeyIsDeleted_IsWholeWithoutIt(t *testing.T) {
	keys := map[domain.CustomerID]domain.EncryptionKeyID{"cust_a": "", "cust_b": "k2", "cust_c": "k3"}
	f := givenKeys(t, 3, keys, "cust_a", "cust_b", "cust_c")
	f.storage.Refuse("k2", true)
	f.storage.Refuse("k3", true)
	_, err := f.round()
	require.ErrorContains(t, err, "cust_b")
	require.ErrorContains(t, err, "and those of 1 other customers")
	delete(keys, "cust_b")
	f.storage.Refuse("k3", false)
	f.write(1)
	assert.Regexp(t, `"workloads":6,"objects":2,`, f.manifest("2026-03"))
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
