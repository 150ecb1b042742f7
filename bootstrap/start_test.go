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
	"github.com/niyanta/niyanta/core/services/coordinator"
)

// lateBus refuses subscriptions, after a wait in which the coordinator may become leader.
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
	host := coordinator.Host{
		Name: "coord_a", Clock: system.Clock{}, IDs: system.IDs{}, Observer: metrics, Compressor: z, Log: silent,
	}
	app := NewApp(cfg, Backends{
		Storage: Storage{Stores: stores}, Hints: Hints{Notifier: n, Listener: n},
		Limiter: Limiter{RateLimiter: memory.NewRateLimiter(system.Clock{})},
	}, host, metrics)
	app.backends.Bus = lateBus{elected: func() bool {
		_, leading := app.coordinator.Leadership.Current()
		return leading
	}}
	require.Error(t, app.Start(t.Context()))
	_, held, err := stores.Leader.Acquire(t.Context(), "coord_b", time.Minute)
	require.NoError(t, err)
	assert.True(t, held, "another coordinator leads at once")
}
