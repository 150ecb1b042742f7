package archiving_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	compressor "github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/archiving"
)

var month = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// archive holds months that are over, each with the same workloads in order.
type archive struct {
	ports.RetentionStore
	months    []time.Time
	workloads []domain.Workload
}

func (a *archive) ArchivedMonth(_ context.Context, after time.Time) (time.Time, bool, error) {
	i := slices.IndexFunc(a.months, func(m time.Time) bool { return m.After(after) })
	if i < 0 {
		return time.Time{}, false, nil
	}
	return a.months[i], true, nil
}

func (a *archive) ArchivedIn(
	_ context.Context, _ time.Time, after ports.ArchivePlace, limit int,
) ([]domain.Workload, error) {
	first := sort.Search(len(a.workloads), func(i int) bool {
		w := &a.workloads[i]
		return w.CustomerID > after.Customer || w.CustomerID == after.Customer && w.ID > after.Workload
	})
	return a.workloads[first:min(first+limit, len(a.workloads))], nil
}

type customers struct{ ports.CustomerStore }

func (customers) Get(_ context.Context, id domain.CustomerID) (domain.Customer, error) {
	return domain.Customer{ID: id}, nil
}

type observer struct {
	ports.Observer
	counts map[string]int
}

func (o observer) Count(name string, n int) { o.counts[name] += n }

// storage fails when a key is put that a test names. It counts what is put.
type storage struct {
	*memory.Blobs
	broken string
	puts   map[string]int
	before func(key string) // nil: nothing
}

func (s *storage) Put(
	ctx context.Context, key string, r io.Reader, under domain.EncryptionKeyID,
) (ports.BlobSum, error) {
	if s.before != nil {
		s.before(key)
	}
	if key == s.broken {
		return ports.BlobSum{}, errors.New("the storage is away")
	}
	sum, err := s.Blobs.Put(ctx, key, r, under)
	if err == nil {
		s.puts[key]++
	}
	return sum, err
}

type fixture struct {
	*testing.T
	archive  *archive
	storage  *storage
	observer observer
	service  *archiving.Service
}

// given returns a service with n workloads of each of these customers.
func given(t *testing.T, n int, of ...domain.CustomerID) *fixture {
	t.Helper()
	f := &fixture{T: t, archive: &archive{months: []time.Time{month}}, observer: observer{counts: map[string]int{}},
		storage: &storage{Blobs: memory.NewBlobs(contracttests.NewClock(month)), puts: map[string]int{}}}
	for _, c := range of {
		for i := range n {
			var w domain.Workload
			w.CustomerID, w.ID, w.ArchivedAt = c, domain.WorkloadID(fmt.Sprintf("wl_%06d", i)), month.AddDate(0, 0, 7)
			f.archive.workloads = append(f.archive.workloads, w)
		}
	}
	z, err := compressor.New()
	require.NoError(t, err)
	f.service = archiving.New(archiving.Deps{
		Blobs: f.storage, Retention: f.archive, Customers: customers{}, Compressor: z, Observer: f.observer,
	})
	return f
}

// write calls Step until there is nothing left to write, and returns how often.
func (f *fixture) write(epoch int64) (steps int) {
	f.Helper()
	for {
		until, more, err := f.service.Step(f.Context(), epoch)
		require.NoError(f, err)
		if !more {
			require.Zero(f, until)
			return steps
		}
		steps++
	}
}

// objects returns the uncompressed values by key.
func (f *fixture) objects() map[string][]byte {
	f.Helper()
	out := map[string][]byte{}
	all, err := f.storage.List(f.Context(), "workloads/", "", 1000)
	require.NoError(f, err)
	for _, b := range all {
		r, _, err := f.storage.Get(f.Context(), b.Key)
		require.NoError(f, err)
		z, err := zstd.NewReader(r)
		require.NoError(f, err)
		out[b.Key], err = io.ReadAll(z)
		require.NoError(f, err)
		z.Close()
	}
	return out
}

// key is the key of a customer's object.
func key(customer string, part int) string {
	return fmt.Sprintf("workloads/month=2026-03/customer=%s/%05d.jsonl.zst", customer, part)
}

func linesOf(b []byte) int { return bytes.Count(b, []byte("\n")) }

func TestArchive_OfMoreWorkloadsThanAnObjectTakes_HasSeveralObjects(t *testing.T) {
	f := given(t, 10_001, "cust_a", "cust_b")
	assert.Equal(t, 5, f.write(1), "each step writes one object, the last one the month's file")
	objects := f.objects()
	require.Len(t, objects, 4)
	for _, c := range []string{"cust_a", "cust_b"} {
		assert.Equal(t, 10_000, linesOf(objects[key(c, 1)]))
		assert.Equal(t, 1, linesOf(objects[key(c, 2)]))
		assert.Contains(t, string(objects[key(c, 2)]), `"workload_id":"wl_010000","customer_id":"`+c+`"`)
	}
	r, _, err := f.storage.Get(t.Context(), "months/2026-03.json")
	require.NoError(t, err)
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Regexp(t, `^{"schema":1,"month":"2026-03","workloads":20002,"objects":4,"bytes":[1-9]\d+}\n$`, string(text))
	assert.Equal(t, map[string]int{"archive_workloads_written": 20_002}, f.observer.counts)
	assert.Zero(t, f.write(1), "it is written")
	assert.Zero(t, f.write(2), "for the next leader too")
}

func TestArchive_OfLargeInputs_HasObjectsOfBoundedSize(t *testing.T) {
	f := given(t, 9, "cust_a")
	large := domain.JSON(`{"x":"` + string(bytes.Repeat([]byte("x"), 10<<20)) + `"}`)
	for i := range f.archive.workloads {
		f.archive.workloads[i].Input = large
	}
	f.write(1)
	objects := f.objects()
	require.Len(t, objects, 2)
	assert.Equal(t, 7, linesOf(objects[key("cust_a", 1)]))
	assert.Equal(t, 2, linesOf(objects[key("cust_a", 2)]))
}

func TestArchive_WhenALeaderFailsBetweenTwoObjects_IsWrittenAgainWithTheSameLines(t *testing.T) {
	f := given(t, 10_001, "cust_a")
	f.storage.broken = key("cust_a", 2)
	_, more, err := f.service.Step(t.Context(), 1)
	require.NoError(t, err)
	require.True(t, more)
	before := f.objects()
	for range 2 { // by itself, and after it began again
		until, more, err := f.service.Step(t.Context(), 1)
		if err == nil {
			until, more, err = f.service.Step(t.Context(), 1)
		}
		require.ErrorContains(t, err, "write the archive of 2026-03: the storage is away")
		require.False(t, more)
		require.Equal(t, month, until, "the month must stay")
	}
	assert.Equal(t, 2, f.observer.counts["archive_write_failed"])
	f.storage.broken = ""
	f.write(2)
	objects := f.objects()
	require.Len(t, objects, 2)
	assert.Equal(t, before[key("cust_a", 1)], objects[key("cust_a", 1)])
	assert.Equal(t, 1, linesOf(objects[key("cust_a", 2)]))
}

func TestArchive_WhenItIsWrittenAgain_KeepsNoLinesOfCustomersThatAreGone(t *testing.T) {
	f := given(t, 3, "cust_a", "cust_gone")
	f.storage.broken = "months/2026-03.json"
	for range 2 {
		_, _, err := f.service.Step(t.Context(), 1)
		require.NoError(t, err)
	}
	require.Len(t, f.objects(), 2)
	f.archive.workloads = f.archive.workloads[:3]
	f.storage.broken = ""
	f.write(2)
	objects := f.objects()
	require.Len(t, objects, 1)
	require.Equal(t, 3, linesOf(objects[key("cust_a", 1)]))
}

func TestArchive_WithoutAStorage_HoldsNothingBack(t *testing.T) {
	until, more, err := archiving.New(archiving.Deps{}).Step(t.Context(), 1)
	require.NoError(t, err)
	require.Zero(t, until)
	require.False(t, more)
}
