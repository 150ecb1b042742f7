package postgres_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/niyanta/niyanta/adapters/postgres"
)

// The arrays that rows are written in are encoded here. The bytes are the driver's, whatever they hold.
func TestArrays_WhateverTheyHold_AreEncodedAsTheDriverDoes(t *testing.T) {
	ours, drivers := pgtype.NewMap(), pgtype.NewMap()
	postgres.UseArrays(ours)
	instant := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(-1e11, 2e11).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns"))
	})
	rapid.Check(t, func(t *rapid.T) {
		same(t, ours, drivers, pgtype.TextArrayOID, rapid.String())
		same(t, ours, drivers, pgtype.Int8ArrayOID, rapid.Int64())
		same(t, ours, drivers, pgtype.BoolArrayOID, rapid.Bool())
		same(t, ours, drivers, pgtype.Float8ArrayOID, rapid.Float64())
		same(t, ours, drivers, pgtype.TimestamptzArrayOID, instant)
	})
}

func same[T any](t *rapid.T, ours, drivers *pgtype.Map, oid uint32, one *rapid.Generator[T]) {
	for _, value := range []any{
		rapid.SliceOf(one).Draw(t, "values"), rapid.SliceOf(rapid.Ptr(one, true)).Draw(t, "pointers"), []T(nil), []*T(nil),
	} {
		for _, format := range []int16{pgtype.BinaryFormatCode, pgtype.TextFormatCode} {
			want, err := drivers.Encode(oid, format, value, nil)
			require.NoError(t, err)
			got, err := ours.Encode(oid, format, value, nil)
			require.NoError(t, err)
			require.Equal(t, want, got, "%T", value)
		}
	}
}
