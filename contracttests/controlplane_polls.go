package contracttests

import (
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// PollCases is the suite of transports without a bus, where commands reach a worker only by polls.
func PollCases() []Case[PlaneHarness] {
	return []Case[PlaneHarness]{
		{"an assignment whose command was lost comes with a poll",
			"what was assigned and not heard of comes with polls that wait", func(t T, h PlaneHarness) {
				p := givenPlane(t, h)
				w := p.submit()
				p.must(assign(w, p.worker))
				h.Advance(time.Second)
				cs, err := p.Poll(t.Context(), p.ref, patience)
				require.NoError(t, err)
				requireAssigned(t, cs, w)
			}},
		{"a poll of an ended session is fenced", "CodeFenced when the session is not live", func(t T, h PlaneHarness) {
			p := givenPlane(t, h)
			unnamed := []ports.SessionRef{{}, {WorkerID: "w"}, {SessionID: "s1"}}
			for _, ref := range unnamed {
				_, err := p.Poll(t.Context(), ref, time.Millisecond)
				requireCode(t, err, domain.CodeInvalidInput)
			}
			for _, ref := range []ports.SessionRef{{WorkerID: "w", SessionID: "s0"}, {WorkerID: "v", SessionID: "s1"}} {
				_, err := p.Poll(t.Context(), ref, patience)
				requireCode(t, err, domain.CodeFenced)
			}
			_, err := p.Poll(t.Context(), p.ref, time.Millisecond)
			require.NoError(t, err)
			_, err = p.Register(t.Context(), takeOver("w", "s2", 10))
			require.NoError(t, err)
			_, err = p.Poll(t.Context(), p.ref, patience)
			requireCode(t, err, domain.CodeFenced)
			require.NoError(t, p.Fleet.Remove(t.Context(), "w", admin))
			_, err = p.Poll(t.Context(), ports.SessionRef{WorkerID: "w", SessionID: "s2"}, patience)
			requireCode(t, err, domain.CodeFenced)
		}},
	}
}

func requireAssigned(t T, cs []ports.Command, w domain.Workload) {
	t.Helper()
	require.Len(t, cs, 1)
	require.Equal(t, ports.CommandAssign, cs[0].Kind)
	require.Equal(t, w.ID, cs[0].Assignment.WorkloadID)
	require.Equal(t, int64(1), cs[0].Generation)
}
