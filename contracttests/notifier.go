package contracttests

import (
	"slices"
	"sync"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// NotifierHarness hooks a notifier and its listener into the suite. Each call of Open returns a new
// pair on the same bus.
type NotifierHarness struct {
	Open func() (ports.Notifier, ports.Listener)
	// Bare reports whether a CommandAssign arrives without its Assignment.
	Bare bool
}

// NotifierCases is the suite of the Notifier and Listener ports.
func NotifierCases() []Case[NotifierHarness] {
	return []Case[NotifierHarness]{
		{"hints reach their listeners, and nobody else",
			"Command sends a command to a worker; Wake tells the leader; Updated tells whoever follows the workload",
			func(t T, h NotifierHarness) {
				_, l := h.Open()
				var mu sync.Mutex
				var commands []ports.Command
				var wakes []string
				var updates []ports.Update
				keep := func(f func()) { mu.Lock(); defer mu.Unlock(); f() }
				subs := make([]ports.Subscription, 5)
				var err error
				subs[0], err = l.Commands(t.Context(), "w1", func(c ports.Command) {
					keep(func() { commands = append(commands, c) })
				})
				require.NoError(t, err)
				subs[1], err = l.Wakes(t.Context(), func(r string) { keep(func() { wakes = append(wakes, r) }) })
				require.NoError(t, err)
				subs[2], err = l.Updates(t.Context(), ports.FollowedWorkload("wl_1"), func(u ports.Update) {
					keep(func() { updates = append(updates, u) })
				})
				require.NoError(t, err)
				var ofCustomer, ofAll []domain.WorkloadID
				subs[3], err = l.Updates(t.Context(), ports.FollowedCustomer("cust_a"), func(u ports.Update) {
					keep(func() { ofCustomer = append(ofCustomer, u.WorkloadID) })
				})
				require.NoError(t, err)
				subs[4], err = l.Updates(t.Context(), ports.FollowedAll(), func(u ports.Update) {
					keep(func() { ofAll = append(ofAll, u.WorkloadID) })
				})
				require.NoError(t, err)
				n, _ := h.Open()
				cmd := ports.Command{
					Kind: ports.CommandAssign, SessionID: "s", WorkloadID: "wl_1", Generation: 2,
					Assignment: &ports.Assignment{
						WorkloadID: "wl_1", Type: "t", Input: `{"a":[1]}`,
						Labels: map[string]string{"k": "v"}, TimeoutMS: 5,
					},
				}
				up := ports.Update{
					WorkloadID: "wl_1", CustomerID: "cust_a", Event: domain.EventStart, Status: domain.StatusRunning,
					Generation: 2, ProgressPercent: 12.5,
				}
				send := func() {
					n.Command(t.Context(), "w2", ports.Command{Kind: ports.CommandDrain})
					n.Command(t.Context(), "w1", cmd)
					n.Wake(t.Context(), "submit")
					n.Updated(t.Context(), ports.Update{WorkloadID: "wl_2", CustomerID: "cust_b"})
					n.Updated(t.Context(), up)
				}
				send()
				eventually(t, func() bool {
					mu.Lock()
					defer mu.Unlock()
					return len(commands) == 1 && len(wakes) == 1 && len(updates) == 1 && len(ofAll) == 2
				}, "the hints")
				want := cmd
				if h.Bare {
					want.Assignment = nil
				}
				require.Equal(t, []ports.Command{want}, commands)
				require.NotNil(t, cmd.Assignment, "what is sent stays the caller's")
				require.Equal(t, []string{"submit"}, wakes)
				require.Equal(t, []ports.Update{up}, updates)
				require.Equal(t, []domain.WorkloadID{"wl_1"}, ofCustomer)
				require.Equal(t, []domain.WorkloadID{"wl_2", "wl_1"}, ofAll)
				for _, s := range subs {
					require.NoError(t, s.Close())
					require.NoError(t, s.Close())
				}
				send()
				mu.Lock()
				defer mu.Unlock()
				require.Len(t, commands, 1)
				require.Len(t, wakes, 1)
				require.Len(t, ofAll, 2)
			}},
		{"a process hears what it sends at once, and once",
			"listeners in the sender's process hear it before the call returns, and not again when it comes back",
			func(t T, h NotifierHarness) {
				n, l := h.Open()
				var mu sync.Mutex
				var heard []string
				hear := func(what string) { mu.Lock(); defer mu.Unlock(); heard = append(heard, what) }
				all := func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(heard) }
				commands, err := l.Commands(t.Context(), "w1", func(c ports.Command) { hear(string(c.Kind)) })
				require.NoError(t, err)
				wakes, err := l.Wakes(t.Context(), hear)
				require.NoError(t, err)
				updates, err := l.Updates(t.Context(), ports.FollowedAll(), func(u ports.Update) { hear(string(u.WorkloadID)) })
				require.NoError(t, err)
				n.Command(t.Context(), "w1", ports.Command{Kind: ports.CommandDrain})
				n.Wake(t.Context(), "submit")
				n.Updated(t.Context(), ports.Update{WorkloadID: "wl_1", CustomerID: "cust_a"})
				own := []string{string(ports.CommandDrain), "submit", "wl_1"}
				require.Equal(t, own, all())
				other, _ := h.Open()
				other.Command(t.Context(), "w1", ports.Command{Kind: ports.CommandCancel, WorkloadID: "wl_1"})
				other.Wake(t.Context(), "another")
				other.Updated(t.Context(), ports.Update{WorkloadID: "wl_2", CustomerID: "cust_a"})
				eventually(t, func() bool { return len(all()) >= 6 }, "the hints of the other")
				require.ElementsMatch(t, append(own, string(ports.CommandCancel), "another", "wl_2"), all())
				for _, s := range []ports.Subscription{commands, wakes, updates} {
					require.NoError(t, s.Close())
				}
			}},
	}
}
