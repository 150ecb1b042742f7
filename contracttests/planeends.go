package contracttests

import (
	"encoding/json"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// planeEndCases are about sessions that end before their leases, over every transport.
func planeEndCases() []Case[PlaneHarness] {
	return []Case[PlaneHarness]{
		{"another process is told how long to wait",
			"CodeConflict carries the details lease_left_ms, lease_ms and heartbeat_interval_ms",
			func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				_, err := h.Plane("w").Register(t.Context(), process("w", "s2", "proc_2"))
				requireCode(t, err, domain.CodeConflict)
				var refused *domain.Error
				require.ErrorAs(t, err, &refused)
				for _, key := range []string{"lease_left_ms", "lease_ms", "heartbeat_interval_ms"} {
					b, err := json.Marshal(refused.Details[key])
					require.NoError(t, err)
					var ms float64
					require.NoError(t, json.Unmarshal(b, &ms), key)
					require.Positive(t, ms, key)
				}
				p.beat() // the current session goes on
			}},
		{"a worker deregisters",
			"End ends a session by its holder's own word; what it held moves at once", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				p.running(p.worker)
				own := domain.SessionEnd{WorkerID: "w", SessionID: "s1"}
				require.NoError(t, p.End(t.Context(), own))
				require.NoError(t, p.End(t.Context(), own), "repeating it is safe")
				require.Empty(t, p.workers())
				require.Len(t, p.orphans(), 1)
				_, err := p.Heartbeat(t.Context(), ports.Heartbeat{SessionRef: p.ref})
				requireCode(t, err, domain.CodeFenced)
			}},
		{"a death is certified",
			"or by a death certificate; CodeForbidden when its secret is wrong", func(t T, h PlaneHarness) {
				f := given(t, h.StoreHarness)
				plane := h.Plane("w")
				_, err := plane.Register(t.Context(), process("w", "s1", "proc_1"))
				require.NoError(t, err)
				f.running(f.workers()[0])
				requireCode(t, plane.End(t.Context(), certificate("proc_1", wrongSecret)), domain.CodeForbidden)
				requireCode(t, plane.End(t.Context(), domain.SessionEnd{}), domain.CodeInvalidInput)
				require.Empty(t, f.orphans())
				for range 2 {
					// A supervisor certifies without a session, and may use another worker's
					// client.
					require.NoError(t, h.Plane("supervisor").End(t.Context(), certificate("proc_1", secret)))
				}
				require.Equal(t, domain.WorkerDead, f.workers()[0].Status)
				require.Len(t, f.orphans(), 1)
				_, err = plane.Register(t.Context(), process("w", "s2", "proc_1"))
				requireCode(t, err, domain.CodeFenced)
				_, err = plane.Register(t.Context(), process("w", "s3", "proc_3"))
				require.NoError(t, err)
			}},
		{"an undrain reaches the worker", "CommandUndrain takes back a CommandDrain", func(t T, h PlaneHarness) {
			p := givenPlane(t, h)
			_, err := p.Fleet.Drain(t.Context(), "w", admin)
			require.NoError(t, err)
			beat := func(drained bool) []ports.CommandKind {
				a, err := p.Heartbeat(t.Context(), ports.Heartbeat{SessionRef: p.ref, Drained: drained})
				require.NoError(t, err)
				var kinds []ports.CommandKind
				for _, c := range a.Commands {
					require.Equal(t, domain.SessionID("s1"), c.SessionID)
					kinds = append(kinds, c.Kind)
				}
				return kinds
			}
			require.Equal(t, []ports.CommandKind{ports.CommandDrain}, beat(false))
			require.Empty(t, beat(true))
			require.Equal(t, domain.WorkerDraining, p.workers()[0].Status)
			_, err = p.Fleet.Undrain(t.Context(), "w", admin)
			require.NoError(t, err)
			require.Equal(t, []ports.CommandKind{ports.CommandUndrain}, beat(true))
			require.Equal(t, domain.WorkerHealthy, p.workers()[0].Status,
				"a drain by command is not the worker's own word")
			require.Empty(t, beat(false))
			_, err = p.Poll(t.Context(), p.ref, 0)
			require.NoError(t, err)
			h.Notifier.Command(t.Context(), "w", ports.Command{Kind: ports.CommandUndrain, SessionID: "s1"})
			eventually(t, func() bool {
				cs, err := p.Poll(t.Context(), p.ref, 50*time.Millisecond)
				require.NoError(t, err)
				return len(cs) > 0 && cs[0].Kind == ports.CommandUndrain
			}, "the command")
		}},
	}
}
