package postgres

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
)

func TestAdvice_OnARefusedUser_SaysWhatToCheck(t *testing.T) {
	refused := &pgconn.PgError{Code: "28P01", Message: `password authentication failed for user "u"`}
	assert.Equal(
		t, `password authentication failed for user "u"; check the user and the password`,
		Advice(fmt.Errorf("connect: %w", refused)),
	)
	assert.Empty(t, Advice(&pgconn.PgError{Code: "53300"}), "too many connections heal")
	assert.Empty(t, Advice(errors.New("connection refused")))
}
