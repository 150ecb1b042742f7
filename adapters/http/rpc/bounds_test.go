package rpc

import (
	"encoding/json"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	niyantav1 "github.com/niyanta/niyanta/api/niyanta/v1"
)

var narrow = Bounds{Items: 3, ItemBytes: 100}

func decoded(t *testing.T, c connect.Codec, data []byte, d protoreflect.MessageDescriptor) *dynamicpb.Message {
	t.Helper()
	msg := dynamicpb.NewMessage(d)
	require.NoError(t, c.Unmarshal(data, msg), "%.300s", data)
	return msg
}

// itemsOf returns the types of the submissions in a message.
func itemsOf(msg *dynamicpb.Message) (types []string) {
	list := msg.Get(msg.Descriptor().Fields().ByName("workloads")).List()
	for i := range list.Len() {
		item := list.Get(i).Message()
		types = append(types, item.Get(item.Descriptor().Fields().ByName("workload_type")).String())
	}
	return types
}

// 16 MiB of empty items became a gigabyte of messages before the operation could refuse them.
func TestBounds_OfListsAndItems_KeepWhatIsRefusedAnyway(t *testing.T) {
	d := (&niyantav1.SubmitWorkloadsRequest{}).ProtoReflect().Descriptor()
	filler := strings.Repeat(" ", narrow.ItemBytes)
	large := map[string]string{"a": strings.Repeat("x", narrow.ItemBytes)}
	type item = niyantav1.BatchSubmission
	named := func(name string) *item { return &item{WorkloadType: proto.String(name)} }
	for what, c := range map[string]struct {
		items []*item
		want  []string
	}{
		"none":                 {nil, nil},
		"as many as there may": {[]*item{named("a"), named("b"), named("c")}, []string{"a", "b", "c"}},
		"too many": {
			[]*item{named("a"), named("b"), named("c"), named("d"), named("e"), named("f")}, []string{"a", "b", "c", "d"},
		},
		"one too large": {
			[]*item{named("a"), {WorkloadType: proto.String("b"), Labels: large}, named("c")}, []string{"a", filler, "c"},
		},
		"all of it": {
			[]*item{{Labels: large}, named("b"), {Labels: large}, {Labels: large}, named("e"), {Labels: large}},
			[]string{filler, "b", filler},
		},
	} {
		request := &niyantav1.SubmitWorkloadsRequest{Workloads: c.items, IdempotencyKey: proto.String("k]}\"")}
		data, err := proto.Marshal(request)
		require.NoError(t, err)
		text, err := json.Marshal(map[string]any{"workloads": c.items, "idempotency_key": "k]}\""})
		require.NoError(t, err)
		for _, msg := range []*dynamicpb.Message{
			decoded(t, narrow.Binary(), data, d), decoded(t, narrow.JSON("json"), text, d),
		} {
			got := itemsOf(msg)
			require.GreaterOrEqual(t, len(got), len(c.want), what)
			require.Equal(t, c.want, got[:len(c.want)], what)
			require.Len(t, got, min(len(c.items), narrow.Items+1), what)
			require.Equal(t, `k]}"`, msg.Get(d.Fields().ByName("idempotency_key")).String(), "what follows stays")
		}
	}
}

func TestBounds_OfOtherLists_CutThem(t *testing.T) {
	d := (&niyantav1.CancelWorkloadsRequest{}).ProtoReflect().Descriptor()
	ids := []string{"a", `b,"]`, strings.Repeat("c", 2*narrow.ItemBytes), "d", "e", "f"}
	data, err := proto.Marshal(&niyantav1.CancelWorkloadsRequest{WorkloadIds: ids})
	require.NoError(t, err)
	text, err := json.Marshal(map[string]any{"workloadIds": ids})
	require.NoError(t, err)
	for _, msg := range []*dynamicpb.Message{
		decoded(t, narrow.Binary(), data, d), decoded(t, narrow.JSON("json"), text, d),
	} {
		list := msg.Get(d.Fields().ByName("workload_ids")).List()
		require.Equal(t, narrow.Items+1, list.Len())
		require.Equal(t, ids[2], list.Get(2).String())
	}
}

// What is no message is refused as it was.
func TestBounds_OfWhatIsNoMessage_ChangeNothing(t *testing.T) {
	d := (&niyantav1.SubmitWorkloadsRequest{}).ProtoReflect().Descriptor()
	for _, text := range []string{
		"", "{", "[", `{"workloads":[`, `{"workloads":[{},{},{},{},{}`, `{"workloads":["`, `{"workloads":[{}]}]`, `"\`,
	} {
		require.Equal(t, text, string(cutJSON(narrow, []byte(text), d)))
		require.Error(t, narrow.JSON("json").Unmarshal([]byte(text), dynamicpb.NewMessage(d)), text)
	}
	for _, data := range [][]byte{{0xff}, {0x0a, 0x05}, protowire.AppendTag(nil, 1, protowire.BytesType)} {
		require.Equal(t, data, cutBinary(narrow, data, d))
		require.Error(t, narrow.Binary().Unmarshal(data, dynamicpb.NewMessage(d)), "%v", data)
	}
}
