package bootstrap

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	niyantav1 "github.com/niyanta/niyanta/api/niyanta/v1"
)

// rpcProtocols are the protocols that a port speaks, as options of a client.
var rpcProtocols = map[string][]connect.ClientOption{
	"gRPC": {connect.WithGRPC()}, "gRPC-Web": {connect.WithGRPCWeb()}, "Connect": nil,
	"Connect with JSON": {connect.WithProtoJSON()},
}

// newRPCClient returns a client that speaks HTTP/2 without TLS, as gRPC clients do.
func newRPCClient(tb testing.TB) *http.Client {
	tb.Helper()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols}
	tb.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// rpcMethod finds a method, such as "WorkloadService/GetWorkload".
func rpcMethod(tb testing.TB, name string) protoreflect.MethodDescriptor {
	tb.Helper()
	for _, m := range rpcMethods() {
		if fmt.Sprintf("%s/%s", m.Parent().Name(), m.Name()) == name {
			return m
		}
	}
	require.Fail(tb, "no method "+name)
	return nil
}

// rpcMethods returns all methods.
func rpcMethods() (all []protoreflect.MethodDescriptor) {
	for _, file := range []protoreflect.FileDescriptor{
		niyantav1.File_niyanta_v1_workload_service_proto, niyantav1.File_niyanta_v1_customer_service_proto,
		niyantav1.File_niyanta_v1_admin_service_proto,
	} {
		for i := range file.Services().Len() {
			for j := range file.Services().Get(i).Methods().Len() {
				all = append(all, file.Services().Get(i).Methods().Get(j))
			}
		}
	}
	return all
}

// initialized gives the messages of a call their types.
func initialized(m protoreflect.MethodDescriptor) connect.ClientOption {
	return connect.WithClientOptions(connect.WithSchema(m), connect.WithResponseInitializer(
		func(_ connect.Spec, message any) error {
			*message.(*dynamicpb.Message) = *dynamicpb.NewMessage(m.Output())
			return nil
		}))
}

// rpc calls a method with a request in JSON, and returns the answer as JSON values.
func (a *api) rpc(
	client *http.Client, name, key, request string, options ...connect.ClientOption,
) (map[string]any, error) {
	a.Helper()
	m := rpcMethod(a, name)
	msg := dynamicpb.NewMessage(m.Input())
	require.NoError(a, protojson.Unmarshal([]byte(request), msg), request)
	c := connect.NewClient[dynamicpb.Message, dynamicpb.Message](client,
		a.dev.App.URL()+fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name()), append(options, initialized(m))...)
	req := connect.NewRequest(msg)
	if key != "" {
		req.Header().Set("Authorization", "Bearer "+key)
	}
	ctx, cancel := context.WithTimeout(a.Context(), 30*time.Second)
	defer cancel()
	resp, err := c.CallUnary(ctx, req)
	if err != nil {
		return nil, err
	}
	require.NotEmpty(a, resp.Header().Get("X-Request-Id"), name)
	require.NotEmpty(a, resp.Header().Get("X-Ratelimit-Remaining"), name)
	return jsonOf(a, resp.Msg), nil
}

func jsonOf(tb testing.TB, msg proto.Message) (v map[string]any) {
	tb.Helper()
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(msg)
	require.NoError(tb, err)
	require.NoError(tb, json.Unmarshal(text, &v))
	return v
}

// differences compares a value of REST with that of an RPC. Messages do not tell null, empty and
// absent apart; their JSON has numbers of 64 bits as strings; and they hold JSON as text.
func differences(at string, rest, rpc any) (found []string) {
	differ := func() []string { return []string{fmt.Sprintf("%s: %v over REST, %v as RPC", at, rest, rpc)} }
	switch r := rest.(type) {
	case nil:
		if rpc != nil && rpc != "null" {
			return differ()
		}
	case map[string]any:
		if text, ok := rpc.(string); ok && json.Unmarshal([]byte(text), &rpc) != nil {
			return differ()
		}
		other, _ := rpc.(map[string]any)
		for name := range other {
			if _, known := r[name]; !known {
				found = append(found, at+"."+name+": only as RPC")
			}
		}
		for name, v := range r {
			found = append(found, differences(at+"."+name, v, other[name])...)
		}
	case []any:
		other, _ := rpc.([]any)
		if len(r) != len(other) {
			return differ()
		}
		for i := range r {
			found = append(found, differences(fmt.Sprintf("%s.%d", at, i), r[i], other[i])...)
		}
	case float64:
		text, ok := rpc.(string)
		if ok && fmt.Sprint(rest) != text && fmt.Sprintf("%.0f", r) != text || !ok && rest != rpc {
			return differ()
		}
	case string:
		text, _ := rpc.(string)
		one, err := time.Parse(time.RFC3339Nano, r)
		other, oerr := time.Parse(time.RFC3339Nano, text)
		sameTime := err == nil && oerr == nil && one.Equal(other)
		if r != text && !sameTime {
			return differ()
		}
	default:
		if rest != rpc {
			return differ()
		}
	}
	return found
}
