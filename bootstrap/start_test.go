package bootstrap

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/memory"
	"github.com/niyanta/niyanta/adapters/system"
	"github.com/niyanta/niyanta/adapters/telemetry"
	"github.com/niyanta/niyanta/adapters/zstd"
	"github.com/niyanta/niyanta/core/ports"
)

// lateBus refuses subscriptions, once somebody has had time to become leader.
type lateBus struct {
	ports.Bus
	elected func() bool
}

func (b lateBus) refuse() error {
	for deadline := time.Now().Add(time.Second); !b.elected() && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	return errors.New("no subscriptions here")
}

func (b lateBus) Subscribe(context.Context, string, string, ports.Handler) (ports.Subscription, error) {
	return nil, b.refuse()
}

func TestApp_WhenItsStartFails_KeepsNoLeaderLease(t *testing.T) {
	cfg, err := Load([]string{"NIYANTA_HTTP_ADDR=127.0.0.1:0"})
	require.NoError(t, err)
	z, err := zstd.New()
	require.NoError(t, err)
	stores, n := memory.NewStore(system.Clock{}).Stores(), memory.NewNotifier()
	metrics := telemetry.NewMetrics()
	host := Host{Name: "coord_a", Clock: system.Clock{}, IDs: system.IDs{}, Observer: metrics, Log: silent}
	b := Backends{Storage: Storage{Stores: stores}, Signals: Signals{Notifier: n, Listener: n}, Limiter: Limiter{RateLimiter: memory.NewRateLimiter(system.Clock{})}, Compressor: z}
	core := NewCore(cfg, b, host)
	core.backends.Bus = lateBus{elected: func() bool { _, leading := core.Leadership.Current(); return leading }}
	app := NewApp(cfg, core, host, metrics)
	require.Error(t, app.Start(t.Context()))
	_, held, err := stores.Leader.Acquire(t.Context(), "coord_b", time.Minute)
	require.NoError(t, err)
	assert.True(t, held, "another coordinator leads at once")
}
