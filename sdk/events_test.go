package niyanta_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// tell is a stream that tells of statuses, event ids counting from n, and is cut at its end.
func tell(n int, statuses ...string) act {
	return func(_ *script, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = io.WriteString(w, "retry: 2000\r\n\r\n: comment\n\n")
		for i, status := range statuses {
			_, _ = fmt.Fprintf(w, "id: e%[1]d\nevent: status_update\n"+
				"data: {\"type\":\"status_update\",\"event_id\":\"e%[1]d\",\n"+
				"data:\"workload_id\":\"wl_1\",\"status\":%[2]q}\n\n", n+i, status)
		}
		_, _ = io.WriteString(w, "id: torn\nevent: status_update\ndata: {\"type\":\"sta")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func nothing(_ *script, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// told returns the ids of events until the stream ends, and the error that ended it.
func told(events func(func(niyanta.Event, error) bool)) (ids []string, last error) {
	for e, err := range events {
		if last = err; err == nil {
			ids = append(ids, e.EventID)
		}
	}
	return ids, last
}

// positions returns where the requests wanted to continue.
func (s *script) positions() (at []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.calls {
		at = append(at, r.Header.Get("Last-Event-ID"))
	}
	return at
}

func TestWatch_WhenTheConnectionBreaks_GoesOnWhereItWas(t *testing.T) {
	s := play(t, unavailable, tell(1, "PENDING", "RUNNING"), cutBefore, tell(3), tell(3, "RUNNING", "COMPLETED"), missing)
	ids, err := told(s.client(t).Watch(t.Context(), "wl_1"))
	require.NoError(t, err)
	assert.Equal(t, []string{"e1", "e2", "e3", "e4"}, ids)
	assert.Equal(t, []string{"", "", "e2", "e2", "e2"}, s.positions(), "what is torn is read again")
}

func TestWatch_WhenItsCoordinatorDies_GoesOnWithAnother(t *testing.T) {
	dying := play(t, tell(1, "PENDING", "RUNNING"), unavailable)
	living := play(t, tell(3, "FAILED"))
	c, err := niyanta.NewClient(dying.URL+","+living.URL, "key")
	require.NoError(t, err)
	defer c.Close()
	ids, err := told(c.Watch(t.Context(), "wl_1"))
	require.NoError(t, err)
	assert.Equal(t, []string{"e1", "e2", "e3"}, ids)
	assert.Equal(t, []string{"e2"}, living.positions())
}

func TestWatch_EndsWithTheWorkload(t *testing.T) {
	for name, x := range map[string]struct {
		acts []act
		want []string
	}{
		"cancelled":                  {[]act{tell(1, "CANCELLED", "never told"), missing}, []string{"e1"}},
		"over before it reads again": {[]act{tell(1, "RUNNING"), nothing}, []string{"e1"}},
	} {
		t.Run(name, func(t *testing.T) {
			ids, err := told(play(t, x.acts...).client(t).Watch(t.Context(), "wl_1"))
			require.NoError(t, err)
			assert.Equal(t, x.want, ids)
		})
	}
}

func TestWatch_WhenTheKeyIsRevoked_EndsWithTheError(t *testing.T) {
	s := play(t, tell(1, "RUNNING"), refuse(http.StatusUnauthorized, "UNAUTHORIZED", "", ""))
	ids, err := told(s.client(t).Watch(t.Context(), "wl_1"))
	require.ErrorIs(t, err, niyanta.ErrUnauthorized)
	assert.Equal(t, []string{"e1"}, ids)
}

func TestStream_GoesOnUntilItsContextEnds(t *testing.T) {
	s := play(t, tell(1, "COMPLETED", "RUNNING"), tell(3, "CANCELLED", "FAILED"), unavailable)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ids []string
	for e, err := range s.client(t).Stream(ctx, "e0") {
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
			break
		}
		if ids = append(ids, e.EventID); len(ids) == 4 {
			cancel()
		}
	}
	assert.Equal(t, []string{"e1", "e2", "e3", "e4"}, ids)
	assert.Equal(t, []string{"e0", "e2"}, s.positions()[:2])
}

func TestWatch_WhenTheLoopEnds_ClosesTheConnection(t *testing.T) {
	closed := make(chan struct{})
	s := play(t, func(_ *script, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\"type\":\"status_update\",\"event_id\":\"e1\",\"workload_id\":\"wl_1\"}\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		close(closed)
	})
	for _, err := range s.client(t).Watch(t.Context(), "wl_1") {
		require.NoError(t, err)
		break
	}
	select {
	case <-closed:
	case <-time.After(time.Minute):
		assert.Fail(t, "the server still holds the connection")
	}
}

func TestWatch_WhenTheConnectionIsSilent_UsesAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var opened []time.Time
		c, err := niyanta.NewClient("http://a", "key", niyanta.WithHTTPClient(&http.Client{
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				opened = append(opened, time.Now())
				read, write := io.Pipe()
				go func() {
					for range 4 { // comments come
						_, _ = io.WriteString(write, ": still here\n\n")
						time.Sleep(15 * time.Second)
					}
					if len(opened) == 2 {
						_, _ = io.WriteString(write, "data: {\"event_id\":\"e\",\"status\":\"COMPLETED\"}\n\n")
					}
					<-r.Context().Done()
					_ = write.CloseWithError(r.Context().Err())
				}()
				return &http.Response{StatusCode: http.StatusOK, Body: read,
					Header: http.Header{"Content-Type": {"text/event-stream"}}}, nil
			}),
		}))
		require.NoError(t, err)
		_, err = told(c.Watch(t.Context(), "wl_1"))
		require.NoError(t, err)
		require.Len(t, opened, 2)
		took := opened[1].Sub(opened[0])
		assert.GreaterOrEqual(t, took, 80*time.Second, "while comments come, it is not silent")
		assert.LessOrEqual(t, took, 90*time.Second)
	})
}

func TestWatch_WhenAnEventIsNotJSON_EndsWithAnError(t *testing.T) {
	s := play(t, func(_ *script, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "data: {\n\n")
	})
	_, err := told(s.client(t).Watch(t.Context(), "wl_1"))
	require.ErrorContains(t, err, "not JSON")
	calls, _ := s.served()
	assert.Equal(t, 1, calls)
}

func TestWatch_OfARun_TellsAllOfIt(t *testing.T) {
	ctx := t.Context()
	c, stop := exampleFleet(ctx)
	defer stop()
	run, err := Count.Submit(ctx, c, CountIn{N: 3})
	require.NoError(t, err)
	var types []string
	var last niyanta.Event
	for e, err := range c.Watch(ctx, run.ID) {
		require.NoError(t, err)
		if e.EventType != nil {
			types = append(types, *e.EventType)
		}
		last = e
	}
	assert.Equal(t, niyanta.EventCompleted, last.Type)
	assert.NotEmpty(t, last.ResultData)
	require.NotEmpty(t, types)
	assert.Equal(t, "workload.created", types[0])
	assert.True(t, slices.Contains(types, "workload.started"))
}
