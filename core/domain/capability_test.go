package domain_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

func TestNeededCapability_IsTheProgramAsInputSpellsIt(t *testing.T) {
	for input, want := range map[string]string{
		`{"command":["ffmpeg","-i","x"]}`:     "exec:ffmpeg",
		`{"command":["/usr/bin/ffmpeg"]}`:     "exec:/usr/bin/ffmpeg",
		`{"env":{"A":"b"},"command":["a b"]}`: "exec:a b",
		`{"command":[]}`:                      "",
		`{"command":[""]}`:                    "",
		`{"command":"ffmpeg"}`:                "",
		`{"command":[1]}`:                     "",
		`{"command":["ffmpeg",{}]}`:           "",
		`{}`:                                  "",
		`{"args":{"command":["ffmpeg"]}}`:     "",
		`not JSON`:                            "",
		``:                                    "",
	} {
		assert.Equal(t, want, domain.NeededCapability("exec", domain.JSON(input)), input)
		assert.Empty(t, domain.NeededCapability("sleep", domain.JSON(input)))
	}
}

func TestValidateProgram_RefusesWhatNoWorkerOffers(t *testing.T) {
	for _, name := range []string{"ffmpeg", "/usr/bin/ffmpeg", "a b", "c++", "-x", ".hidden", "ü"} {
		require.NoError(t, domain.ValidateProgram(name), name)
	}
	for _, name := range []string{
		"", ".", "..", "/", "./a", "../a", "a/b", "/a/../b", "/a//b", "/a/", "//a", "/a/.", "a\nb", "a\x00", "a\xff", strings.Repeat("a", 256),
	} {
		require.Error(t, domain.ValidateProgram(name), "%q", name)
	}
}

func TestSubmission_OfAProgramThatCannotBeOffered_IsRefusedByName(t *testing.T) {
	s := domain.Submission{Spec: domain.Spec{Type: "exec", Input: `{"command":["./x"]}`, Run: domain.DefaultRunConfig()}}
	err := s.Validate()
	require.ErrorContains(t, err, "command")
	require.True(t, domain.IsCode(err, domain.CodeInvalidInput))
	s.Type = "other"
	require.NoError(t, s.Validate(), "only exec runs programs")
}

func TestRegistration_TellsProgramsFromTypes(t *testing.T) {
	r := domain.Registration{
		WorkerID: "w", SessionID: "s", Slots: 1, Capabilities: []string{"exec", "exec:sh", "exec:/bin/sh", "sleep"},
	}
	require.NoError(t, r.Validate())
	assert.Equal(t, []string{"exec", "sleep"}, r.Types())
	for _, c := range []string{"exec:", "exec:./x", "exec:a\nb", "sleep:x", ":", "a:b", "exec:a\xff"} {
		r.Capabilities = []string{"exec", c}
		require.Error(t, r.Validate(), "%q", c)
	}
}

func TestPlan_AProgram_GoesOnlyWhereItIsOffered(t *testing.T) {
	with, without := worker(1, 5, "exec", "exec:ffmpeg"), worker(2, 5, "exec", "exec:sh")
	none := worker(3, 5, "sleep")
	spec := func(input string) *domain.Spec {
		return &domain.Spec{ID: "wl_1", CustomerID: "a", Type: "exec", Input: domain.JSON(input), Run: domain.DefaultRunConfig()}
	}
	ffmpeg := domain.NewLane(spec(`{"command":["ffmpeg"]}`))
	s := domain.Snapshot{Workers: []domain.Worker{without, none}}
	e := domain.NewExplainer(s)
	assert.False(t, e.Placeable(&ffmpeg))
	assert.Equal(t, "no worker can run it: its type is not offered; none offers exec:ffmpeg", e.Unplaceable(&ffmpeg))
	assert.Equal(t, []domain.Reason{
		{Code: domain.ReasonMissingTypes, Workers: 1, Message: "1 worker not offering exec:ffmpeg"},
		{Code: domain.ReasonMissingType, Workers: 1, Message: `1 worker not offering type "exec"`},
	}, e.Explain(&ffmpeg))
	s.Workers = append(s.Workers, with)
	p := domain.NewPlanner(s)
	p.Add(domain.LaneHeads{Lane: ffmpeg, Heads: []domain.Candidate{{ID: "wl_1", QueueAt: time.Unix(1, 0)}}})
	plan, _ := p.Plan(10)
	require.Len(t, plan, 1)
	assert.Equal(t, with.ID, plan[0].WorkerID)
	bare := domain.NewLane(spec(`{}`))
	assert.NotEqual(t, bare.ID, ffmpeg.ID)
	assert.NotEqual(t, domain.NewLane(spec(`{"command":["sh"]}`)).ID, ffmpeg.ID)
	assert.Equal(t, domain.NewLane(spec(`{"command":["ffmpeg","other"]}`)).ID, ffmpeg.ID, "arguments make no lane")
}
