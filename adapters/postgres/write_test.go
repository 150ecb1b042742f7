package postgres_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/postgres"
	"github.com/niyanta/niyanta/core/domain"
)

// A transition that is taken for a usual one writes fewer columns. A change of any other column must not
// be taken for one: it would be lost.
func TestUsualTransitions_WhicheverFieldChanges_LoseNoColumn(t *testing.T) {
	rare := map[string]bool{}
	check := func(field string, a, b domain.State) {
		t.Helper()
		columns := postgres.RareColumns(&a, &b)
		require.Equal(t, len(columns) == 0, postgres.Usual(&a, &b), "%s changes %v", field, columns)
		for _, c := range columns {
			rare[c] = true
		}
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[domain.State]()) {
		var changed domain.State
		fill(reflect.ValueOf(&changed).Elem().FieldByIndex(f.Index))
		check(f.Name, domain.State{}, changed)
		check(f.Name, changed, domain.State{})
		check(f.Name, changed, changed)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[domain.Failure]()) {
		var changed domain.Failure
		fill(reflect.ValueOf(&changed).Elem().FieldByIndex(f.Index))
		check("Failure."+f.Name, domain.State{Failure: &domain.Failure{}}, domain.State{Failure: &changed})
	}
	require.Greater(t, len(rare), 10)
}

// fill gives v a value that is not zero.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(`"x"`)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(time.Second))
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		for _, f := range reflect.VisibleFields(v.Type()) {
			if f.IsExported() {
				fill(v.FieldByIndex(f.Index))
			}
		}
	default:
		panic("no value for " + v.Type().String())
	}
}
