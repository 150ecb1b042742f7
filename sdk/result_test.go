package niyanta

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

func TestDecodeResult_WhenItWasKeptEncoded_IsWhatTheHandlerReturned(t *testing.T) {
	for kept, want := range map[domain.JSON]string{
		`"plain"`:                            "plain",
		domain.CleanResult(`"a\u0000b"`):     "a\x00b",
		domain.CleanResult("\"\xff\""):       "\uFFFD", // as Go reads it
		domain.CleanResult(` "spaces" `):     "spaces",
		domain.CleanResult(`"\ud800 alone"`): "\uFFFD alone",
	} {
		var got string
		require.NoError(t, decodeResult([]byte(kept), &got), kept)
		assert.Equal(t, want, got, kept)
	}
	var got string
	err := decodeResult([]byte(domain.CleanResult(domain.JSON(`"`+strings.Repeat("x", 2<<20)+`"`))), &got)
	require.ErrorContains(t, err, "2097154 bytes")
}
