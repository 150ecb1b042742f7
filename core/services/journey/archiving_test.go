package journey_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// blobs is a storage of blobs that can be made to fail.
type blobs struct {
	*memory.Blobs
	fail func(call string) error // before a call, for example "put workloads/…"
	puts []string
}

func (b *blobs) before(call string) error {
	if b.fail == nil {
		return nil
	}
	return b.fail(call)
}

func (b *blobs) Put(
	ctx context.Context, key string, r io.Reader, under domain.EncryptionKeyID,
) (ports.BlobSum, error) {
	if err := b.before("put " + key); err != nil {
		return ports.BlobSum{}, err
	}
	b.puts = append(b.puts, key)
	return b.Blobs.Put(ctx, key, r, under)
}

func (b *blobs) Get(ctx context.Context, key string) (io.ReadCloser, domain.Blob, error) {
	if err := b.before("get " + key); err != nil {
		return nil, domain.Blob{}, err
	}
	return b.Blobs.Get(ctx, key)
}

func (b *blobs) List(ctx context.Context, prefix, after string, limit int) ([]domain.Blob, error) {
	if err := b.before("list " + prefix); err != nil {
		return nil, err
	}
	return b.Blobs.List(ctx, prefix, after, limit)
}

// newArchiving returns a world whose coordinators write the archive to blobs.
func newArchiving(t *testing.T) (*world, *blobs) {
	t.Helper()
	b := &blobs{}
	w := newWorld(t, keep, func(s *setup) {
		if b.Blobs == nil {
			b.Blobs = memory.NewBlobs(s.host.Clock)
		}
		s.host.Archive = b
	})
	return w, b
}

func (b *blobs) keys(t *testing.T) (keys []string) {
	t.Helper()
	all, err := b.Blobs.List(t.Context(), "", "", 1000)
	require.NoError(t, err)
	for _, v := range all {
		keys = append(keys, v.Key)
	}
	return keys
}

// lines returns the lines of all objects, by workload. Each workload has one.
func (b *blobs) lines(t *testing.T) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for _, key := range b.keys(t) {
		if !strings.HasSuffix(key, ".jsonl.zst") {
			continue
		}
		r, _, err := b.Blobs.Get(t.Context(), key)
		require.NoError(t, err)
		z, err := zstd.NewReader(r)
		require.NoError(t, err)
		s := bufio.NewScanner(z)
		s.Buffer(nil, 8<<20)
		for s.Scan() {
			var line map[string]any
			require.NoError(t, json.Unmarshal(s.Bytes(), &line))
			id := line["workload_id"].(string)
			require.NotContains(t, out, id, "a workload has one line")
			require.Contains(t, key, fmt.Sprintf("/customer=%s/", line["customer_id"]))
			out[id] = line
		}
		require.NoError(t, s.Err())
		z.Close()
	}
	return out
}

// done submits n workloads and cancels them.
func (w *world) done(n int, change ...func(*lifecycle.SubmitRequest)) (out []domain.WorkloadID) {
	w.Helper()
	for range n {
		id := w.submit(change...)
		_, err := w.a.Lifecycle.Cancel(w.Context(), acme, id, user, "", "")
		require.NoError(w, err)
		out = append(out, id)
	}
	return out
}

// attempt lets every loop run many times, and returns the errors of each loop.
func (w *world) attempt(d time.Duration) map[string][]error {
	w.Helper()
	w.clock.now = w.clock.now.Add(d)
	failed := map[string][]error{}
	for range 5 * len(domain.AllKept()) {
		for _, l := range w.a.Loops() {
			if _, err := l.Tick(w.Context()); err != nil {
				failed[l.Name] = append(failed[l.Name], err)
			}
		}
	}
	return failed
}

func TestArchive_WhenAMonthIsOver_WritesItsWorkloadsOnce(t *testing.T) {
	w, b := newArchiving(t)
	ids := w.done(450, func(r *lifecycle.SubmitRequest) { // more than a page
		r.Labels = map[string]string{"run": "<nightly>"}
	})
	w.rest(90*day + time.Hour)
	assert.Empty(t, b.keys(t), "the month is not over")
	w.rest(32 * day)
	lines := b.lines(t)
	require.Len(t, lines, len(ids))
	require.Len(t, b.keys(t), 2)
	month := strings.TrimSuffix(strings.TrimPrefix(b.keys(t)[0], "months/"), ".json")
	assert.Equal(t, []string{
		"months/" + month + ".json", "workloads/month=" + month + "/customer=cust_acme/00001.jsonl.zst",
	}, b.keys(t))
	line := lines[string(ids[7])]
	assert.InDelta(t, 1, line["schema"], 0)
	assert.Equal(t, "CANCELLED", line["status"])
	assert.Equal(t, map[string]any{"run": "<nightly>"}, line["labels"])
	assert.Equal(t, map[string]any{}, line["input_params"])
	assert.Nil(t, line["result_data"])
	assert.Equal(t, w.get(ids[7]).ArchivedAt.Format(time.RFC3339Nano), line["archived_at"])
	assert.Equal(t, len(ids), w.observer.counts["archive_workloads_written"])
	puts := len(b.puts)
	w.rest(365 * day)
	_, err := w.a.Lifecycle.Get(t.Context(), acme, ids[0])
	assert.Equal(t, domain.CodeNotFound, domain.CodeOf(err), "the archive has dropped it")
	assert.Len(t, b.lines(t), len(ids), "its line stays")
	assert.Len(t, b.puts, puts, "nothing was written again")
}

func TestArchive_WhenTheBlobStorageIsAway_DropsNothingAndTheRestGoesOn(t *testing.T) {
	w, b := newArchiving(t)
	ids := w.done(3)
	w.rest(90*day + time.Hour)
	b.fail = func(string) error { return domain.Unavailable(0, "away") }
	failed := w.attempt(2 * 365 * day)
	require.NotEmpty(t, failed["retention"])
	require.ErrorContains(t, failed["retention"][0], "the archive of 20")
	delete(failed, "retention")
	require.Empty(t, failed)
	claim, _ := w.a.Leadership.Current()
	month, found, err := w.stores.Retention.ArchivedMonth(t.Context(), time.Time{})
	require.NoError(t, err)
	require.True(t, found)
	left, err := w.stores.Retention.ArchivedIn(t.Context(), month, ports.ArchivePlace{}, 10)
	require.NoError(t, err)
	require.Len(t, left, len(ids), "although its time is over (epoch %d)", claim.Epoch)
	events, err := w.stores.Audit.Workload(t.Context(), acme, ids[0], 0, 10)
	require.NoError(t, err)
	require.Empty(t, events, "audit events go all the same")

	require.NotZero(t, w.observer.counts["archive_write_failed"])

	b.fail = nil
	w.attempt(time.Minute)
	require.Empty(t, w.attempt(time.Minute), "it fails no longer")
	require.Len(t, b.lines(t), len(ids))
	_, found, err = w.stores.Retention.ArchivedMonth(t.Context(), time.Time{})
	require.NoError(t, err)
	require.False(t, found, "it is written and dropped")
}

// TestArchive_WhenALeaderCrashesAnywhere_LosesAndRepeatsNothing lets the leader end at each call of
// the blob storage, before and behind it, and another one continue.
func TestArchive_WhenALeaderCrashesAnywhere_LosesAndRepeatsNothing(t *testing.T) {
	crash := errors.New("crash")
	for n := 0; ; n++ {
		w, b := newArchiving(t)
		_, err := w.a.Tenancy.CreateCustomer(t.Context(), domain.Customer{ID: rival, Name: "R", Tier: domain.TierPremium},
			domain.Admin{KeyID: "key_admin"})
		require.NoError(t, err)
		ids := w.done(201)
		w.rest(90*day + time.Hour)
		calls, crashed := 0, false
		b.fail = func(string) error {
			if calls++; calls > n {
				crashed = true
				return crash // from now on nothing of this leader arrives
			}
			return nil
		}
		w.attempt(35 * day)
		b.fail = nil
		require.NoError(t, w.a.Leadership.StepDown(t.Context()))
		w.clock.now = w.clock.now.Add(time.Hour)
		for range 100 {
			for _, l := range w.b.Loops() {
				_, err := l.Tick(t.Context())
				require.NoError(t, err)
			}
		}
		require.Len(t, b.lines(t), len(ids), "crash after %d calls", n)
		require.Len(t, b.keys(t), 2)
		if !crashed {
			require.Greater(t, n, 3)
			return
		}
	}
}

func TestArchive_OfADeletedCustomer_IsRemoved(t *testing.T) {
	w, b := newArchiving(t)
	w.done(3)
	w.rest(90*day + time.Hour)
	w.rest(35 * day)
	require.Len(t, b.lines(t), 3)
	_, err := w.a.Tenancy.DeleteCustomer(t.Context(), acme, true, domain.Admin{KeyID: "key_admin"})
	require.NoError(t, err)
	b.fail = func(string) error { return domain.Unavailable(0, "away") }
	failed := w.attempt(time.Minute)
	require.NotEmpty(t, failed["deletions"])
	require.ErrorContains(t, failed["deletions"][0], "blob storage")
	_, err = w.stores.Customers.Get(t.Context(), acme)
	require.NoError(t, err, "the customer stays until its lines are gone")
	b.fail = nil
	w.attempt(time.Minute)
	_, err = w.stores.Customers.Get(t.Context(), acme)
	require.True(t, domain.IsCode(err, domain.CodeNotFound))
	require.Empty(t, b.lines(t))
	require.Len(t, b.keys(t), 1, "what says that the month is written stays")
}

// TestArchive_WhenACustomerIsDeletedWhileItsLinesAreWritten_RemovesThem deletes a customer, whose
// lines have been read, before they are stored.
func TestArchive_WhenACustomerIsDeletedWhileItsLinesAreWritten_RemovesThem(t *testing.T) {
	w, b := newArchiving(t)
	w.done(3)
	w.rest(90*day + time.Hour)
	b.fail = func(call string) error {
		if !strings.HasPrefix(call, "put workloads/") {
			return nil
		}
		_, err := w.a.Tenancy.DeleteCustomer(t.Context(), acme, true, domain.Admin{KeyID: "key_admin"})
		require.NoError(t, err)
		for range 10 {
			_, err := w.a.Erasure.Tick(t.Context())
			require.NoError(t, err)
		}
		_, err = w.stores.Customers.Get(t.Context(), acme)
		require.True(t, domain.IsCode(err, domain.CodeNotFound))
		return nil
	}
	w.attempt(35 * day)
	require.Len(t, b.puts, 2, "the lines were written, and the month ended")
	require.Empty(t, b.lines(t))
}
