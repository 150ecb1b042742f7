package execution_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/execution"
)

func TestAgent_AProgramThatIsNotOffered_IsDeclinedNotFailed(t *testing.T) {
	b := newBench(t, 2, map[string]func() *script{"exec": func() *script { return &script{} }})
	program := func(name string) func(*ports.Assignment) {
		return func(a *ports.Assignment) { a.Type, a.Input = "exec", domain.JSON(`{"command":["`+name+`"]}`) }
	}
	b.assign("wl_1", 1, program("ffmpeg"))
	b.assign("wl_2", 1, func(a *ports.Assignment) { a.Type = "exec" })
	b.settle()
	require.Equal(t, []domain.Event{domain.EventDecline}, b.plane.events("wl_1"))
	assert.Equal(t, "worker does not offer exec:ffmpeg", b.plane.last("wl_1").Reason)
	assert.Equal(t, domain.EventComplete, b.plane.last("wl_2").Event, "what names no program is the type's to judge")
}

func TestAgent_RegistersItsProgramsAsCapabilities(t *testing.T) {
	b := newBench(t, 1, map[string]func() *script{"exec": func() *script { return &script{} }},
		func(c *execution.Config) {
			c.Capabilities = []string{"exec:ffmpeg"}
		})
	assert.Equal(t, []string{"exec", "exec:ffmpeg"}, b.plane.sessions[0].Capabilities)
	b.assign("wl_1", 1, func(a *ports.Assignment) { a.Type, a.Input = "exec", `{"command":["ffmpeg"]}` })
	b.settle()
	assert.Equal(t, domain.EventComplete, b.plane.last("wl_1").Event)
}
