package niyanta

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/niyanta/niyanta/api/client"
)

// shape describes what of a type shows in JSON.
func shape(t reflect.Type) string {
	switch {
	case strings.HasPrefix(t.Name(), "Change["):
		return t.Name()
	case t.Name() == "Milli": // written as a number of units
		return "float64"
	case t.PkgPath() == "time" || t.PkgPath() == "encoding/json":
		return t.String()
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice:
		return t.Kind().String() + " of " + shape(t.Elem())
	case reflect.Map:
		return "map of " + shape(t.Elem())
	case reflect.Struct:
		var fields []string
		for _, f := range reflect.VisibleFields(t) {
			if !f.Anonymous && len(f.Index) <= 2 { // what is embedded stands beside the other fields
				fields = append(fields, fmt.Sprintf("%s %s", f.Tag.Get("json"), shape(f.Type)))
			}
		}
		slices.Sort(fields)
		return "{" + strings.Join(fields, "; ") + "}"
	default:
		return t.Kind().String()
	}
}

func TestTypes_HaveTheFieldsOfTheAPI(t *testing.T) {
	for own, api := range map[any]any{
		&Workload{}: client.Workload{}, &WorkloadList{}: client.WorkloadList{}, &Log{}: client.Log{},
		&AuditEvent{}: client.AuditEvent{}, &Placement{}: client.Placement{}, &CheckpointInfo{}: client.Checkpoint{},
		&WorkloadConfig{}: client.WorkloadConfig{}, &ConfigInput{}: client.WorkloadConfigInput{},
		&Customer{}: client.Customer{}, &CustomerUsage{}: client.CustomerUsage{}, &CustomerInput{}: client.CustomerInput{},
		&CustomerStats{}: client.CustomerStats{}, &QueueDepth{}: client.QueueDepth{},
		&Scaling{}: client.Scaling{}, &PoolScale{}: client.PoolScale{},
		&Key{}: client.Key{}, &NewKey{}: client.NewKey{}, &KeyInput{}: client.KeyInput{},
		&Health{}: client.Health{}, &Readiness{}: client.Readiness{},
		&WorkerEvent{}: client.WorkerEvent{}, &OperatorKey{}: client.OperatorKey{},
		&NewOperatorKey{}:   client.NewOperatorKey{},
		&ConfigChange{}:     client.WorkloadConfigChange{},
		&OperatorKeyInput{}: client.OperatorKeyInput{}, &WorkerInfo{}: client.Worker{},
		&SubmitAnswer{}: client.SubmitAnswer{}, &ControlAnswer{}: client.ControlAnswer{},
		&Submission{}: client.Submission{}, &CustomerPatch{}: client.CustomerPatch{}, &BatchResult{}: client.BatchResult{},
		&BatchSubmission{}: client.BatchSubmission{}, &BulkResult{}: client.BulkResult{}, &BulkFilter{}: client.BulkFilter{},
		&AdminEvent{}: client.AdminEvent{}, &Event{}: client.LiveEvent{}, &RetryAnswer{}: client.RetryAnswer{},
		&Ticket{}: client.Ticket{},
	} {
		assert.Equal(t, shape(reflect.TypeOf(api)), shape(reflect.TypeOf(own).Elem()), "%T", own)
	}
}
