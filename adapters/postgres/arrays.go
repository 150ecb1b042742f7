package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// arrayCodec encodes the arrays that rows are written in, in the binary format. The driver's own codec
// takes the elements one by one, each through an interface, and grows its buffer as it goes; that
// was a third of the processor time of a batch outside of the database. All else is left to the
// driver's codec.
type arrayCodec struct {
	*pgtype.ArrayCodec
	// plan returns the plan for a value of one of the types that the columns make, nil for others.
	plan func(element uint32, value any) pgtype.EncodePlan
}

// PlanEncode implements pgtype.Codec.
func (c arrayCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if format == pgtype.BinaryFormatCode {
		if p := c.plan(c.ElementType.OID, value); p != nil {
			return p
		}
	}
	return c.ArrayCodec.PlanEncode(m, oid, format, value)
}

// registerArrays makes a connection encode arrays with arrayCodec.
func registerArrays(_ context.Context, conn *pgx.Conn) error {
	useArrays(conn.TypeMap())
	return nil
}

func useArrays(m *pgtype.Map) {
	for _, a := range []struct {
		oid  uint32
		plan func(element uint32, value any) pgtype.EncodePlan
	}{
		{pgtype.TextArrayOID, planFor(putText)},
		{pgtype.Int8ArrayOID, planFor(putInt8)},
		{pgtype.BoolArrayOID, planFor(putBool)},
		{pgtype.Float8ArrayOID, planFor(putFloat8)},
		{pgtype.TimestamptzArrayOID, planFor(putInstant)},
	} {
		known, ok := m.TypeForOID(a.oid)
		if !ok {
			continue
		}
		if codec, ok := known.Codec.(*pgtype.ArrayCodec); ok {
			m.RegisterType(&pgtype.Type{Codec: arrayCodec{codec, a.plan}, Name: known.Name, OID: a.oid})
		}
	}
}

// put appends the binary form of an element, without its length.
type put[T any] func(buf []byte, v T) []byte

// planFor returns what plans the encoding of slices of T, and of slices of pointers to T, of which
// nil is NULL.
func planFor[T any](p put[T]) func(uint32, any) pgtype.EncodePlan {
	return func(element uint32, value any) pgtype.EncodePlan {
		switch value.(type) {
		case []T:
			return valuesPlan[T]{element, p}
		case []*T:
			return pointersPlan[T]{element, p}
		}
		return nil
	}
}

type (
	valuesPlan[T any] struct {
		element uint32
		put     put[T]
	}
	pointersPlan[T any] struct {
		element uint32
		put     put[T]
	}
)

// Encode implements pgtype.EncodePlan.
func (p valuesPlan[T]) Encode(value any, buf []byte) ([]byte, error) {
	vs, ok := value.([]T)
	if !ok {
		return nil, fmt.Errorf("a plan for %T got %T", vs, value)
	}
	buf = arrayHeader(buf, p.element, len(vs), false)
	for _, v := range vs {
		buf = appendElement(buf, p.put, v)
	}
	return buf, nil
}

// Encode implements pgtype.EncodePlan.
func (p pointersPlan[T]) Encode(value any, buf []byte) ([]byte, error) {
	vs, ok := value.([]*T)
	if !ok {
		return nil, fmt.Errorf("a plan for %T got %T", vs, value)
	}
	buf = arrayHeader(buf, p.element, len(vs), slices.Contains(vs, nil))
	for _, v := range vs {
		if v == nil {
			buf = binary.BigEndian.AppendUint32(buf, math.MaxUint32) // -1, which is NULL
			continue
		}
		buf = appendElement(buf, p.put, *v)
	}
	return buf, nil
}

// arrayHeader appends the header of an array of n elements, and makes room for them.
func arrayHeader(buf []byte, element uint32, n int, nulls bool) []byte {
	const header, usual = 20, 16
	buf = slices.Grow(buf, header+n*usual)
	flag := uint32(0)
	if nulls {
		flag = 1
	}
	buf = binary.BigEndian.AppendUint32(buf, 1) // dimension
	buf = binary.BigEndian.AppendUint32(buf, flag)
	buf = binary.BigEndian.AppendUint32(buf, element)
	buf = binary.BigEndian.AppendUint32(buf, uint32(n)) //nolint:gosec // a batch
	return binary.BigEndian.AppendUint32(buf, 1)        // the lower bound
}

// appendElement appends an element behind its length.
func appendElement[T any](buf []byte, p put[T], v T) []byte {
	at := len(buf)
	buf = p(append(buf, 0, 0, 0, 0), v)
	binary.BigEndian.PutUint32(buf[at:], uint32(len(buf)-at-4)) //nolint:gosec // bounded by the limits of values
	return buf
}

func putText(buf []byte, v string) []byte { return append(buf, v...) }

func putInt8(buf []byte, v int64) []byte {
	return binary.BigEndian.AppendUint64(buf, uint64(v)) //nolint:gosec // two's complement
}

func putBool(buf []byte, v bool) []byte {
	if v {
		return append(buf, 1)
	}
	return append(buf, 0)
}

func putFloat8(buf []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(buf, math.Float64bits(v))
}

// epoch is where timestamptz counts its microseconds from.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

func putInstant(buf []byte, v time.Time) []byte { return putInt8(buf, v.UnixMicro()-epoch) }
