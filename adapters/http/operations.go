package http

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/go-chi/chi/v5"

	"github.com/niyanta/niyanta/adapters/http/rpc"
	"github.com/niyanta/niyanta/api/openapi"
	"github.com/niyanta/niyanta/core/domain"
)

// operation is one operation of the OpenAPI file.
type operation struct {
	path  string
	route *routers.Route
	roles []domain.Role
	tag   string
	body  *bodySchema // nil: it takes no JSON
	// whileSuspended reports whether keys of a suspended customer may call it. All may that read;
	// another one says so in the OpenAPI file.
	whileSuspended bool
	// rpc is the RPC that calls the operation, for requests that come as one.
	rpc *rpc.Method
}

// Part is the part of the API that one listener serves. Every other route is a 404 there.
type Part int

// The parts.
const (
	PartAll    Part = iota
	PartPublic      // all but the admin's
	PartAdmin       // admin routes and /metrics, and what tells about the process
)

// String names the part.
func (p Part) String() string { return [...]string{"all", "public", "admin"}[p] }

// serves reports whether the part contains the operation.
func (p Part) serves(op operation) bool {
	admins := op.tag == "admin" || op.path == "/metrics"
	switch p {
	case PartPublic:
		return !admins
	case PartAdmin:
		return admins || op.tag == "system" || op.tag == "session"
	case PartAll:
	}
	return true
}

// open reports whether the operation needs no key. In the OpenAPI file its list of roles is empty.
func (o operation) open() bool { return len(o.roles) == 0 }

// The media types of bodies: JSON, and the bytes of checkpoints.
const (
	mediaJSON  = "application/json"
	mediaBytes = "application/octet-stream"
)

// takesBytes reports whether the body is bytes.
func (o operation) takesBytes() bool {
	body := o.route.Operation.RequestBody
	return body != nil && body.Value.Content[mediaBytes] != nil
}

// mediaType is the media type of the body.
func (o operation) mediaType() string {
	if o.takesBytes() {
		return mediaBytes
	}
	return mediaJSON
}

// parameter returns a parameter of the operation, or of its path. It is nil if there is none.
func (o operation) parameter(in, name string) *openapi3.Parameter {
	if p := o.route.Operation.Parameters.GetByInAndName(in, name); p != nil {
		return p
	}
	return o.route.PathItem.Parameters.GetByInAndName(in, name)
}

// costsItems reports whether the operation takes a token of the caller's rate for each item of its
// body.
func (o operation) costsItems() bool { return o.body != nil && o.body.each != nil }

// takesReports reports whether the body is a batch of reports.
func (o operation) takesReports() bool {
	return o.route.Operation.OperationID == "workerReport"
}

// operations maps method and path pattern ("GET /v1/workloads/{id}") to the operation. Roles are
// stated in the OpenAPI file and nowhere else.
type operations map[string]operation

// parsedOperations are the operations of the OpenAPI file, which is read once.
var parsedOperations = sync.OnceValues(parseOperations)

// loadOperations returns the operations of the OpenAPI file, each also under the RPCs that call it.
func loadOperations() (operations, error) {
	ops, err := parsedOperations()
	return maps.Clone(ops), err
}

// addRPCs adds each RPC, which is a POST, as another way to call its operation. Who may call it
// and what it costs is therefore said in one place.
func (ops operations) addRPCs() error {
	byID := map[string]operation{}
	for _, op := range ops {
		byID[op.route.Operation.OperationID] = op
	}
	methods, err := rpc.Methods(func(id string) (rpc.Operation, bool) {
		op, found := byID[id]
		if !found {
			return rpc.Operation{}, false
		}
		return rpc.Operation{
			Method: op.route.Method, Path: op.path, Spec: op.route.Operation, Item: op.route.PathItem,
		}, true
	})
	for _, m := range methods {
		op := byID[m.Operation.Spec.OperationID]
		op.rpc = m
		ops[http.MethodPost+" "+m.Procedure()] = op
	}
	return err
}

func parseOperations() (operations, error) {
	spec, err := openapi3.NewLoader().LoadFromData(openapi.YAML)
	if err != nil {
		return nil, fmt.Errorf("openapi file: %w", err)
	}
	passThrough(spec)
	// For a document that says 3.1, the library compiles a JSON schema for every request. Its
	// built-in validator knows all that the file uses, at a tenth of the cost; that the two agree
	// is tested.
	builtIn := *spec
	builtIn.OpenAPI = "3.0.3"
	ops := operations{}
	for path, item := range spec.Paths.Map() {
		for method, op := range item.Operations() {
			roles, err := rolesOf(op)
			if err != nil {
				return nil, fmt.Errorf("openapi file: %s %s: %w", method, path, err)
			}
			body, err := bodyOf(op)
			if err != nil {
				return nil, fmt.Errorf("openapi file: %s %s: %w", method, path, err)
			}
			ops[method+" "+path] = operation{
				path:  path,
				route: &routers.Route{Spec: &builtIn, Path: path, PathItem: item, Method: method, Operation: op},
				roles: roles, tag: op.Tags[0], body: body,
				whileSuspended: method == http.MethodGet || op.Extensions["x-while-suspended"] == true,
			}
		}
	}
	return ops, ops.addRPCs()
}

// of returns the operation of a method at a path pattern. HEAD is GET without a body, so both have
// the same one.
func (ops operations) of(method, pattern string) (op operation, known bool) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	op, known = ops[method+" "+pattern]
	return op, known
}

// fixedPaths returns the paths without parameters. Such a path goes before one with parameters that
// it matches too: "/v1/workloads/batch" is not the workload "batch".
func (ops operations) fixedPaths() map[string]bool {
	fixed := map[string]bool{}
	for _, op := range ops {
		if !strings.Contains(op.path, "{") {
			fixed[op.path] = true
		}
	}
	return fixed
}

// methods returns the methods that some operation has, sorted.
func (ops operations) methods() []string {
	seen := map[string]bool{}
	for key := range ops {
		method, _, _ := strings.Cut(key, " ")
		seen[method] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// rolesOf reads x-roles, which every operation states.
func rolesOf(op *openapi3.Operation) ([]domain.Role, error) {
	list, ok := op.Extensions["x-roles"].([]any)
	if !ok || len(op.Tags) == 0 {
		return nil, fmt.Errorf("x-roles and a tag are required")
	}
	var roles []domain.Role
	for _, r := range list {
		roles = append(roles, domain.Role(fmt.Sprint(r)))
	}
	return roles, nil
}

// complete returns an error if a route has no operation or an operation no route.
func (ops operations) complete(r chi.Router) error {
	seen := map[string]bool{}
	err := chi.Walk(r, func(method, path string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		key := method + " " + path
		if _, ok := ops[key]; !ok {
			return fmt.Errorf("route %s is not in the OpenAPI file", key)
		}
		seen[key] = true
		return nil
	})
	if err != nil {
		return err
	}
	for key := range ops {
		if !seen[key] {
			return fmt.Errorf("operation %s has no route", key)
		}
	}
	return nil
}
