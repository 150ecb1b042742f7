package rpc

import (
	"fmt"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	niyantav1 "github.com/niyanta/niyanta/api/niyanta/v1"
)

// Operation is an operation of the OpenAPI file.
type Operation struct {
	Method, Path string
	Spec         *openapi3.Operation
	Item         *openapi3.PathItem
}

// Method is an RPC and the operation that it calls.
type Method struct {
	Descriptor protoreflect.MethodDescriptor
	Operation  Operation

	fields       []field // of the request
	body         bool    // whether the operation takes a body, bodyRequired whether it must have one
	bodyRequired bool
}

// field is a field of a request and its place in the HTTP request.
type field struct {
	protoreflect.FieldDescriptor

	in   string // openapi3.ParameterInPath and the like; empty: the body
	name string // of the parameter
	// required says that an empty list is sent as such.
	required bool
}

// Procedure is the path at which the method is called.
func (m *Method) Procedure() string {
	return fmt.Sprintf("/%s/%s", m.Descriptor.Parent().FullName(), m.Descriptor.Name())
}

// Methods returns the methods of all services. find returns the operation with an operationId. A
// method without an operation is an error, and so is one whose messages do not have exactly the
// parameters and fields that its operation has.
func Methods(find func(operationID string) (Operation, bool)) ([]*Method, error) {
	var methods []*Method
	for _, file := range []protoreflect.FileDescriptor{
		niyantav1.File_niyanta_v1_workload_service_proto, niyantav1.File_niyanta_v1_customer_service_proto,
		niyantav1.File_niyanta_v1_admin_service_proto,
	} {
		services := file.Services()
		for i := range services.Len() {
			all := services.Get(i).Methods()
			for j := range all.Len() {
				m, err := newMethod(all.Get(j), find)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", all.Get(j).FullName(), err)
				}
				methods = append(methods, m)
			}
		}
	}
	return methods, nil
}

func newMethod(d protoreflect.MethodDescriptor, find func(string) (Operation, bool)) (*Method, error) {
	id, _ := proto.GetExtension(d.Options(), niyantav1.E_Operation).(string)
	op, found := find(id)
	if !found {
		return nil, fmt.Errorf("the OpenAPI file has no operation %q", id)
	}
	m := &Method{Descriptor: d, Operation: op}
	if err := m.bindRequest(); err != nil {
		return nil, fmt.Errorf("%s: %w", d.Input().Name(), err)
	}
	if err := m.checkAnswer(); err != nil {
		return nil, fmt.Errorf("%s: %w", d.Output().Name(), err)
	}
	return m, nil
}

// requestID is a header of every operation. It comes with the call's own headers.
const requestID = "X-Request-ID"

// bindRequest finds the place of each field of the request.
func (m *Method) bindRequest() error {
	parameters := map[string]*openapi3.Parameter{}
	for _, list := range []openapi3.Parameters{m.Operation.Item.Parameters, m.Operation.Spec.Parameters} {
		for _, p := range list {
			if p.Value.Name != requestID {
				parameters[strings.ToLower(strings.ReplaceAll(p.Value.Name, "-", "_"))] = p.Value
			}
		}
	}
	body := m.bodySchema()
	left := len(parameters)
	fields := m.Descriptor.Input().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		name := string(fd.Name())
		if other, _ := proto.GetExtension(fd.Options(), niyantav1.E_Parameter).(string); other != "" {
			name = other
		}
		if p := parameters[name]; p != nil {
			if err := fits(fd, p.Schema.Value); err != nil {
				return err
			}
			m.fields = append(m.fields, field{fd, p.In, p.Name, p.Required})
			left--
		}
	}
	if left > 0 {
		return fmt.Errorf("the operation has %d parameters that are no fields", left)
	}
	var own []protoreflect.FieldDescriptor
	for i := range fields.Len() {
		if !m.binds(fields.Get(i)) {
			own = append(own, fields.Get(i))
		}
	}
	if body == nil && len(own) > 0 {
		return fmt.Errorf("the operation has nothing for %s", own[0].Name())
	}
	if body == nil {
		return nil
	}
	m.body, m.bodyRequired = true, m.Operation.Spec.RequestBody.Value.Required
	if err := sameFields(own, body); err != nil {
		return err
	}
	for _, fd := range own {
		m.fields = append(m.fields, field{fd, "", string(fd.Name()), isRequired(body, string(fd.Name()))})
	}
	return nil
}

// binds reports whether the field has its place.
func (m *Method) binds(fd protoreflect.FieldDescriptor) bool {
	for _, f := range m.fields {
		if f.FieldDescriptor == fd {
			return true
		}
	}
	return false
}

func (m *Method) bodySchema() *openapi3.Schema {
	if m.Operation.Spec.RequestBody == nil {
		return nil
	}
	return m.Operation.Spec.RequestBody.Value.Content.Get("application/json").Schema.Value
}

// checkAnswer checks the answer against every body that the operation answers with.
func (m *Method) checkAnswer() error {
	if m.Descriptor.IsStreamingServer() {
		return nil // a test compares its event with the schema
	}
	found := false
	for status, resp := range m.Operation.Spec.Responses.Map() {
		media := resp.Value.Content.Get("application/json")
		if !strings.HasPrefix(status, "2") || media == nil {
			continue
		}
		found = true
		if err := sameFields(list(m.Descriptor.Output().Fields()), media.Schema.Value); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf("the operation answers with no JSON")
	}
	return nil
}

func list(fields protoreflect.FieldDescriptors) (all []protoreflect.FieldDescriptor) {
	for i := range fields.Len() {
		all = append(all, fields.Get(i))
	}
	return all
}
