package bootstrap

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// hoarder saves a large state, fails, and reads it again in its next run.
type hoarder struct {
	size   int64
	stored *ports.Body
}

func (h *hoarder) state() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), h.size) }

func (h *hoarder) Init(_ context.Context, t ports.Task) error {
	h.stored = t.Stored
	return nil
}

func (h *hoarder) Execute(ctx context.Context, p ports.Progress) (domain.JSON, error) {
	if h.stored == nil {
		percent := 50.0
		err := p.CheckpointStream(ctx, func(w io.Writer) error {
			_, err := io.Copy(w, h.state())
			return err
		}, &percent, "half")
		soon := time.Duration(0)
		return "", &ports.RunError{RetryAfter: &soon, Permanent: err != nil, Err: errors.Join(errors.New("again"), err)}
	}
	r, err := h.stored.Open()
	if err != nil {
		return "", err
	}
	got, want := sha256.New(), sha256.New()
	_, err = io.Copy(got, r)
	_, _ = io.Copy(want, h.state())
	if err != nil || string(got.Sum(nil)) != string(want.Sum(nil)) {
		return "", &ports.RunError{Permanent: true, Err: fmt.Errorf("another state: %w", err)}
	}
	return domain.JSON(fmt.Sprint(h.stored.Size)), r.Close()
}

func (h *hoarder) Checkpoint(context.Context) ([]byte, error)    { return nil, ports.ErrNoCheckpoint }
func (h *hoarder) CheckpointTo(context.Context, io.Writer) error { return ports.ErrNoCheckpoint }
func (h *hoarder) Close() error                                  { return nil }

// memoryOf returns a figure of this process's memory, in bytes. ok is false where the system has none.
func memoryOf(t *testing.T, figure string) (bytes int64, ok bool) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == figure+":" {
			n, err := strconv.ParseInt(f[1], 10, 64)
			require.NoError(t, err)
			return n << 10, true
		}
	}
	return 0, false
}

// TestCheckpoint_OfAnySize_IsNeverWholeInMemory has one process be coordinator and worker, which talk
// over HTTP. make large-checkpoints runs it with 2 GiB.
func TestCheckpoint_OfAnySize_IsNeverWholeInMemory(t *testing.T) {
	size := int64(64 << 20)
	if mib := os.Getenv("CHECKPOINT_MIB"); mib != "" {
		n, err := strconv.ParseInt(mib, 10, 64)
		require.NoError(t, err)
		size = n << 20
	}
	folder := t.TempDir()
	cfg, err := Load([]string{
		"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_CHECKPOINT_URL=file://" + filepath.ToSlash(folder),
	})
	require.NoError(t, err)
	d, err := newDevOn(context.Background(), cfg, 0, "test", silent, func(cfg Config, log *slog.Logger) (*App, error) {
		return NewCoordinator(context.Background(), cfg, log)
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close(context.Background())) })
	d.joinAs(t, cfg, "http", "hoarder", map[string]ports.WorkloadFactory{
		"hoard": func() ports.Workload { return &hoarder{size: size} },
	})
	require.NoError(t, d.awaitReady(t.Context(), 1))
	c, err := niyanta.NewClient(d.App.URL(), d.CustomerKey)
	require.NoError(t, err)
	t.Cleanup(c.Close)

	runtime.GC()
	debug.FreeOSMemory()
	before, measured := memoryOf(t, "VmRSS")
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		measured = false // the highest figure can't be reset
	}
	w, err := c.Submit(t.Context(), niyanta.Submission{WorkloadType: "hoard", InputParams: []byte("{}")}, "")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		got, err := c.Get(t.Context(), w.WorkloadID)
		require.NoError(t, err)
		require.NotEqual(t, niyanta.StatusFailed, got.Status, "%v", got.ErrorMessage)
		return got.Status == niyanta.StatusCompleted
	}, 10*time.Minute, 50*time.Millisecond)
	got, err := c.Get(t.Context(), w.WorkloadID)
	require.NoError(t, err)
	assert.JSONEq(t, strconv.FormatInt(size, 10), string(got.ResultData))
	assert.Equal(t, int64(2), got.Generation)
	if measured {
		peak, _ := memoryOf(t, "VmHWM")
		t.Logf("%d MiB saved and restored: memory grew by %d MiB at most", size>>20, (peak-before)>>20)
		assert.Less(t, peak-before, int64(48<<20))
	}
	for kept, err := range c.Checkpoints(t.Context(), w.WorkloadID) {
		require.NoError(t, err)
		assert.EqualValues(t, size, kept.SizeBytes)
	}
	values, err := os.ReadDir(filepath.Join(folder, "checkpoints"))
	require.NoError(t, err)
	require.Len(t, values, 1)

	admin, err := niyanta.NewClient(d.App.URL(), d.AdminKey)
	require.NoError(t, err)
	t.Cleanup(admin.Close)
	_, err = admin.DeleteCustomer(t.Context(), string(DevCustomer), true)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err := admin.GetCustomer(t.Context(), string(DevCustomer))
		values, rerr := os.ReadDir(filepath.Join(folder, "checkpoints"))
		return err != nil && (rerr != nil || len(values) == 0)
	}, time.Minute, 50*time.Millisecond, "a customer that is deleted leaves no value")
}
