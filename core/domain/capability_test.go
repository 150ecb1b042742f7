package domain_test

import (
	"strings"
	"testing"

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
		"", ".", "..", "/", "./a", "../a", "a/b", "/a/../b", "/a//b", "/a/", "//a", "/a/.", "a\nb", "a\x00", "a\xff",
		strings.Repeat("a", 256),
	} {
		require.Error(t, domain.ValidateProgram(name), "%q", name)
	}
}

func TestSubmission_OfAProgramThatCannotBeOffered_IsRefusedByName(t *testing.T) {
	s := domain.Submission{
		Spec: domain.Spec{Type: "exec", Input: `{"command":["./x"]}`, Run: domain.DefaultRunConfig()},
	}
	err := s.Validate()
	require.ErrorContains(t, err, "command")
	require.True(t, domain.IsCode(err, domain.CodeInvalidInput))
	s.Type = "other"
	require.NoError(t, s.Validate(), "only exec runs programs")
}

func TestRegistration_NamesTypesAndPrograms(t *testing.T) {
	r := domain.Registration{
		WorkerID: "w", SessionID: "s", Slots: 1, Capabilities: []string{"exec", "exec:sh", "exec:/bin/sh", "sleep"},
	}
	require.NoError(t, r.Validate())
	for _, c := range []string{"exec:", "exec:./x", "exec:a\nb", "sleep:x", ":", "a:b", "exec:a\xff"} {
		r.Capabilities = []string{"exec", c}
		require.Error(t, r.Validate(), "%q", c)
	}
}
