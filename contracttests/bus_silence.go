package contracttests

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// noticedWithin is the time within which a bus must notice that its connection is silent.
const noticedWithin = 3 * time.Second

// SilentBusCases is the suite of buses over a network, where a connection may become silent: it
// carries nothing any more, and neither end is told.
func SilentBusCases() []Case[BusHarness] {
	return []Case[BusHarness]{
		{"a silent connection counts as disconnected",
			"CodeUnavailable when it is known to be disconnected", func(t T, h BusHarness) {
				b, silence := h.OpenBehind()
				require.NoError(t, b.Publish(t.Context(), "s", nil))
				silence()
				begun := testfiles.StartStopwatch(t)
				eventually(t, func() bool {
					return domain.IsCode(b.Publish(t.Context(), "s", nil),
						domain.CodeUnavailable)
				}, "that Publish fails as disconnected")
				require.Less(t, begun.Took(), noticedWithin)
			}},
		{"a request ends when its connection falls silent",
			"CodeUnavailable when nobody is there to answer", func(t T, h BusHarness) {
				b, silence := h.OpenBehind()
				asked := make(chan struct{})
				release := make(chan struct{})
				defer close(release)
				subscribe(t, h.Open(), "slow", "", func(context.Context, ports.Message) []byte {
					close(asked)
					<-release
					return nil
				})
				go func() {
					<-asked
					silence()
				}()
				begun := testfiles.StartStopwatch(t)
				_, err := b.Request(t.Context(), "slow", nil)
				requireCode(t, err, domain.CodeUnavailable)
				require.Less(t, begun.Took(), noticedWithin)
			}},
		{"a silent connection is replaced, with its subscriptions",
			"Subscribe calls h for each message until the subscription is closed", func(t T, h BusHarness) {
				b, silence := h.OpenBehind()
				var exact, wild inbox
				subscribe(t, b, "a.b", "", exact.handle)
				subscribe(t, b, "a.*", "g", wild.handle)
				silence()
				other := h.Open()
				eventually(t, func() bool {
					time.Sleep(20 * time.Millisecond)
					return other.Publish(t.Context(), "a.b", nil) == nil && len(exact.all()) > 0 && len(wild.all()) > 0
				}, "delivery over the new connection")
				eventually(t, func() bool { return b.Publish(t.Context(), "s", nil) == nil },
					"publishing over the new connection")
			}},
	}
}
