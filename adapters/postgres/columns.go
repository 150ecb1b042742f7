package postgres

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// table describes the columns of a table by the Go values of its rows. A column is named once, in the list that makes the table; the
// lists in SELECT, INSERT and UPDATE, what rows are scanned into, and the arrays in which rows are written are all made from it. The text
// of statements is made once, when the program starts; scanning and writing use no reflection.
type table[R any] struct {
	name    string
	columns []column[R]
}

// column is one column of a table.
type column[R any] struct {
	name string
	// pgType is the type of one value on its way to the server.
	pgType string
	// stored is the expression that makes the column's value of what arrives, with %s for it; empty: as it is.
	stored string
	// array returns the values of rows, as an array that the driver encodes.
	array func(rows []*R) any
	// target returns where the driver puts the value of a row.
	target func(row *R) any
	// writes says what writes the column; 0: every statement on its table.
	writes writes
}

// writes is a set of kinds of statements. A statement that writes a few columns of a wide table is made of those that name its kind.
type writes uint

// The kinds.
const (
	bySubmission writes = 1 << iota
	byTransition
)

// by says what writes the column.
func (c column[R]) by(w writes) column[R] {
	c.writes = w
	return c
}

// written says what writes those of the columns that do not say it themselves.
func written[R any](w writes, columns []column[R]) []column[R] {
	return each(columns, func(c column[R]) column[R] {
		if c.writes == 0 {
			c.writes = w
		}
		return c
	})
}

// writtenBy is the table with the columns alone that w writes.
func (t *table[R]) writtenBy(w writes) *table[R] {
	return &table[R]{t.name, slices.DeleteFunc(slices.Clone(t.columns), func(c column[R]) bool { return c.writes&w == 0 })}
}

// names lists the columns, qualified by the alias of the table unless that is empty.
func (t *table[R]) names(alias string) string {
	if alias != "" {
		alias += "."
	}
	return t.each(func(c *column[R], _ int) string { return alias + c.name })
}

func (t *table[R]) each(text func(c *column[R], n int) string) string {
	parts := make([]string, len(t.columns))
	for i := range t.columns {
		parts[i] = text(&t.columns[i], i+1)
	}
	return strings.Join(parts, ", ")
}

// without is the table without some columns.
func (t *table[R]) without(names ...string) *table[R] {
	return &table[R]{t.name, slices.DeleteFunc(slices.Clone(t.columns), func(c column[R]) bool { return slices.Contains(names, c.name) })}
}

// as is another table that has some of the columns.
func (t *table[R]) as(name string, names ...string) *table[R] {
	return &table[R]{name, slices.DeleteFunc(slices.Clone(t.columns), func(c column[R]) bool { return !slices.Contains(names, c.name) })}
}

// rows is what stands in a FROM clause for the rows whose arrays are the statement's arguments: u, with the names of the columns.
func (t *table[R]) rows() string {
	return "unnest(" + t.each(func(c *column[R], n int) string { return fmt.Sprintf("$%d::%s[]", n, c.pgType) }) + ") AS u(" + t.names("") + ")"
}

// value is the expression that makes the column's value of u.
func (c *column[R]) value() string {
	if c.stored == "" {
		return "u." + c.name
	}
	return fmt.Sprintf(c.stored, "u."+c.name)
}

// insert is the statement that inserts rows. Its arguments are args. Clauses may follow. The stamped columns take the store's time.
func (t *table[R]) insert(stamped ...string) string {
	return "INSERT INTO " + t.name + " (" + t.names("") + ") SELECT " + t.each(func(c *column[R], _ int) string {
		if slices.Contains(stamped, c.name) {
			return "niyanta_now()"
		}
		return c.value()
	}) + " FROM " + t.rows()
}

// upsert is the statement that inserts rows, and replaces those that have the same key, which is a list of columns.
func (t *table[R]) upsert(key string) string {
	return t.insert() + " ON CONFLICT (" + key + ") DO UPDATE SET " +
		t.without(strings.Split(key, ", ")...).each(func(c *column[R], _ int) string { return c.name + " = excluded." + c.name })
}

// update is the statement that sets the columns of the rows that have the same key.
func (t *table[R]) update(key string) string {
	return "UPDATE " + t.name + " t SET " +
		t.without(key).each(func(c *column[R], _ int) string { return c.name + " = " + c.value() }) +
		" FROM " + t.rows() + " WHERE t." + key + " = u." + key
}

// args are the arguments of insert, upsert and update: one array for each column.
func (t *table[R]) args(rows []*R) []any {
	args := make([]any, len(t.columns))
	for i := range t.columns {
		args[i] = t.columns[i].array(rows)
	}
	return args
}

// targets are where a row whose columns are names is scanned into, with room for more.
func (t *table[R]) targets(row *R, more ...any) []any {
	targets := make([]any, 0, len(t.columns)+len(more))
	for i := range t.columns {
		targets = append(targets, t.columns[i].target(row))
	}
	return append(targets, more...)
}

// scan reads a row.
func (t *table[R]) scan(row pgx.CollectableRow) (R, error) {
	var r R
	err := row.Scan(t.targets(&r)...)
	return r, err
}

// scanInto reads a row to which it returns a pointer.
func (t *table[R]) scanInto(row pgx.CollectableRow) (*R, error) {
	r := new(R)
	return r, row.Scan(t.targets(r)...)
}

// join is all the columns in one list.
func join[R any](lists ...[]column[R]) []column[R] { return slices.Concat(lists...) }

// part makes the columns of a part of a row columns of the row.
func part[R, P any](of func(*R) *P, columns []column[P]) []column[R] {
	return each(columns, func(c column[P]) column[R] {
		return column[R]{
			c.name, c.pgType, c.stored,
			func(rows []*R) any { return c.array(each(rows, of)) },
			func(row *R) any { return c.target(of(row)) },
			c.writes,
		}
	})
}

// each returns what get makes of each element.
func each[T, V any](in []T, get func(T) V) []V {
	out := make([]V, len(in))
	for i, v := range in {
		out[i] = get(v)
	}
	return out
}

// pointers returns where the rows are.
func pointers[R any](rows []R) []*R {
	out := make([]*R, len(rows))
	for i := range rows {
		out[i] = &rows[i]
	}
	return out
}

// texts converts ids and the like to what the driver knows.
func texts[S ~string](in []S) []string { return each(in, func(s S) string { return string(s) }) }

// The kinds of columns. Each takes the name of the column and a function that returns the address of its field.

func text[R any, V ~string](name string, field func(*R) *V) column[R] {
	return column[R]{
		name, "text", "",
		func(rows []*R) any { return each(rows, func(r *R) string { return string(*field(r)) }) },
		func(r *R) any { return textTarget[V]{field(r)} },
		0,
	}
}

// integer is a column of type integer.
func integer[R any](name string, field func(*R) *int) column[R] {
	return number(name, "integer", field)
}

// bigint is a column of type bigint.
func bigint[R any](name string, field func(*R) *int64) column[R] {
	return number(name, "bigint", field)
}

func number[R any, V ~int | ~int64](name, pgType string, field func(*R) *V) column[R] {
	return column[R]{
		name, pgType, "",
		func(rows []*R) any { return each(rows, func(r *R) int64 { return int64(*field(r)) }) },
		func(r *R) any { return numberTarget[V]{field(r)} },
		0,
	}
}

func float[R any](name string, field func(*R) *float64) column[R] {
	return column[R]{
		name, "double precision", "",
		func(rows []*R) any { return each(rows, func(r *R) float64 { return *field(r) }) },
		func(r *R) any { return field(r) },
		0,
	}
}

func boolean[R any](name string, field func(*R) *bool) column[R] {
	return column[R]{
		name, "boolean", "",
		func(rows []*R) any { return each(rows, func(r *R) bool { return *field(r) }) },
		func(r *R) any { return field(r) },
		0,
	}
}

// instant is a time that is never NULL.
func instant[R any](name string, field func(*R) *time.Time) column[R] {
	return column[R]{
		name, "timestamptz", "",
		func(rows []*R) any { return each(rows, func(r *R) time.Time { return *field(r) }) },
		func(r *R) any { return timeTarget{field(r)} },
		0,
	}
}

// optional is a time that is NULL when the field is zero.
func optional[R any](name string, field func(*R) *time.Time) column[R] {
	c := instant(name, field)
	c.array = func(rows []*R) any { return each(rows, func(r *R) *time.Time { return null(*field(r)) }) }
	return c
}

// micros is a duration in microseconds, as a bigint.
func micros[R any](name string, field func(*R) *time.Duration) column[R] {
	return column[R]{
		name, "bigint", "",
		func(rows []*R) any { return each(rows, func(r *R) int64 { return field(r).Microseconds() }) },
		func(r *R) any { return microsTarget{field(r)} },
		0,
	}
}

// digest is a SHA-256, as bytea.
func digest[R any](name string, field func(*R) *[32]byte) column[R] {
	return column[R]{
		name, "bytea", "",
		func(rows []*R) any { return each(rows, func(r *R) []byte { return field(r)[:] }) },
		func(r *R) any { return digestTarget{field(r)} },
		0,
	}
}

// bytes is any bytea that is not NULL.
func bytes[R any](name string, field func(*R) *[]byte) column[R] {
	return column[R]{
		name, "bytea", "",
		func(rows []*R) any {
			return each(rows, func(r *R) []byte { return append(make([]byte, 0, len(*field(r))), *field(r)...) })
		},
		func(r *R) any { return field(r) },
		0,
	}
}

// document is a value kept as JSON, NULL when none reports that there is nothing to keep.
func document[R, V any](name string, field func(*R) *V, none func(V) bool) column[R] {
	return column[R]{
		name, "text", "%s::jsonb",
		func(rows []*R) any {
			return each(rows, func(r *R) *string {
				if none(*field(r)) {
					return nil
				}
				return new(encode(*field(r)))
			})
		},
		func(r *R) any { return documentTarget[V]{field(r)} },
		0,
	}
}

// list is a list kept as JSON, NULL when it is empty.
func list[R, V any](name string, field func(*R) *[]V) column[R] {
	return document(name, field, func(v []V) bool { return len(v) == 0 })
}

// textArray is a column of type text[]. The lists travel as JSON, because arrays of arrays must be rectangular.
func textArray[R any](name string, field func(*R) *[]string) column[R] {
	return column[R]{
		name, "text", "ARRAY(SELECT jsonb_array_elements_text(%s::jsonb))",
		func(rows []*R) any { return each(rows, func(r *R) string { return encode(*field(r)) }) },
		func(r *R) any { return field(r) },
		0,
	}
}

// derived is a column that is made of a row and never read.
func derived[R, V any](name, pgType string, value func(*R) V) column[R] {
	return column[R]{name: name, pgType: pgType, array: func(rows []*R) any { return each(rows, value) }}
}

// encode returns v as JSON. What cannot be encoded becomes text that the server refuses, so that it is never lost without an error.
func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "not JSON: " + err.Error()
	}
	return string(b)
}

// The targets adapt fields to the driver. They hold one pointer, so that none costs an allocation.

type textTarget[V ~string] struct{ field *V }

// ScanText implements pgtype.TextScanner.
func (t textTarget[V]) ScanText(v pgtype.Text) error {
	*t.field = V(v.String)
	return nil
}

type numberTarget[V ~int | ~int64] struct{ field *V }

// ScanInt64 implements pgtype.Int64Scanner.
func (t numberTarget[V]) ScanInt64(v pgtype.Int8) error {
	*t.field = V(v.Int64)
	return nil
}

type timeTarget struct{ field *time.Time }

// ScanTimestamptz implements pgtype.TimestamptzScanner.
func (t timeTarget) ScanTimestamptz(v pgtype.Timestamptz) error {
	switch {
	case !v.Valid:
		*t.field = time.Time{}
	case v.InfinityModifier != pgtype.Finite:
		return fmt.Errorf("a time is %s", v.InfinityModifier)
	default:
		*t.field = v.Time.UTC()
	}
	return nil
}

type microsTarget struct{ field *time.Duration }

// ScanInt64 implements pgtype.Int64Scanner.
func (t microsTarget) ScanInt64(v pgtype.Int8) error {
	*t.field = time.Duration(v.Int64) * time.Microsecond
	return nil
}

type digestTarget struct{ field *[32]byte }

// ScanBytes implements pgtype.BytesScanner.
func (t digestTarget) ScanBytes(v []byte) error {
	*t.field = [32]byte{}
	copy(t.field[:], v)
	return nil
}

type documentTarget[V any] struct{ field *V }

// ScanBytes implements pgtype.BytesScanner.
func (t documentTarget[V]) ScanBytes(v []byte) error {
	return fromJSON(v, t.field)
}

// null is the nullable value of a time, NULL for zero.
func null(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// at is the time of a nullable value, zero for NULL.
func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// duration is the duration of a number of microseconds.
func duration(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// fromJSON reads a nullable JSON value.
func fromJSON(b []byte, v any) error {
	if b == nil {
		return nil
	}
	return json.Unmarshal(b, v)
}
