package bootstrap

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

// liveEvent is an event as a client of the API reads it.
type liveEvent struct {
	Type            string          `json:"type"`
	EventID         string          `json:"event_id"`
	WorkloadID      string          `json:"workload_id"`
	CustomerID      string          `json:"customer_id"`
	EventType       string          `json:"event_type"`
	Status          string          `json:"status"`
	ProgressPercent float64         `json:"progress_percent"`
	Message         string          `json:"message"`
	Seq             int64           `json:"seq"`
	ResultData      json.RawMessage `json:"result_data"`
	ErrorType       string          `json:"error_type"`
	ErrorMessage    string          `json:"error_message"`
	Dropped         int64           `json:"dropped"`
}

// follower reads a stream of events.
type follower struct {
	*testing.T
	resp *http.Response
	in   *bufio.Reader
}

// follow opens a stream at a coordinator.
func (a *api) follow(url, path, key, lastEvent string) *follower {
	a.Helper()
	req, err := http.NewRequestWithContext(a.Context(), http.MethodGet, url+path, nil)
	require.NoError(a, err)
	req.Header.Set("Authorization", "Bearer "+key)
	if lastEvent != "" {
		req.Header.Set("Last-Event-ID", lastEvent)
	}
	resp, err := a.client.Do(req)
	require.NoError(a, err)
	a.Cleanup(func() { _ = resp.Body.Close() })
	return newFollower(a.T, resp)
}

func newFollower(t *testing.T, resp *http.Response) *follower {
	return &follower{T: t, resp: resp, in: bufio.NewReader(resp.Body)}
}

// streams opens a stream that must begin.
func (a *api) streams(path, key, lastEvent string) *follower {
	a.Helper()
	f := a.follow(a.dev.App.URL(), path, key, lastEvent)
	require.Equal(a, http.StatusOK, f.resp.StatusCode)
	require.Equal(a, "text/event-stream", f.resp.Header.Get("Content-Type"))
	return f
}

// next reads the next event. It returns the error with which the stream ended.
func (f *follower) next() (e liveEvent, err error) {
	fields := map[string]string{}
	for {
		line, err := f.in.ReadString('\n')
		if err != nil {
			return e, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
		switch {
		case line != "\n" && name == "": // a comment
		case line != "\n":
			fields[name] = strings.TrimPrefix(value, " ")
		case fields["data"] != "":
			if err := json.Unmarshal([]byte(fields["data"]), &e); err != nil {
				return e, err
			}
			if fields["id"] != e.EventID || fields["event"] != e.Type {
				return e, fmt.Errorf("the event %v says something else inside", fields)
			}
			return e, nil
		}
	}
}

// rest reads until the stream ends, which must be clean.
func (f *follower) rest() (all []liveEvent) {
	f.Helper()
	for {
		e, err := f.next()
		if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return all
		}
		require.NoError(f, err)
		all = append(all, e)
	}
}

// read reads n events.
func (f *follower) read(n int) (all []liveEvent) {
	f.Helper()
	for range n {
		e, err := f.next()
		require.NoError(f, err)
		all = append(all, e)
	}
	return all
}

// ends reports whether the stream ends within d, without further events.
func (f *follower) ends(d time.Duration) bool {
	ended := make(chan error, 1)
	go func() {
		_, err := f.next()
		ended <- err
	}()
	select {
	case err := <-ended:
		return errors.Is(err, io.EOF)
	case <-time.After(d):
		_ = f.resp.Body.Close()
		<-ended
		return false
	}
}

func shell(script string) map[string]any {
	return map[string]any{
		"workload_type": "exec", "input_params": map[string]any{"command": []string{"sh", "-c", script}},
	}
}

// TestLiveUpdates_OfAWorkload_TellEverythingOnce compares a stream with the audit and the log, then
// reads it again from each of its events.
func TestLiveUpdates_OfAWorkload_TellEverythingOnce(t *testing.T) {
	a := newAPI(t, 1)
	id := a.submit(shell("echo one; echo two >&2; echo three; sleep 0.3"))
	path := "/v1/workloads/" + id
	all := a.streams(path+"/events", a.dev.CustomerKey, "").rest()
	var types, lines []string
	for _, e := range all {
		require.Equal(t, id, e.WorkloadID)
		if e.Type == "log_line" {
			lines = append(lines, e.Message)
		} else {
			types = append(types, e.EventType)
		}
	}
	var audited, logged []string
	for _, e := range a.call("GET", path+"/audit", a.dev.CustomerKey, nil).field("events").([]any) {
		audited = append(audited, e.(map[string]any)["event_type"].(string))
	}
	for _, l := range a.call("GET", path+"/logs", a.dev.CustomerKey, nil).field("logs").([]any) {
		logged = append(logged, l.(map[string]any)["message"].(string))
	}
	require.Equal(t, audited, types)
	require.Equal(t, logged, lines)
	require.Subset(t, lines, []string{"one", "two", "three"})
	last := all[len(all)-1]
	require.Equal(t, "completed", last.Type)
	require.JSONEq(t, `{"exit_code":0,"stdout":"one\nthree\n","stderr":"two\n"}`, string(last.ResultData))
	require.InDelta(t, 100, last.ProgressPercent, 0)
	for i, e := range all[:len(all)-1] {
		require.Equal(t, all[i+1:], a.streams(path+"/events", a.dev.CustomerKey, e.EventID).rest(), "behind %v", e)
	}
	f := a.follow(a.dev.App.URL(), path+"/events", a.dev.CustomerKey, last.EventID)
	require.Equal(t, http.StatusNoContent, f.resp.StatusCode, "there is nothing to connect again for")

	for i, e := range a.streams(path+"/events", a.key("viewer"), "").rest() {
		require.Equal(t, all[i].Type, e.Type)
		require.Empty(t, e.ResultData)
		if e.Type == "log_line" {
			require.Equal(t, "[masked]", e.Message)
		}
	}
}

func TestLiveUpdates_OfAFailure_HaveTheMessage(t *testing.T) {
	a := newAPI(t, 1)
	body := shell("echo no such table >&2; exit 64")
	id := a.submit(body)
	all := a.streams("/v1/workloads/"+id+"/events", a.dev.CustomerKey, "").rest()
	last := all[len(all)-1]
	require.Equal(t, "failed", last.Type)
	require.NotEmpty(t, last.ErrorType)
	w := a.call("GET", "/v1/workloads/"+id, a.dev.CustomerKey, nil)
	require.Equal(t, w.field("error_message"), last.ErrorMessage)
	all = a.streams("/v1/workloads/"+id+"/events", a.key("viewer"), "").rest()
	require.Equal(t, "[masked]", all[len(all)-1].ErrorMessage)
	require.NotContains(t, all[len(all)-1].Message, "exit")

	id = a.submit(sleepBody(60_000))
	f := a.streams("/v1/workloads/"+id+"/events", a.dev.CustomerKey, "")
	require.Equal(t, "PENDING", f.read(1)[0].Status)
	require.Equal(t, 200, a.call("POST", "/v1/workloads/"+id+"/cancel", a.dev.CustomerKey, nil).status)
	all = f.rest()
	require.Equal(t, "CANCELLED", all[len(all)-1].Status)
	require.Equal(t, "status_update", all[len(all)-1].Type)
}

// changed returns another text of the same length.
func changed(id string) string {
	if id[0] == 'x' {
		return "y" + id[1:]
	}
	return "x" + id[1:]
}

// TestLiveUpdates_OfACustomer_TellOnlyItsWorkloads has two customers and an administrator follow
// everything that they may see.
func TestLiveUpdates_OfACustomer_TellOnlyItsWorkloads(t *testing.T) {
	a := newAPI(t, 1)
	require.Equal(t, 201, a.call("POST", "/v1/admin/customers", a.dev.AdminKey, map[string]any{
		"customer_id": "cust_rival", "name": "R", "tier": "enterprise",
	}).status)
	rival := a.call("POST", "/v1/admin/customers/cust_rival/keys", a.dev.AdminKey,
		map[string]any{"role": "customer"}).field("key").(string)
	before := a.submit(sleepBody(0))
	a.streams("/v1/workloads/"+before+"/events", a.dev.CustomerKey, "").rest()
	mine := a.streams("/v1/events", a.dev.CustomerKey, "")
	theirs := a.streams("/v1/events", rival, "")
	admins := a.streams("/v1/events", a.dev.AdminKey, "")
	own, foreign := map[string]bool{}, ""
	for range 10 {
		own[a.submit(sleepBody(0))] = true
	}
	ans := a.call("POST", "/v1/workloads", rival, sleepBody(0))
	require.Equal(t, 202, ans.status)
	foreign = ans.field("workload_id").(string)
	read := func(f *follower, finals int) (all []liveEvent) {
		for done := 0; done < finals; {
			e := f.read(1)[0]
			if all = append(all, e); e.Type == "completed" {
				require.NotEmpty(t, e.ResultData)
				done++
			}
		}
		return all
	}
	all := read(mine, 10)
	require.Len(t, all, 4*len(own), "created, scheduled, started, completed")
	for _, e := range all {
		require.True(t, own[e.WorkloadID], "an event of another customer, or of before: %v", e)
		require.Empty(t, e.CustomerID)
	}
	again := a.streams("/v1/events", a.dev.CustomerKey, all[7].EventID).read(len(all) - 8)
	require.Equal(t, all[8:], again)
	for _, e := range read(theirs, 1) {
		require.Equal(t, foreign, e.WorkloadID)
	}
	customers := map[string]int{}
	for _, e := range read(admins, 11) {
		customers[e.CustomerID]++
	}
	require.Equal(t, map[string]int{"cust_dev": 40, "cust_rival": 4}, customers)
}

func TestLiveUpdates_WithAnIDOfAnotherStream_AreRefused(t *testing.T) {
	a := newAPI(t, 1)
	rival := a.call("POST", "/v1/admin/customers", a.dev.AdminKey, map[string]any{
		"customer_id": "cust_rival", "name": "R", "tier": "enterprise",
	})
	require.Equal(t, 201, rival.status)
	key := a.call("POST", "/v1/admin/customers/cust_rival/keys", a.dev.AdminKey,
		map[string]any{"role": "customer"}).field("key").(string)
	one, two := a.submit(sleepBody(0)), a.submit(sleepBody(0))
	follow := a.streams("/v1/events", a.dev.CustomerKey, "")
	all := a.streams("/v1/workloads/"+one+"/events", a.dev.CustomerKey, "").rest()
	a.submit(sleepBody(0))
	ofOne, ofAll := all[0].EventID, follow.read(1)[0].EventID
	for _, c := range []struct{ path, key, id string }{
		{"/v1/workloads/" + one + "/events", a.dev.CustomerKey, ofAll},
		{"/v1/workloads/" + two + "/events", a.dev.CustomerKey, ofOne},
		{"/v1/workloads/" + one + "/events", a.dev.CustomerKey, changed(ofOne)},
		{"/v1/workloads/" + one + "/events", a.dev.CustomerKey, ofOne + "AA"},
		{"/v1/workloads/" + one + "/events", a.dev.CustomerKey, "17"},
		{"/v1/events", a.dev.CustomerKey, ofOne}, {"/v1/events", key, ofAll}, {"/v1/events", a.dev.AdminKey, ofAll},
	} {
		req := a.request("GET", c.path, c.key, nil)
		req.Header.Set("Last-Event-ID", c.id)
		a.refused(a.do(req), 400, "INVALID_INPUT", "Last-Event-ID")
	}
}

// TestLiveUpdates_WhenTheKeyEnds_EndWithin5s revokes one key of two, and suspends the customer of
// the other, which goes on.
func TestLiveUpdates_WhenTheKeyEnds_EndWithin5s(t *testing.T) {
	a := newAPI(t, 1)
	id := a.submit(map[string]any{"workload_type": "sleep", "input_params": map[string]any{},
		"run_at": time.Now().Add(time.Hour)})
	ans := a.call("POST", "/v1/admin/customers/cust_dev/keys", a.dev.AdminKey, map[string]any{"role": "viewer"})
	key := ans.field("key").(string)
	one, all := a.streams("/v1/workloads/"+id+"/events", key, ""), a.streams("/v1/events", key, "")
	stays := a.streams("/v1/workloads/"+id+"/events", a.dev.CustomerKey, "")
	one.read(1)
	stays.read(1)
	require.Equal(t, 200, a.call("POST", "/v1/admin/customers/cust_dev/suspend", a.dev.AdminKey, nil).status)
	path := "/v1/admin/customers/cust_dev/keys/" + ans.field("key_id").(string)
	require.Equal(t, 204, a.call("DELETE", path, a.dev.AdminKey, nil).status)
	watch := testfiles.StartStopwatch(t)
	require.True(t, one.ends(time.Minute))
	require.True(t, all.ends(time.Minute))
	require.Less(t, watch.Took(), 5*time.Second)
	require.Equal(t, 401, a.call("GET", "/v1/events", key, nil).status)
	require.Equal(t, 200, a.call("POST", "/v1/workloads/"+id+"/cancel", a.dev.CustomerKey, nil).status)
	require.Equal(t, "CANCELLED", stays.rest()[0].Status, "a suspended customer reads")
}

func TestLiveUpdates_WhenNothingHappens_SendComments(t *testing.T) {
	a := newAPI(t, 0, func(c *Config) { c.StreamHeartbeat = time.Second })
	id := a.submit(sleepBody(0))
	f := a.streams("/v1/workloads/"+id+"/events", a.dev.CustomerKey, "")
	f.read(1)
	watch := testfiles.StartStopwatch(t)
	for range 2 {
		line, err := f.in.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, ":\n", line, "a comment")
		_, err = f.in.ReadString('\n') // behind it
		require.NoError(t, err)
	}
	require.Less(t, watch.Took(), 10*time.Second)
}

func TestLiveUpdates_BeyondTheLimits_AreRefused(t *testing.T) {
	a := newAPI(t, 0, func(c *Config) { c.MaxStreams, c.MaxStreamsPerKey = 3, 2 })
	first := a.streams("/v1/events", a.dev.CustomerKey, "")
	a.streams("/v1/events", a.dev.CustomerKey, "")
	a.refused(a.call("GET", "/v1/events", a.dev.CustomerKey, nil), 503, "SERVICE_UNAVAILABLE", "")
	a.streams("/v1/events", a.dev.AdminKey, "")
	over := a.call("GET", "/v1/events", a.key("viewer"), nil)
	a.refused(over, 503, "SERVICE_UNAVAILABLE", "")
	require.NotEmpty(t, over.header.Get("Retry-After"))
	short := a.call("GET", "/v1/customer", a.dev.CustomerKey, nil)
	require.Equal(t, 200, short.status, "short requests have other places")
	require.NoError(t, first.resp.Body.Close())
	require.Eventually(t, func() bool {
		f := a.follow(a.dev.App.URL(), "/v1/events", a.dev.CustomerKey, "")
		return f.resp.StatusCode == 200
	}, 30*time.Second, 20*time.Millisecond, "its place is free again")
}

func TestLiveUpdates_WhenTheServerStops_EndCleanly(t *testing.T) {
	a := newAPI(t, 0)
	id := a.submit(sleepBody(0))
	one := a.streams("/v1/workloads/"+id+"/events", a.dev.CustomerKey, "")
	all := a.streams("/v1/events", a.dev.CustomerKey, "")
	one.read(1)
	stopped := make(chan error, 1)
	go func() { stopped <- a.dev.App.Close(context.Background()) }()
	require.Empty(t, one.rest())
	require.Empty(t, all.rest())
	require.NoError(t, <-stopped)
}

// TestLiveUpdates_WhenAClientDoesNotRead_AreDropped has a client take nothing of a long log.
func TestLiveUpdates_WhenAClientDoesNotRead_AreDropped(t *testing.T) {
	a := newAPI(t, 1, func(c *Config) { c.StreamHeartbeat = time.Second })
	id := a.submit(shell(
		`i=0; while [ $i -lt 9000 ]; do echo ` + strings.Repeat("x", 2000) + `; i=$((i+1)); done; sleep 60`,
	))
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(a.dev.App.URL(), "http://"))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	_, err = fmt.Fprintf(conn, "GET /v1/workloads/%s/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n",
		id, a.dev.CustomerKey)
	require.NoError(t, err)
	a.answered(conn, http.StatusOK)
	live := a.dev.App.coordinator.Live
	require.Eventually(t, func() bool { return live.Streams() == 0 }, time.Minute, 10*time.Millisecond)
}
