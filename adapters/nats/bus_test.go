package nats_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/niyanta/niyanta/adapters/certificates"
	"github.com/niyanta/niyanta/adapters/nats"
	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/contracttests/netfault"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func TestMain(m *testing.M) { os.Exit(servers.Run(m, func() error { return goleak.Find() })) }

func connect(t *testing.T, url string) *nats.Bus {
	t.Helper()
	b, err := nats.Connect(nats.Options{URL: url, Name: "test", Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// payloadLimit is the server's.
const payloadLimit = 64 << 10

func TestBus_KeepsItsContract(t *testing.T) {
	cases := slices.Concat(
		contracttests.BusCases(), contracttests.TracedBusCases(), contracttests.SilentBusCases(),
		contracttests.LimitedBusCases(),
	)
	contracttests.Run(t, "Bus", "nats", cases, func(t *testing.T) contracttests.BusHarness {
		s := servers.StartNATS(t, payloadLimit)
		return contracttests.BusHarness{
			Limit: payloadLimit,
			Open:  func() ports.Bus { return connect(t, s.URL()) },
			OpenBehind: func() (ports.Bus, func()) {
				proxy := netfault.NewProxy(t, s.Port)
				return connect(t, fmt.Sprintf("nats://127.0.0.1:%d", proxy.Port)), func() { proxy.Silence() }
			},
		}
	})
}

func TestBus_WhenItReconnects_KeepsItsSubscriptions(t *testing.T) {
	s := servers.StartNATS(t, 0)
	b, other := connect(t, s.URL()), connect(t, s.URL())
	var got atomic.Int32
	_, err := b.Subscribe(t.Context(), "s", "g",
		func(context.Context, ports.Message) []byte { got.Add(1); return []byte("ok") })
	require.NoError(t, err)
	s.Stop()
	require.Eventually(t, func() bool { return !other.Connected() }, 30*time.Second, time.Millisecond)
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(other.Publish(t.Context(), "s", nil)),
		"known to be disconnected")
	_, err = other.Request(t.Context(), "s", nil)
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err))
	var late atomic.Int32
	_, err = b.Subscribe(t.Context(), "late", "", func(context.Context, ports.Message) []byte { late.Add(1); return nil })
	require.NoError(t, err, "a subscription made while disconnected is made on reconnecting")
	require.NoError(t, s.Start())
	require.Eventually(t, func() bool {
		r, err := other.Request(t.Context(), "s", nil)
		return err == nil && string(r) == "ok" && other.Publish(t.Context(), "late", nil) == nil && late.Load() > 0
	}, 30*time.Second, 20*time.Millisecond)
}

func TestConnect_WhenTheServerIsDown_ConnectsOnceItIsUp(t *testing.T) {
	s := servers.StartNATS(t, 0)
	s.Stop()
	b := connect(t, s.URL())
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(b.Publish(t.Context(), "s", nil)))
	require.NoError(t, s.Start())
	require.Eventually(t, func() bool { return b.Publish(t.Context(), "s", nil) == nil }, 30*time.Second,
		10*time.Millisecond)
}

func TestLog_WhenTheServerIsStoppedAndStarted_HasOneLineForEachChange(t *testing.T) {
	s := servers.StartNATS(t, 0)
	var log testfiles.Log
	b, err := nats.Connect(nats.Options{URL: s.URL(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	s.Stop()
	require.Eventually(t, func() bool { return !b.Connected() }, 30*time.Second, time.Millisecond)
	require.Never(t, func() bool { return b.Connected() }, 2*time.Second, 50*time.Millisecond)
	require.NoError(t, s.Start())
	require.Eventually(t, b.Connected, 30*time.Second, 10*time.Millisecond)
	address := fmt.Sprintf("address=127.0.0.1:%d", s.Port)
	assert.Equal(t, 1, strings.Count(log.String(), `level=WARN msg="bus disconnected" `+address), log.String())
	assert.Equal(t, 1, strings.Count(log.String(), `level=INFO msg="bus reconnected" `+address), log.String())
	assert.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
}

func TestLog_WhenThePasswordIsWrong_SaysSoOnce(t *testing.T) {
	b, _, log := refused(t)
	said := func() int { return strings.Count(strings.ToLower(log.String()), "authorization violation") }
	require.Eventually(t, func() bool { return said() == 1 }, 20*time.Second, time.Millisecond, "%s", log)
	require.Never(t, b.Connected, 2*time.Second, 50*time.Millisecond)
	assert.Equal(t, 1, said(), "%s", log)
	assert.NotContains(t, log.String(), "wrong")
}

// refused returns a bus that the server refuses for its password "wrong".
func refused(t *testing.T) (*nats.Bus, *servers.NATS, *testfiles.Log) {
	t.Helper()
	a := testfiles.NewAuthority(t)
	s := servers.StartNATSWithTLS(t, a, "niyanta", "secret")
	log := &testfiles.Log{}
	b, err := nats.Connect(nats.Options{
		URL: fmt.Sprintf("tls://niyanta:wrong@127.0.0.1:%d", s.Port), TLS: using(t, a.CA, a.Issue(t, "client")),
		Log: slog.New(slog.NewTextHandler(log, nil)),
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = b.Close() })
	return b, s, log
}

// The server's password changes before that of its clients, or after: a client that gave up would
// stay without its bus until it is restarted.
func TestBus_WhenTheServerRefusesItForAWhile_ConnectsOnceItDoesNot(t *testing.T) {
	b, s, log := refused(t)
	told := func() int { return log.Count("bus refuses the connection") }
	for _, change := range []struct {
		password string
		connects bool
	}{{"wrong", true}, {"secret", false}, {"wrong", true}} {
		s.Stop()
		s.SetPassword(change.password)
		before := told()
		require.NoError(t, s.Start())
		if change.connects {
			require.Eventually(t, b.Connected, 20*time.Second, 10*time.Millisecond, "%s", log)
			continue
		}
		require.Eventually(t, func() bool { return told() == before+1 }, 30*time.Second, time.Millisecond, "%s", log)
		require.Never(t, b.Connected, 2*time.Second, 50*time.Millisecond, "%s", log)
		assert.Equal(t, before+1, told(), "%s", log)
	}
}

func TestSubscription_WhenItsBufferIsFull_DropsAndCounts(t *testing.T) {
	s := servers.StartNATS(t, 0)
	b, other := connect(t, s.URL()), connect(t, s.URL())
	release := make(chan struct{})
	sub, err := b.Subscribe(t.Context(), "s", "", func(context.Context, ports.Message) []byte { <-release; return nil })
	require.NoError(t, err)
	for range 10_000 {
		require.NoError(t, other.Publish(t.Context(), "s", nil))
	}
	require.Eventually(t, func() bool { return b.Dropped() > 0 }, 30*time.Second, time.Millisecond)
	close(release)
	require.NoError(t, sub.Close())
}

func TestConnect_WithTLSAndCredentials_UsesThoseOfItsOptions(t *testing.T) {
	a, other := testfiles.NewAuthority(t), testfiles.NewAuthority(t)
	s := servers.StartNATSWithTLS(t, a, "niyanta", "secret")
	shown, none := a.Issue(t, "client"), testfiles.Pair{}
	try := func(patience time.Duration, o nats.Options) bool {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
		b, err := nats.Connect(o)
		if err != nil {
			return false
		}
		defer func() { _ = b.Close() }()
		for end := time.Now().Add(patience); !b.Connected(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				return false // a server that refuses is tried again for ever
			}
		}
		return b.Publish(t.Context(), "s", nil) == nil
	}
	url := fmt.Sprintf("tls://niyanta:secret@127.0.0.1:%d", s.Port)
	const soon = 400 * time.Millisecond
	assert.True(t, try(30*time.Second, nats.Options{URL: url, TLS: using(t, a.CA, shown)}))
	assert.False(t, try(soon, nats.Options{URL: url, TLS: using(t, a.CA, none)}), "without a certificate")
	assert.False(t, try(soon, nats.Options{URL: url, TLS: using(t, other.CA, shown)}),
		"with an authority that is not trusted")
	assert.False(t, try(soon, nats.Options{URL: fmt.Sprintf("tls://niyanta:wrong@127.0.0.1:%d", s.Port),
		TLS: using(t, a.CA, shown)}), "with a wrong password")
}

// using returns a function that makes the configuration of a connection.
func using(t *testing.T, ca string, shown testfiles.Pair) func() *tls.Config {
	t.Helper()
	s, err := certificates.Open(certificates.Files{CA: ca, Cert: shown.Cert, Key: shown.Key},
		slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return s.Client
}
