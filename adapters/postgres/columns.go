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

// table describes the columns of a table, whose rows are values of type R. A column is named
// once, in the list that makes the table. From the list come the columns of SELECT, INSERT and
// UPDATE, the targets that rows are scanned into, and the arrays in which rows are written. The
// text of statements is built once, when the program starts. Scanning and writing use no
// reflection.
type table[R any] struct {
	name    string
	columns []column[R]
}

// column is one column of a table.
type column[R any] struct {
	name string
	// pgType is the type of one value on its way to the server.
	pgType string
	// stored is the SQL expression that turns a value on its way into the column's value, with %s
	// for the former. If it is empty, the value is stored as it comes.
	stored string
	// array returns the values of rows as one array for the driver.
	array func(rows []*R) any
	// target returns what the driver scans a row's value into.
	target func(row *R) any
	// writes says which kinds of statements write the column; 0 means all.
	writes writes
}

// writes is a set of kinds of statements. Wide tables have statements that write some columns
// only. Such a statement is made of the columns that name its kind. To write fewer columns for an
// event, add a kind.
type writes uint

// The kinds.
const (
	bySubmission writes = 1 << iota
	byTransition
	// byUsual is a transition that leaves the columns alone that only few transitions change.
	byUsual
)

// by returns the column with the kinds of statements that write it.
func (c column[R]) by(w writes) column[R] {
	c.writes = w
	return c
}

// written returns the columns, with w for those that name no kind themselves.
func written[R any](w writes, columns []column[R]) []column[R] {
	return each(columns, func(c column[R]) column[R] {
		if c.writes == 0 {
			c.writes = w
		}
		return c
	})
}

// writtenBy returns the table with only those columns that w writes.
func (t *table[R]) writtenBy(w writes) *table[R] {
	return &table[R]{t.name, slices.DeleteFunc(slices.Clone(t.columns), func(c column[R]) bool { return c.writes&w == 0 })}
}

// names returns the list of columns, each qualified by alias unless that is empty.
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

// without returns the table without the named columns.
func (t *table[R]) without(names ...string) *table[R] {
	return &table[R]{t.name,
		slices.DeleteFunc(slices.Clone(t.columns), func(c column[R]) bool { return slices.Contains(names, c.name) })}
}

// as returns another table that has the named columns of this one.
func (t *table[R]) as(name string, names ...string) *table[R] {
	return &table[R]{name,
		slices.DeleteFunc(slices.Clone(t.columns), func(c column[R]) bool { return !slices.Contains(names, c.name) })}
}

// rows returns the FROM item for rows that come as the statement's arguments. Its alias is u, and
// its columns have the names of the table's. The arrays are unnested side by side in the list of a
// SELECT: a function in FROM would first write each array to a store of its own.
func (t *table[R]) rows() string {
	return "(SELECT " + t.each(func(c *column[R], n int) string {
		return fmt.Sprintf("unnest($%d::%s[]) AS %s", n, c.pgType, c.name)
	}) + ") AS u"
}

// value returns the expression that makes the column's value from u.
func (c *column[R]) value() string {
	if c.stored == "" {
		return "u." + c.name
	}
	return fmt.Sprintf(c.stored, "u."+c.name)
}

// insert returns the statement that inserts rows. Its arguments are args. Clauses may follow it.
// Stamped columns get the store's time.
func (t *table[R]) insert(stamped ...string) string {
	return "INSERT INTO " + t.name + " (" + t.names("") + ") SELECT " + t.each(func(c *column[R], _ int) string {
		if slices.Contains(stamped, c.name) {
			return "niyanta_now()"
		}
		return c.value()
	}) + " FROM " + t.rows()
}

// upsert returns the statement that inserts rows, and replaces rows with the same key. The key is
// a list of columns.
func (t *table[R]) upsert(key string) string {
	return t.insert() + " ON CONFLICT (" + key + ") DO UPDATE SET " +
		t.without(strings.Split(key, ", ")...).each(
			func(c *column[R], _ int) string { return c.name + " = excluded." + c.name },
		)
}

// update returns the statement that sets the columns of the rows with the same key.
func (t *table[R]) update(key string) string {
	return "UPDATE " + t.name + " t SET " +
		t.without(key).each(func(c *column[R], _ int) string { return c.name + " = " + c.value() }) +
		" FROM " + t.rows() + " WHERE t." + key + " = u." + key
}

// args returns the arguments of insert, upsert and update: one array for each column.
func (t *table[R]) args(rows []*R) []any {
	args := make([]any, len(t.columns))
	for i := range t.columns {
		args[i] = t.columns[i].array(rows)
	}
	return args
}

// targets returns what a row with the columns of names is scanned into, followed by more.
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

// scanInto reads a row and returns a pointer to it.
func (t *table[R]) scanInto(row pgx.CollectableRow) (*R, error) {
	r := new(R)
	return r, row.Scan(t.targets(r)...)
}

// join concatenates lists of columns.
func join[R any](lists ...[]column[R]) []column[R] { return slices.Concat(lists...) }

// part turns the columns of a part of a row into columns of the row.
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

// each returns the results of get for each element.
func each[T, V any](in []T, get func(T) V) []V {
	out := make([]V, len(in))
	for i, v := range in {
		out[i] = get(v)
	}
	return out
}

// pointers returns the addresses of the rows.
func pointers[R any](rows []R) []*R {
	out := make([]*R, len(rows))
	for i := range rows {
		out[i] = &rows[i]
	}
	return out
}

// texts converts strings of a named type to plain strings, which the driver knows.
func texts[S ~string](in []S) []string { return each(in, func(s S) string { return string(s) }) }

// The functions below make columns. Each takes the name of the column and a function that returns
// the address of the field.

func text[R any, V ~string](name string, field func(*R) *V) column[R] {
	return column[R]{
		name, "text", "",
		func(rows []*R) any { return each(rows, func(r *R) string { return string(*field(r)) }) },
		func(r *R) any { return textTarget[V]{field(r)} },
		0,
	}
}

// integer is a column of a field of type int. The server refuses a value that its type, integer or
// bigint, cannot hold.
func integer[R any](name string, field func(*R) *int) column[R] {
	return number(name, field)
}

// bigint is a column of type bigint.
func bigint[R any](name string, field func(*R) *int64) column[R] {
	return number(name, field)
}

func number[R any, V ~int | ~int64](name string, field func(*R) *V) column[R] {
	return column[R]{
		name, "bigint", "",
		func(rows []*R) any { return each(rows, func(r *R) int64 { return int64(*field(r)) }) },
		func(r *R) any { return numberTarget[V]{field(r)} },
		0,
	}
}

func float[R any](name string, field func(*R) *float64) column[R] {
	return column[R]{
		name, "double precision", "",
		func(rows []*R) any { return each(rows, func(r *R) float64 { return *field(r) }) },
		func(r *R) any { return floatTarget{field(r)} },
		0,
	}
}

// sparse is a column that is NULL where the field is zero. It suits fields that most rows do not
// have.
func sparse[R any](c column[R], zero string) column[R] {
	c.stored = "nullif(%s, " + zero + ")"
	return c
}

func boolean[R any](name string, field func(*R) *bool) column[R] {
	return column[R]{
		name, "boolean", "",
		func(rows []*R) any { return each(rows, func(r *R) bool { return *field(r) }) },
		func(r *R) any { return field(r) },
		0,
	}
}

// instant is a column of a time that is never NULL.
func instant[R any](name string, field func(*R) *time.Time) column[R] {
	return column[R]{
		name, "timestamptz", "",
		func(rows []*R) any { return each(rows, func(r *R) time.Time { return *field(r) }) },
		func(r *R) any { return timeTarget{field(r)} },
		0,
	}
}

// optional is a column of a time. It is NULL when the field is zero.
func optional[R any](name string, field func(*R) *time.Time) column[R] {
	c := instant(name, field)
	c.array = func(rows []*R) any { return each(rows, func(r *R) *time.Time { return null(*field(r)) }) }
	return c
}

// micros is a column of a duration, as a number of microseconds.
func micros[R any](name string, field func(*R) *time.Duration) column[R] {
	return column[R]{
		name, "bigint", "",
		func(rows []*R) any { return each(rows, func(r *R) int64 { return field(r).Microseconds() }) },
		func(r *R) any { return microsTarget{field(r)} },
		0,
	}
}

// digest is a column of a SHA-256, of type bytea.
func digest[R any](name string, field func(*R) *[32]byte) column[R] {
	return column[R]{
		name, "bytea", "",
		func(rows []*R) any { return each(rows, func(r *R) []byte { return field(r)[:] }) },
		func(r *R) any { return digestTarget{field(r)} },
		0,
	}
}

// document is a column of a value that is stored as JSON. It is NULL when none reports that the
// value is empty.
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

// list is a column of a list that is stored as JSON. It is NULL when the list is empty.
func list[R, V any](name string, field func(*R) *[]V) column[R] {
	return document(name, field, func(v []V) bool { return len(v) == 0 })
}

// textArray is a column of type text[]. Lists travel as JSON, because PostgreSQL's arrays of
// arrays must be rectangular.
func textArray[R any](name string, field func(*R) *[]string) column[R] {
	return column[R]{
		name, "text", "ARRAY(SELECT jsonb_array_elements_text(%s::jsonb))",
		func(rows []*R) any { return each(rows, func(r *R) string { return encode(*field(r)) }) },
		func(r *R) any { return field(r) },
		0,
	}
}

// derived is a column that is computed from a row and never read.
func derived[R, V any](name, pgType string, value func(*R) V) column[R] {
	return column[R]{name: name, pgType: pgType, array: func(rows []*R) any { return each(rows, value) }}
}

// encode returns v as JSON. For a value that cannot be encoded it returns text that the server
// refuses as JSON. So the value is never lost silently.
func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "not JSON: " + err.Error()
	}
	return string(b)
}

// The targets below adapt fields to the driver. Each holds one pointer, so that it needs no
// allocation.

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

type floatTarget struct{ field *float64 }

// ScanFloat64 implements pgtype.Float64Scanner.
func (t floatTarget) ScanFloat64(v pgtype.Float8) error {
	*t.field = v.Float64
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

// null returns nil for a zero time, which the driver writes as NULL.
func null(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// at returns the time of a nullable value, zero for NULL.
func at(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// duration converts a number of microseconds.
func duration(n int64) time.Duration { return time.Duration(n) * time.Microsecond }

// fromJSON decodes a nullable JSON value. NULL leaves v as it is.
func fromJSON(b []byte, v any) error {
	if b == nil {
		return nil
	}
	return json.Unmarshal(b, v)
}
