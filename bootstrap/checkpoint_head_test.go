package bootstrap

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/coordinator"
)

// metered is a storage that counts the bytes that are read from it.
type metered struct {
	ports.BlobStore
	read *atomic.Int64
}

// Get implements ports.BlobStore.
func (m metered) Get(ctx context.Context, key string) (io.ReadCloser, domain.Blob, error) {
	r, b, err := m.BlobStore.Get(ctx, key)
	if err != nil {
		return nil, b, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r, counter{m.read}), r}, b, nil
}

type counter struct{ n *atomic.Int64 }

// Write implements io.Writer.
func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// TestCheckpoint_AskedForWithHEAD_IsNotRead asks for what the bytes are, not for them: each request
// would cost the storage and the network the whole checkpoint.
func TestCheckpoint_AskedForWithHEAD_IsNotRead(t *testing.T) {
	read := &atomic.Int64{}
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_WORKER_LEASE=1h"}) // it sends no heartbeats
	require.NoError(t, err)
	d, err := newDevOn(context.Background(), cfg, 0, "test", silent, func(cfg Config, _ *slog.Logger) (*App, error) {
		z, err := zstd.New()
		clock, n, metrics := system.Clock{}, memory.NewNotifier(), telemetry.NewMetrics()
		return NewApp(cfg, Backends{
			Storage: Storage{Stores: memory.NewStore(clock).Stores()}, Hints: Hints{Notifier: n, Listener: n},
			Limiter:     Limiter{RateLimiter: memory.NewRateLimiter(clock)},
			Checkpoints: Checkpoints{BlobStore: metered{memory.NewBlobs(clock), read}},
		}, coordinator.Host{
			Name: "coord_test", Clock: clock, IDs: system.IDs{}, Observer: metrics, Compressor: z, Log: silent,
		}, metrics), err
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, d.Close(context.Background())) })
	a := newAPIOf(t, d)
	saved := [][]byte{[]byte("small"), bytes.Repeat([]byte("large"), domain.MaxInlineCheckpoint/5+1)}
	path := a.saver(saved...)
	const session = "?worker_id=saver&session_id=ses_saver&generation=1"
	for _, http2 := range []bool{false, true} {
		protocols := &http.Protocols{}
		protocols.SetHTTP1(!http2)
		protocols.SetUnencryptedHTTP2(http2)
		a.client.Transport = &http.Transport{Protocols: protocols}
		for i, data := range saved {
			at := fmt.Sprintf("/checkpoints/%d", i+1)
			for what, ask := range map[string]func(method string) answer{
				"a customer":       func(m string) answer { return a.call(m, path+at+"?data=true", a.dev.CustomerKey, nil) },
				"an administrator": func(m string) answer { return a.call(m, path+at+"?data=true", a.dev.AdminKey, nil) },
				"a worker": func(m string) answer {
					return a.call(m, "/v1/worker"+path[len("/v1"):]+at+session, a.dev.WorkerKey, nil)
				},
			} {
				before := read.Load()
				head := ask(http.MethodHead)
				require.Equal(t, 200, head.status, what)
				require.Empty(t, head.body)
				require.Equal(t, before, read.Load(), "%s: nothing is read", what)
				full := ask(http.MethodGet)
				require.Equal(t, 200, full.status)
				require.Equal(t, string(data), full.body, "%s gets what was saved", what)
				for _, h := range []string{"Content-Type", "Content-Length", "Niyanta-Checkpoint-Sequence"} {
					require.Equal(t, full.header.Get(h), head.header.Get(h), "%s: %s", what, h)
				}
			}
		}
		a.client.CloseIdleConnections()
	}
	require.GreaterOrEqual(t, read.Load(), int64(6*len(saved[1])), "with GET all of it is")
	require.NotEmpty(t, a.adminEvents("event_type=workload.read"))
}
