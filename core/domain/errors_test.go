package domain

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Clients choose the keys of labels and of unknown fields. A key with a verb of fmt padded the
// message by a million characters for each.
func TestInvalid_WhenTheFieldHasVerbs_KeepsThemAsText(t *testing.T) {
	field := strings.Repeat("%[1]1000000d", 5)
	err := Invalid(field, "must be at most %d", 3)
	assert.Equal(t, field+": must be at most 3", err.Message)
	assert.Equal(t, field, err.Details["field"])
}

func TestInvalid_WhenTheFieldIsLong_CutsIt(t *testing.T) {
	err := Invalid(strings.Repeat("é", 1<<20), "must be at most %d", 3)
	assert.Less(t, len(err.Message), 2*maxField)
	assert.LessOrEqual(t, len(err.Details["field"].(string)), maxField)
}

func TestValidateTags_WhenAKeyHasVerbs_NamesIt(t *testing.T) {
	err := ValidateTags("labels", map[string]string{"%[1]1000000d": strings.Repeat("x", 256)})
	assert.EqualError(t, err, "INVALID_INPUT: labels.%[1]1000000d: must be 0 to 255 characters")
}
