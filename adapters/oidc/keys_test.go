package oidc

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/servers"
)

// gate lets requests pass once it is open.
type gate struct {
	http.RoundTripper
	reached, open chan struct{}
	once          sync.Once
}

func (g *gate) RoundTrip(req *http.Request) (*http.Response, error) {
	g.once.Do(func() { close(g.reached) })
	<-g.open
	return g.RoundTripper.RoundTrip(req)
}

// TestAskAgain_WhileALookIsUnderWay_WaitsForItsKeys: otherwise the first tokens after a start were told
// that the provider does not answer.
func TestAskAgain_WhileALookIsUnderWay_WaitsForItsKeys(t *testing.T) {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	g := &gate{RoundTripper: transport, reached: make(chan struct{}), open: make(chan struct{})}
	var waits atomic.Bool
	k := &keys{issuer: servers.StartIssuer(t).URL, client: &http.Client{Transport: g}, now: func() time.Time {
		now := time.Now()
		if waits.CompareAndSwap(true, false) { // askAgain has noted when it began
			close(g.open)
		}
		return now
	}}
	looked := make(chan error, 1)
	go func() { looked <- k.look(t.Context()) }()
	<-g.reached
	waits.Store(true)
	assert.True(t, k.askAgain(t.Context()))
	require.NoError(t, <-looked)
}
