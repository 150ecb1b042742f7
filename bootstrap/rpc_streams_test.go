package bootstrap

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/dynamicpb"

	niyantav1 "github.com/niyanta/niyanta/api/niyanta/v1"
	"github.com/niyanta/niyanta/api/niyanta/v1/niyantav1connect"
	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// stream calls StreamWorkloadStatus.
func (a *api) stream(
	client *http.Client, key, id, last string, options ...connect.ClientOption,
) *connect.ServerStreamForClient[niyantav1.StreamWorkloadStatusResponse] {
	a.Helper()
	c := niyantav1connect.NewWorkloadServiceClient(client, a.dev.App.URL(), options...)
	msg := &niyantav1.StreamWorkloadStatusRequest{WorkloadId: &id}
	if last != "" {
		msg.LastEventId = &last
	}
	req := connect.NewRequest(msg)
	req.Header().Set("Authorization", "Bearer "+key)
	s, err := c.StreamWorkloadStatus(a.Context(), req)
	require.NoError(a, err)
	a.Cleanup(func() { _ = s.Close() })
	return s
}

// raw reads the events of a stream over REST as JSON values.
func (a *api) raw(path, key string) (events []any) {
	a.Helper()
	req := a.request("GET", path, key, nil)
	resp, err := a.client.Do(req)
	require.NoError(a, err)
	defer func() { _ = resp.Body.Close() }()
	in := bufio.NewScanner(resp.Body)
	for in.Scan() {
		if text, ok := strings.CutPrefix(in.Text(), "data: "); ok {
			var v any
			require.NoError(a, json.Unmarshal([]byte(text), &v))
			events = append(events, v)
		}
	}
	require.NoError(a, in.Err())
	return events
}

// TestRPCStreams_OfAWorkload_TellWhatRESTTells compares the streams of a workload that logs and
// completes, in each protocol, and reads on behind each event.
func TestRPCStreams_OfAWorkload_TellWhatRESTTells(t *testing.T) {
	a := newAPI(t, 1)
	client := newRPCClient(t)
	id := a.submit(shell("echo one; echo two >&2; echo three"))
	path, viewer := "/v1/workloads/"+id+"/events", a.key("viewer")
	a.until("/v1/workloads/"+id, "status", "COMPLETED")
	two := *a
	two.client = client // server-sent events over HTTP/2
	require.Equal(t, a.raw(path, viewer), two.raw(path, viewer))
	for protocol, options := range rpcProtocols {
		for _, key := range []string{a.dev.CustomerKey, viewer, a.dev.AdminKey} {
			want := a.raw(path, key)
			require.Greater(t, len(want), 5)
			s := a.stream(client, key, id, "", options...)
			var got []any
			var ids []string
			for s.Receive() {
				got = append(got, jsonOf(t, s.Msg().GetEvent()))
				ids = append(ids, s.Msg().GetEvent().GetEventId())
			}
			require.NoError(t, s.Err(), protocol)
			require.Empty(t, differences("", any(want), any(got)), protocol)
			for i, last := range ids {
				behind := 0
				for s := a.stream(client, key, id, last, options...); s.Receive(); behind++ {
					require.Equal(t, ids[i+1+behind], s.Msg().GetEvent().GetEventId())
				}
				require.Equal(t, len(ids)-i-1, behind)
			}
		}
	}
}

// TestRPCStreams_WhenTheyEnd_SayWhy ends streams as REST's end, which cannot say why.
func TestRPCStreams_WhenTheyEnd_SayWhy(t *testing.T) {
	a := newAPI(t, 0, func(c *Config) {
		c.StreamHeartbeat, c.MaxStreams, c.MaxStreamsPerKey = 300*time.Millisecond, 10, 2
	})
	client := newRPCClient(t)
	id := a.submit(sleepBody(1))
	for key, code := range map[string]connect.Code{
		"": connect.CodeUnauthenticated, a.dev.WorkerKey: connect.CodePermissionDenied,
	} {
		s := a.stream(client, key, id, "", connect.WithGRPC())
		require.False(t, s.Receive())
		require.Equal(t, code, connect.CodeOf(s.Err()))
	}
	s := a.stream(client, a.dev.CustomerKey, "wl_none", "", connect.WithGRPC())
	require.False(t, s.Receive())
	require.Equal(t, connect.CodeNotFound, connect.CodeOf(s.Err()))
	s = a.stream(client, a.dev.CustomerKey, id, "nonsense", connect.WithGRPC())
	require.False(t, s.Receive())
	require.Equal(t, connect.CodeInvalidArgument, connect.CodeOf(s.Err()))

	key, keyID := a.keyID("customer")
	revoked := a.stream(client, key, id, "", connect.WithGRPC())
	require.True(t, revoked.Receive())
	require.Equal(t, "PENDING", revoked.Msg().GetEvent().GetStatus())
	require.True(t, revoked.Receive())
	require.Nil(t, revoked.Msg().GetEvent(), "a message without event when nothing happens")
	require.Equal(t, 204, a.call("DELETE", "/v1/admin/customers/cust_dev/keys/"+keyID, a.dev.AdminKey, nil).status)
	began := testfiles.StartStopwatch(t)
	for revoked.Receive() {
		require.Nil(t, revoked.Msg().GetEvent())
	}
	require.Equal(t, connect.CodeUnauthenticated, connect.CodeOf(revoked.Err()))
	require.Less(t, began.Took(), 10*time.Second)

	var open []*connect.ServerStreamForClient[niyantav1.StreamWorkloadStatusResponse]
	for range 2 {
		s := a.stream(client, a.dev.CustomerKey, id, "", connect.WithGRPC())
		require.True(t, s.Receive())
		open = append(open, s)
	}
	third := a.stream(client, a.dev.CustomerKey, id, "", connect.WithGRPC())
	require.False(t, third.Receive())
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(third.Err()))
	require.Contains(t, third.Err().Error(), "more than 2 streams at once")
	require.NoError(t, open[0].Close())
	require.Eventually(t, func() bool {
		s := a.stream(client, a.dev.CustomerKey, id, "", connect.WithGRPC())
		defer func() { _ = s.Close() }()
		return s.Receive()
	}, 30*time.Second, 50*time.Millisecond, "a stream that was left keeps its place")

	a.dev.App.stopping()
	for open[1].Receive() {
		require.Nil(t, open[1].Msg().GetEvent())
	}
	require.Equal(t, connect.CodeUnavailable, connect.CodeOf(open[1].Err()))
}

// TestRPCs_WithNamesOfAnotherCustomer_AnswerAsForMissingOnes calls every method that names a
// workload.
func TestRPCs_WithNamesOfAnotherCustomer_AnswerAsForMissingOnes(t *testing.T) {
	a := newAPI(t, 0)
	o, rival := newOwned(a)
	client := newRPCClient(t)
	tried := 0
	for _, m := range rpcMethods() {
		one, many := m.Input().Fields().ByName("workload_id"), m.Input().Fields().ByName("workload_ids")
		if one == nil && many == nil {
			continue
		}
		tried++
		var told []string
		for _, id := range []string{o.workload, "wl_00000000000000000000000000"} {
			request := fmt.Sprintf(`{"workload_id":%q}`, id)
			if many != nil {
				request = fmt.Sprintf(`{"workload_ids":[%q]}`, id)
			}
			var answer any
			var err error
			if m.IsStreamingServer() {
				s := a.stream(client, rival, id, "", connect.WithGRPC())
				require.False(t, s.Receive())
				err = s.Err()
			} else {
				name := fmt.Sprintf("%s/%s", m.Parent().Name(), m.Name())
				answer, err = a.rpc(client, name, rival, request, connect.WithGRPC())
			}
			if many == nil {
				require.Equal(t, connect.CodeNotFound, connect.CodeOf(err), m.Name())
			}
			told = append(told, strings.ReplaceAll(fmt.Sprint(answer, err), id, ""))
		}
		require.Equal(t, told[1], told[0], m.Name())
	}
	require.Greater(t, tried, 10)
	require.Equal(t, "PENDING", a.call("GET", "/v1/workloads/"+o.workload, o.key, nil).field("status"))
}

// TestRPCBatches_CostATokenForEachItem has the same rate as REST's: also for a batch that is no
// message.
func TestRPCBatches_CostATokenForEachItem(t *testing.T) {
	a := newAPI(t, 0)
	key := a.tenant("cust_slow", map[string]any{"rate_limit_per_sec": 0.001, "burst": 6})
	client := newRPCClient(t)
	m := rpcMethod(t, "WorkloadService/SubmitWorkloads")
	msg := dynamicpb.NewMessage(m.Input())
	const two = `{"workloads":[{"workload_type":"sleep","input_params":"{}"},{}]}`
	require.NoError(t, protojson.Unmarshal([]byte(two), msg))
	c := connect.NewClient[dynamicpb.Message, dynamicpb.Message](client,
		a.dev.App.URL()+"/niyanta.v1.WorkloadService/SubmitWorkloads", connect.WithGRPC(), initialized(m))
	req := connect.NewRequest(msg)
	req.Header().Set("Authorization", "Bearer "+key)
	resp, err := c.CallUnary(t.Context(), req)
	require.NoError(t, err)
	require.Equal(t, []string{"4"}, resp.Header().Values("X-RateLimit-Remaining"))

	broken := a.request("POST", "/niyanta.v1.WorkloadService/SubmitWorkloads", key, "no message")
	broken.Header.Set("Content-Type", "application/proto")
	answered, err := a.client.Do(broken)
	require.NoError(t, err)
	require.NoError(t, answered.Body.Close())
	require.Equal(t, http.StatusBadRequest, answered.StatusCode)
	require.Equal(t, "2", a.call("GET", "/v1/customer", key, nil).header.Get("X-RateLimit-Remaining"))
	a.call("GET", "/v1/customer", key, nil)
	a.call("GET", "/v1/customer", key, nil)
	req = connect.NewRequest(msg)
	req.Header().Set("Authorization", "Bearer "+key)
	_, err = c.CallUnary(t.Context(), req)
	var refused *connect.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, connect.CodeResourceExhausted, refused.Code())
	require.NotEmpty(t, refused.Meta().Get("Retry-After"))
}
