package checkpointing_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/checkpointing"
	"github.com/niyanta/niyanta/core/services/transitions"
)

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

type ids struct {
	ports.IDs
	n int
}

func (i *ids) New(prefix string) string {
	i.n++
	return fmt.Sprint(prefix, i.n)
}

// counts counts what the service tells.
type counts struct {
	ports.Observer
	of map[string]int
}

func (c counts) Count(what string, n int)                                { c.of[what] += n }
func (counts) Checkpointed(ports.CheckpointAttempt)                      {}
func (counts) Transitioned(domain.Batch, []domain.Result, time.Duration) {}

type quiet struct{ ports.Notifier }

func (quiet) Updated(context.Context, ...ports.Update) {}

// storage is a BlobStore with faults.
type storage struct {
	*memory.Blobs
	put, get, read, deleting error
	keys                     []string // that were put
}

func (s *storage) Get(ctx context.Context, key string) (io.ReadCloser, domain.Blob, error) {
	if s.get != nil {
		return nil, domain.Blob{}, s.get
	}
	r, b, err := s.Blobs.Get(ctx, key)
	if err == nil && s.read != nil {
		r = io.NopCloser(io.MultiReader(io.LimitReader(r, 10), broken{s.read}))
	}
	return r, b, err
}

func (s *storage) Put(
	ctx context.Context, key string, r io.Reader, under domain.EncryptionKeyID,
) (ports.BlobSum, error) {
	s.keys = append(s.keys, key)
	if s.put != nil {
		return ports.BlobSum{}, s.put
	}
	return s.Blobs.Put(ctx, key, r, under)
}

func (s *storage) Delete(ctx context.Context, key string) error {
	if s.deleting != nil {
		return s.deleting
	}
	return s.Blobs.Delete(ctx, key)
}

// values returns the keys of all values.
func (s *storage) values(t *testing.T) (keys []string) {
	t.Helper()
	all, err := s.List(t.Context(), "", "", 100)
	require.NoError(t, err)
	for _, b := range all {
		keys = append(keys, b.Key)
	}
	return keys
}

// bench is the service on memory, with a run that may save checkpoints.
type bench struct {
	*checkpointing.Service
	stores ports.Stores
	blobs  *storage
	clock  *clock
	counts map[string]int
	log    bytes.Buffer
	ref    ports.SessionRef
	// loading, if set, is what the store fails with when it is to load a checkpoint.
	loading error
}

// loads is a store that may fail to load.
type loads struct {
	ports.CheckpointStore
	err *error
}

func (l loads) Load(ctx context.Context, id domain.WorkloadID, n int64) (domain.Checkpoint, []byte, error) {
	if *l.err != nil {
		return domain.Checkpoint{}, nil, *l.err
	}
	return l.CheckpointStore.Load(ctx, id, n)
}

const limit = 1 << 20

func newBench(t *testing.T) *bench {
	t.Helper()
	c := &clock{time.Unix(1_700_000_000, 0)}
	b := &bench{
		stores: memory.NewStore(c).Stores(), blobs: &storage{Blobs: memory.NewKeyedBlobs(c)}, clock: c,
		counts: map[string]int{}, ref: ports.SessionRef{WorkerID: "w", SessionID: "s"},
	}
	_, err := b.stores.Customers.Create(t.Context(), domain.Customer{ID: "cust_a", Name: "A", Tier: domain.TierFree},
		domain.Admin{})
	require.NoError(t, err)
	_, err = b.stores.Workers.Register(t.Context(), domain.Registration{WorkerID: "w", SessionID: "s",
		Capabilities: []string{"t"}, Slots: 1}, time.Hour)
	require.NoError(t, err)
	l, _, err := b.stores.Leader.Acquire(t.Context(), "a", time.Hour)
	require.NoError(t, err)
	_, err = b.stores.Workloads.Submit(t.Context(), []domain.Submission{{Spec: domain.Spec{ID: "wl_1",
		CustomerID: "cust_a", Type: "t", Input: "{}", Run: domain.DefaultRunConfig()}}})
	require.NoError(t, err)
	for _, tr := range []domain.Transition{
		{WorkloadID: "wl_1", Event: domain.EventAssign, Generation: 1, WorkerID: "w", SessionID: "s"},
		{WorkloadID: "wl_1", Event: domain.EventStart, Generation: 1, SessionID: "s"},
	} {
		rs, err := b.stores.Workloads.Apply(t.Context(), domain.Batch{Epoch: l.Epoch, Transitions: []domain.Transition{tr}})
		require.NoError(t, err)
		require.Equal(t, domain.OutcomeApplied, rs[0].Outcome, rs[0].Reason)
	}
	z, err := zstd.New()
	require.NoError(t, err)
	observer, log := counts{of: b.counts}, logger(&b.log)
	b.Service = checkpointing.New(checkpointing.Deps{
		Checkpoints: loads{b.stores.Checkpoints, &b.loading}, Compressor: z, Observer: observer, Clock: c, Log: log,
		Applier: transitions.New(transitions.Deps{Workloads: b.stores.Workloads, Notifier: quiet{}, Observer: observer,
			Clock: c}),
		Blobs: b.blobs, Uploads: b.stores.Uploads, IDs: &ids{},
		Customers: b.stores.Customers, Threshold: 100, Max: limit,
	})
	return b
}

// body returns data as the body of a request that can be opened once, and whether it was.
func body(t *testing.T, data []byte, size int64) (*ports.Body, *bool) {
	opened := new(bool)
	return &ports.Body{Size: size, Open: func() (io.ReadCloser, error) {
		require.False(t, *opened)
		*opened = true
		return io.NopCloser(bytes.NewReader(data)), nil
	}}, opened
}

func (b *bench) save(t *testing.T, sequence int64, data []byte) (domain.Result, bool, error) {
	t.Helper()
	from, opened := body(t, data, int64(len(data)))
	r, err := b.Save(t.Context(), b.ref, ports.CheckpointUpload{WorkloadID: "wl_1", Generation: 1, Sequence: sequence,
		Body: from})
	return r, *opened, err
}

// saved saves a checkpoint of random bytes, which it returns.
func (b *bench) saved(t *testing.T, sequence int64) []byte {
	t.Helper()
	data := make([]byte, 1000)
	_, _ = rand.Read(data)
	r, _, err := b.save(t, sequence, data)
	require.NoError(t, err)
	require.Equal(t, domain.OutcomeApplied, r.Outcome)
	return data
}

// run is the workload as far as a load needs it.
func run() *domain.Workload {
	w := &domain.Workload{}
	w.ID, w.CustomerID = "wl_1", "cust_a"
	return w
}

// load reads what a worker restores.
func (b *bench) load(t *testing.T) (int64, []byte, error) {
	t.Helper()
	d, err := b.Load(t.Context(), b.ref, run(), 100)
	if err != nil || d.Body == nil {
		return d.Sequence, d.Data, err
	}
	defer func() { require.NoError(t, d.Body.Close()) }()
	data, err := io.ReadAll(d.Body)
	return d.Sequence, data, err
}

func TestSave_AboveTheThreshold_WritesAValueThatItsRowNames(t *testing.T) {
	b := newBench(t)
	data := b.saved(t, 1)
	r, err := b.Save(t.Context(), b.ref, ports.CheckpointUpload{WorkloadID: "wl_1", Generation: 1, Sequence: 2,
		Data: data[:101]})
	require.NoError(t, err)
	require.Equal(t, domain.OutcomeApplied, r.Outcome, "bytes in memory, too")
	r, err = b.Save(t.Context(), b.ref, ports.CheckpointUpload{WorkloadID: "wl_1", Generation: 1, Sequence: 2,
		Data: data[1:102]})
	require.NoError(t, err)
	require.Equal(t, domain.OutcomeIllegal, r.Outcome, "as long as the one that is stored")
	sequence, got, err := b.load(t)
	require.NoError(t, err)
	assert.Equal(t, []any{int64(2), data[:101]}, []any{sequence, got})
	require.Len(t, b.blobs.values(t), 2)
	_, err = b.Save(t.Context(), b.ref, ports.CheckpointUpload{WorkloadID: "wl_1", Generation: 1, Sequence: 3,
		Data: data[:100]})
	require.NoError(t, err)
	require.Len(t, b.blobs.values(t), 2, "what is small stays in the store")
	require.NoError(t, b.Sweep(t.Context()))
	require.Len(t, b.blobs.values(t), 2)
	for sequence := int64(4); sequence <= 13; sequence++ {
		b.saved(t, sequence)
	}
	require.NoError(t, b.Sweep(t.Context()))
	require.Len(t, b.blobs.values(t), 10, "the values of what is not kept are deleted")
}

func TestSave_WhenItCannotLand_ReadsNothing(t *testing.T) {
	b := newBench(t)
	data := b.saved(t, 1)
	r, opened, err := b.save(t, 1, data)
	require.NoError(t, err)
	assert.Equal(t, []any{domain.OutcomeAlready, false}, []any{r.Outcome, opened}, "the answer was lost")
	r, opened, err = b.save(t, 1, data[1:])
	require.NoError(t, err)
	assert.Equal(t, []any{domain.OutcomeIllegal, false}, []any{r.Outcome, opened}, "it is another one")
	r, opened, err = b.save(t, 3, data)
	require.NoError(t, err)
	assert.Equal(t, []any{domain.OutcomeIllegal, false}, []any{r.Outcome, opened})
	b.ref.SessionID = "another"
	r, opened, err = b.save(t, 2, data)
	require.NoError(t, err)
	assert.Equal(t, []any{domain.OutcomeFenced, false}, []any{r.Outcome, opened})
	assert.Len(t, b.blobs.keys, 1)
}

// TestSave_WhenTheRunIsFencedWhileItsValueIsWritten_StoresNothing: the fence that counts is that of the
// row.
func TestSave_WhenTheRunIsFencedWhileItsValueIsWritten_StoresNothing(t *testing.T) {
	b := newBench(t)
	from := &ports.Body{Size: -1, Open: func() (io.ReadCloser, error) {
		_, err := b.stores.Workloads.Apply(t.Context(), domain.Batch{Transitions: []domain.Transition{
			{WorkloadID: "wl_1", CustomerID: "cust_a", Event: domain.EventCancel}}})
		return io.NopCloser(bytes.NewReader(make([]byte, 500))), err
	}}
	r, err := b.Save(t.Context(), b.ref, ports.CheckpointUpload{WorkloadID: "wl_1", Generation: 1, Sequence: 1,
		Body: from})
	require.NoError(t, err)
	require.Equal(t, domain.OutcomeFenced, r.Outcome)
	require.Len(t, b.blobs.values(t), 1)
	require.NoError(t, b.Sweep(t.Context()))
	require.Empty(t, b.blobs.values(t))
	_, _, err = b.load(t)
	require.Equal(t, domain.CodeNotFound, domain.CodeOf(err))
}

func TestSave_OfABodyThatIsNotWhatItSays_StoresNothing(t *testing.T) {
	b := newBench(t)
	data := make([]byte, limit+1)
	cut := errors.New("the connection was cut")
	for name, c := range map[string]struct {
		size int64
		open func() (io.ReadCloser, error)
		code domain.Code
	}{
		"says that it is too large": {limit + 1, nil, domain.CodeTooLarge},
		"is too large": {-1, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
			domain.CodeTooLarge},
		"is too short": {500, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data[:400])), nil },
			domain.CodeInvalidInput},
		"is cut off": {500, func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(data[:400]), broken{cut})), nil
		}, domain.CodeInvalidInput},
	} {
		_, err := b.Save(t.Context(), b.ref, ports.CheckpointUpload{WorkloadID: "wl_1", Generation: 1, Sequence: 1,
			Body: &ports.Body{Size: c.size, Open: c.open}})
		require.Equal(t, c.code, domain.CodeOf(err), "%s: %v", name, err)
		require.NoError(t, b.Sweep(t.Context()))
		require.Empty(t, b.blobs.values(t), name)
	}
	b.blobs.put = domain.Unavailable(0, "away")
	_, _, err := b.save(t, 1, data[:500])
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err), "the worker tries again")
	b.blobs.put = nil
	b.saved(t, 1)
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

func TestSave_WithoutAStorageForValues_KeepsItsLimit(t *testing.T) {
	z, err := zstd.New()
	require.NoError(t, err)
	s := checkpointing.New(checkpointing.Deps{Compressor: z, Observer: counts{}, Clock: &clock{}})
	from, opened := body(t, nil, 11<<20)
	_, err = s.Save(t.Context(), ports.SessionRef{}, ports.CheckpointUpload{Body: from, Sequence: 1})
	require.ErrorContains(t, err, "a checkpoint is at most 10485760 bytes, this one has 11534336")
	require.Equal(t, domain.CodeTooLarge, domain.CodeOf(err))
	require.False(t, *opened)
}

func TestLoad_OfADamagedValue_BreaksOffAndThenFallsBack(t *testing.T) {
	b := newBench(t)
	first, second := b.saved(t, 1), b.saved(t, 2)
	second[999] ^= 1
	_, err := b.blobs.Put(t.Context(), b.blobs.keys[1], bytes.NewReader(second), "")
	require.NoError(t, err)
	_, got, err := b.load(t)
	require.Equal(t, domain.CodeInternal, domain.CodeOf(err))
	require.Less(t, len(got), len(second), "nobody takes it for whole")
	for range 2 {
		sequence, got, err := b.load(t)
		require.NoError(t, err)
		require.Equal(t, []any{int64(1), first}, []any{sequence, got})
	}
	require.Equal(t, 1, b.counts["checkpoint_damaged"])
}

func TestLoad_OfAValueThatIsMissingOrCut_FallsBackAtOnce(t *testing.T) {
	b := newBench(t)
	first := b.saved(t, 1)
	b.saved(t, 2)
	b.saved(t, 3)
	require.NoError(t, b.blobs.Delete(t.Context(), b.blobs.keys[2]))
	_, err := b.blobs.Put(t.Context(), b.blobs.keys[1], bytes.NewReader(first[:999]), "")
	require.NoError(t, err)
	sequence, got, err := b.load(t)
	require.NoError(t, err)
	require.Equal(t, []any{int64(1), first}, []any{sequence, got})
	require.Equal(t, 2, b.counts["checkpoint_damaged"])
}

func TestSweep_WhenTheStorageIsAway_TriesAgain(t *testing.T) {
	b := newBench(t)
	for n := range 13 {
		b.saved(t, int64(n+1))
	}
	b.blobs.deleting = errors.New("away")
	require.ErrorContains(t, b.Sweep(t.Context()), "away")
	require.Len(t, b.blobs.values(t), 13)
	b.blobs.deleting = nil
	require.NoError(t, b.Sweep(t.Context()))
	require.Len(t, b.blobs.values(t), 10)
	_, err := b.blobs.Put(t.Context(), b.blobs.keys[0], bytes.NewReader(nil), "") // a process that was suspended
	require.NoError(t, err)
	b.clock.now = b.clock.now.Add(domain.GarbageAgain)
	require.NoError(t, b.Sweep(t.Context()))
	require.Len(t, b.blobs.values(t), 10)
}
