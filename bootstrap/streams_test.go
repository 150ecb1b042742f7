//go:build streams

package bootstrap

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	streamsCount  = flag.Int("streams", 5000, "idle streams")
	streamsRounds = flag.Int("streams-rounds", 5, "rounds without streams, and of each kind of stream")
	streamsLength = flag.Duration("streams-length", 10*time.Second, "how long a round takes")
)

const (
	streamsRate = 50.0 // submissions per second
	// streamsMemory is what a stream may take of the coordinator's memory.
	streamsMemory = 64 << 10
	// The kinds of streams.
	serverSent, overSocket = "server-sent events", "WebSockets"
	streamsClient          = "NIYANTA_TEST_STREAMS_CLIENT"
)

// TestStreams_OfIdleWorkloads_CostMemoryAndNothingElse measures submissions over HTTP, on PostgreSQL
// with fsync on, without streams and beside idle ones, each of a workload of its own. The rounds
// alternate, so that a machine that becomes slower slows all. The clients of the streams are another
// process. It is run by `make streams` and takes some minutes.
func TestStreams_OfIdleWorkloads_CostMemoryAndNothingElse(t *testing.T) {
	limit := fmt.Sprint(2 * *streamsCount)
	d, _ := onPostgres(t, 0, "NIYANTA_MAX_STREAMS="+limit, "NIYANTA_MAX_STREAMS_PER_KEY="+limit)
	a := newAPIOf(t, d)
	key, quiet := unlimited(t, d, "cust_streams"), unlimited(t, d, "cust_quiet")
	var ids []string
	for len(ids) < *streamsCount {
		var items []any
		for range min(500, *streamsCount-len(ids)) {
			items = append(items, map[string]any{"workload_type": "sleep", "input_params": map[string]any{},
				"run_at": time.Now().Add(24 * time.Hour)})
		}
		ans := a.call("POST", "/v1/workloads/batch", key, map[string]any{"workloads": items})
		require.Equal(t, 200, ans.status, ans.body)
		for _, r := range ans.field("results").([]any) {
			ids = append(ids, r.(map[string]any)["workload_id"].(string))
		}
	}
	fmt.Printf("%s, %d processors, PostgreSQL with fsync on; %d streams, %d rounds of %s, %g submissions/s\n\n",
		runtime.Version(), runtime.NumCPU(), *streamsCount, *streamsRounds, *streamsLength, streamsRate)
	fmt.Println("| round | streams | memory of one | goroutines of one | submissions | p50 | p95 |")
	fmt.Println("|---|---|---|---|---|---|---|")
	submitFor(t, d, quiet, streamsRate, *streamsLength/5) // the first ones prepare statements and connections
	p95, memory := map[string][]time.Duration{}, map[string][]float64{}
	for round := range *streamsRounds {
		for _, kind := range []string{"", serverSent, overSocket} {
			before := taken()
			end := func() {}
			each, routines := "-", "-"
			if kind != "" {
				end = followElsewhere(t, d, kind, key, ids)
				after, n := taken(), float64(len(ids))
				bytes := float64(after.bytes-before.bytes) / n
				memory[kind] = append(memory[kind], bytes)
				each = fmt.Sprintf("%.1f KiB", bytes/1024)
				routines = fmt.Sprintf("%.1f", float64(after.goroutines-before.goroutines)/n)
			}
			made := submitFor(t, d, quiet, streamsRate, *streamsLength)
			end()
			assert.Zero(t, made.refused)
			p95[kind] = append(p95[kind], made.at(95))
			fmt.Printf("| %d | %s | %s | %s | %d | %s | %s |\n", round+1, strings.TrimSpace(kind+" "), each, routines,
				len(made.took), made.at(50), made.at(95))
		}
	}
	fmt.Println()
	was := median(p95[""])
	for _, kind := range []string{serverSent, overSocket} {
		is, bytes := median(p95[kind]), median(memory[kind])
		fmt.Printf("%s, medians: %.1f KiB for each, p95 of submissions %s, without streams %s (%+.1f %%)\n", kind,
			bytes/1024, is, was, 100*(float64(is)/float64(was)-1))
		assert.Less(t, bytes, float64(streamsMemory))
		assert.LessOrEqual(t, is, was+was/5)
	}
}

// use is what this process holds.
type use struct{ bytes, goroutines int64 }

// taken returns what the process holds after a garbage collection.
func taken() use {
	for range 3 { // what pools hold goes with the second
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return use{int64(m.HeapAlloc + m.StackInuse), int64(runtime.NumGoroutine())}
}

// followElsewhere has another process follow the workloads, and returns when all streams have told
// their first event. end closes them, and returns when the coordinator has noticed.
func followElsewhere(t *testing.T, d *Dev, kind, key string, ids []string) (end func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestStreams_Client$") //nolint:gosec // this program
	cmd.Env = append(os.Environ(), streamsClient+"="+strings.Join([]string{kind, d.App.URL(), key}, "|"))
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	_, err = fmt.Fprintln(in, strings.Join(ids, " "))
	require.NoError(t, err)
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan())
	require.Equal(t, "open", lines.Text())
	live := d.App.coordinator.Live
	require.Equal(t, len(ids), live.Streams())
	return func() {
		require.NoError(t, in.Close())
		_, _ = io.Copy(io.Discard, out)
		require.NoError(t, cmd.Wait())
		require.Eventually(t, func() bool { return live.Streams() == 0 }, time.Minute, 10*time.Millisecond)
	}
}

// TestStreams_Client is the process of the clients.
func TestStreams_Client(t *testing.T) {
	kind, rest, ok := strings.Cut(os.Getenv(streamsClient), "|")
	url, key, _ := strings.Cut(rest, "|")
	if !ok {
		t.Skip("started by another test")
	}
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	line, err := in.ReadString('\n')
	require.NoError(t, err)
	open := openServerSent
	if kind == overSocket {
		open = openSocket
	}
	ctx, end := context.WithCancel(t.Context())
	var following sync.WaitGroup
	places := make(chan struct{}, 32)
	opened := make(chan error)
	ids := strings.Fields(line)
	for _, id := range ids {
		following.Go(func() {
			places <- struct{}{}
			read, err := open(ctx, url, id, key)
			<-places
			opened <- err
			for err == nil {
				err = read()
			}
		})
	}
	for range ids {
		require.NoError(t, <-opened)
	}
	fmt.Println("open")
	_, _ = in.ReadByte() // until the other process closes it
	end()
	following.Wait()
}

// openServerSent opens a stream and reads its first event. read reads on.
func openServerSent(ctx context.Context, url, id, key string) (read func() error, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/workloads/"+id+"/events", nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := (&http.Client{Transport: &http.Transport{}}).Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(errors.New(resp.Status), resp.Body.Close())
	}
	lines := bufio.NewReader(resp.Body)
	for text := ""; !strings.HasPrefix(text, "data:"); {
		if text, err = lines.ReadString('\n'); err != nil {
			return nil, err
		}
	}
	return func() error {
		_, err := lines.ReadString('\n')
		return err
	}, nil
}

// openSocket is openServerSent for a WebSocket.
func openSocket(ctx context.Context, url, id, key string) (read func() error, err error) {
	conn, _, err := websocket.Dial(ctx, url+socketPath(id), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{}}, HTTPHeader: http.Header{"Authorization": {"Bearer " + key}},
	})
	if err != nil {
		return nil, err
	}
	read = func() error {
		_, _, err := conn.Read(ctx)
		return err
	}
	return read, read()
}
