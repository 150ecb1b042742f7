package bootstrap

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/netfault"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// talker writes 2 MiB of log lines and returns a result of 1 MiB.
type talker struct{}

const talkerResult = domain.MaxResult

func (talker) Init(context.Context, ports.Task) error { return nil }

func (talker) Execute(_ context.Context, p ports.Progress) (domain.JSON, error) {
	for range 256 {
		p.Log(ports.LogEntry{Level: "info", Message: strings.Repeat("x", domain.MaxLogMessage)})
	}
	return domain.JSON(`"` + strings.Repeat("r", talkerResult-2) + `"`), nil
}

func (talker) Checkpoint(context.Context) ([]byte, error) { return nil, ports.ErrNoCheckpoint }

func (talker) Close() error { return nil }

func TestWorker_WhenItHasABusOnly_ReportsWhatTheBusCannotCarry(t *testing.T) {
	const defaultPayload = 0
	for name, payload := range map[string]int32{"default payload": defaultPayload, "64 KiB": 64 << 10} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			types := map[string]ports.WorkloadFactory{"talker": func() ports.Workload { return talker{} }}
			r := startRemote(t, func(t *testing.T, coordinator, worker *Config) *netfault.Proxy {
				s := servers.StartNATS(t, payload)
				coordinator.Bus, coordinator.NATSURL = BusNATS, s.URL()
				worker.Bus, worker.NATSURL = BusNATS, s.URL()
				worker.CoordinatorURL = noHTTP
				return nil
			}, types)
			assert.Less(t, r.run("talker", "{}"), 30*time.Second)
			page, err := r.client.List(t.Context(), niyanta.ListParams{})
			require.NoError(t, err)
			require.Len(t, page.Workloads, 1)
			w, err := r.client.Get(t.Context(), page.Workloads[0].WorkloadID)
			require.NoError(t, err)
			e, data, ok := domain.DecodeResult(domain.JSON(w.ResultData))
			require.True(t, ok, "%.200s", w.ResultData)
			assert.Equal(t, domain.FlawTooLarge, e.Reason)
			assert.True(t, e.Truncated)
			assert.True(t, strings.HasPrefix(string(data), `"rrr`))
			assert.Zero(t, r.log.Count("report refused"), "%s", r.log)
			r.neverFenced()
		})
	}
}
