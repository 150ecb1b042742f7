package niyanta_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// act is what a scripted server does with one request. acted counts what it did.
type act func(s *script, w http.ResponseWriter, r *http.Request)

// script is a server that does one act for each request, and the last one for all further ones.
type script struct {
	*httptest.Server

	mu    sync.Mutex
	acts  []act
	calls []*http.Request
	acted int
}

func play(t *testing.T, acts ...act) *script {
	t.Helper()
	s := &script{acts: acts}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s.mu.Lock()
		s.calls = append(s.calls, r)
		next := s.acts[0]
		if len(s.acts) > 1 {
			s.acts = s.acts[1:]
		}
		s.mu.Unlock()
		next(s, w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *script) client(t *testing.T, opts ...niyanta.ClientOption) *niyanta.Client {
	t.Helper()
	c, err := niyanta.NewClient(s.URL, "key", opts...)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// keys returns the idempotency keys of the requests.
func (s *script) keys() (keys []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.calls {
		keys = append(keys, r.Header.Get("Idempotency-Key"))
	}
	return keys
}

func (s *script) served() (calls, acted int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls), s.acted
}

// serve does what was asked, and answers.
func serve(s *script, w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.acted++
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"workload_id":"wl_1","status":"PENDING"}`)
}

// cutBefore closes the connection before anything is done, cutAfter after it.
func cutBefore(*script, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
func cutAfter(s *script, _ http.ResponseWriter, r *http.Request) {
	serve(s, httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// cutWithin closes the connection within the answer.
func cutWithin(s *script, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "1000")
	serve(s, w, r)
	panic(http.ErrAbortHandler)
}

// refuse answers with an error. after is the Retry-After header.
func refuse(status int, code, after, details string) act {
	return func(_ *script, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error":{"code":%q,"message":"no","details":{%s},"request_id":"r1"}}`, code, details)
	}
}

var (
	tooMany     = refuse(http.StatusTooManyRequests, "RATE_LIMITED", "1", "")
	unavailable = refuse(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE", "0", "")
	full        = refuse(http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE", "1", `"queue_depth":5,"max_queue_depth":5`)
	missing     = refuse(http.StatusNotFound, "NOT_FOUND", "", "")
)

// The calls that tests make.
var (
	get        = func(c *niyanta.Client) error { _, err := c.Get(context.Background(), "wl_1"); return err }
	submitNoop = func(c *niyanta.Client) error {
		_, err := c.Submit(context.Background(), niyanta.Submission{WorkloadType: "noop"}, "")
		return err
	}
	pause   = func(c *niyanta.Client) error { _, err := c.Pause(context.Background(), "wl_1", ""); return err }
	onboard = func(c *niyanta.Client) error {
		_, err := c.CreateCustomer(context.Background(), niyanta.CustomerInput{Name: "A"})
		return err
	}
)

func TestRetry_WhatIsSafe_IsRepeatedUntilItIsServed(t *testing.T) {
	for name, call := range map[string]func(*niyanta.Client) error{"get": get, "submit": submitNoop} {
		for fault, first := range map[string]act{
			"cut before": cutBefore, "cut after": cutAfter, "cut within": cutWithin, "503": unavailable,
			"502": refuse(http.StatusBadGateway, "", "", ""),
		} {
			t.Run(name+"/"+fault, func(t *testing.T) {
				t.Parallel()
				s := play(t, first, first, serve)
				require.NoError(t, call(s.client(t)))
				keys := s.keys()
				require.Len(t, keys, 3)
				if name != "get" {
					assert.NotEmpty(t, keys[0])
				}
				assert.Len(t, slices.Compact(keys), 1, "each try has the same key")
			})
		}
	}
}

func TestRetry_WhatIsNotSafe_IsNeverRepeated(t *testing.T) {
	for name, call := range map[string]func(*niyanta.Client) error{"pause": pause, "onboard": onboard} {
		for fault, first := range map[string]act{
			"cut before": cutBefore, "cut after": cutAfter, "cut within": cutWithin, "503": unavailable,
		} {
			t.Run(name+"/"+fault, func(t *testing.T) {
				t.Parallel()
				s := play(t, first, serve)
				require.ErrorIs(t, call(s.client(t)), niyanta.ErrUnavailable)
				calls, acted := s.served()
				assert.Equal(t, 1, calls)
				assert.LessOrEqual(t, acted, 1)
			})
		}
	}
}

func TestRetry_WhatWasNotServed_IsRepeatedWhateverItIs(t *testing.T) {
	for fault, first := range map[string]act{"429": tooMany, "the queue is full": full} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			s := play(t, first, serve)
			begin := time.Now()
			require.NoError(t, pause(s.client(t)))
			assert.GreaterOrEqual(t, time.Since(begin), time.Second, "Retry-After")
			calls, acted := s.served()
			assert.Equal(t, 2, calls)
			assert.Equal(t, 1, acted)
		})
	}
	t.Run("nobody listened", func(t *testing.T) {
		t.Parallel()
		later := play(t, serve)
		addr := later.Listener.Addr().String()
		c, err := niyanta.NewClient("http://"+testfiles.DeadAddress(t)+",http://"+addr, "key")
		require.NoError(t, err)
		defer c.Close()
		begin := testfiles.StartStopwatch(t)
		require.NoError(t, pause(c))
		assert.Less(t, begin.Took(), time.Second, "another coordinator is asked at once")
		require.NoError(t, pause(c))
		calls, _ := later.served()
		assert.Equal(t, 2, calls)
	})
}

func TestRetry_WhenTheAnswerIsFinal_DoesNotRepeat(t *testing.T) {
	s := play(t, missing)
	require.ErrorIs(t, get(s.client(t)), niyanta.ErrNotFound)
	calls, _ := s.served()
	assert.Equal(t, 1, calls)
}

func TestSubmit_MakesAKeyForEachCall_UnlessGivenOne(t *testing.T) {
	s := play(t, serve)
	c := s.client(t)
	require.NoError(t, submitNoop(c))
	require.NoError(t, submitNoop(c))
	_, err := c.Submit(t.Context(), niyanta.Submission{}, "mine")
	require.NoError(t, err)
	keys := s.keys()
	assert.Equal(t, []string{"mine"}, keys[2:])
	slices.Sort(keys)
	assert.Len(t, slices.Compact(keys), 3)
	assert.NotContains(t, keys, "")
}

func TestRetry_WhenACoordinatorLeaves_StaysWithTheOneThatAnswers(t *testing.T) {
	leaving, staying := play(t, serve, unavailable), play(t, serve)
	c, err := niyanta.NewClient(leaving.URL+" , "+staying.URL+"/", "key")
	require.NoError(t, err)
	defer c.Close()
	begin := testfiles.StartStopwatch(t)
	for range 5 {
		require.NoError(t, submitNoop(c))
	}
	assert.Less(t, begin.Took(), time.Second)
	calls, _ := leaving.served()
	assert.Equal(t, 2, calls, "one that it served, one that it did not")
	calls, _ = staying.served()
	assert.Equal(t, 4, calls)
}

// wire is a transport in virtual time. Its error, if any, comes before a connection is made.
type wire func(try int, r *http.Request) (status int, after string, err error)

func (f wire) client(t *testing.T, opts ...niyanta.ClientOption) (c *niyanta.Client, tries *int) {
	t.Helper()
	tries = new(int)
	c, err := niyanta.NewClient("http://a", "key", append(opts, niyanta.WithHTTPClient(&http.Client{
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			*tries++
			status, after, err := f(*tries, r)
			if err != nil {
				return nil, err
			}
			body := `{"error":{"code":"SERVICE_UNAVAILABLE","message":"no","details":{},"request_id":""}}`
			if status == http.StatusOK {
				body = `{"workload_id":"wl_1","status":"RUNNING"}`
			}
			return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {after}},
				Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
		}),
	}))...)
	require.NoError(t, err)
	return c, tries
}

type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestRetryFor_BoundsTheTries(t *testing.T) {
	refused := wire(func(int, *http.Request) (int, string, error) { return 0, "", syscall.ECONNREFUSED })
	asking := func(after string) wire {
		return func(int, *http.Request) (int, string, error) { return http.StatusServiceUnavailable, after, nil }
	}
	for _, c := range []struct {
		name        string
		wire        wire
		opts        []niyanta.ClientOption
		least, most time.Duration
		tries       [2]int
	}{
		{"30 s by default", refused, nil, 26 * time.Second, 30 * time.Second, [2]int{15, 40}},
		{"one try", refused, []niyanta.ClientOption{niyanta.RetryFor(0)}, 0, 0, [2]int{1, 1}},
		{"for a time", refused, []niyanta.ClientOption{niyanta.RetryFor(time.Second)}, 200 * time.Millisecond, time.Second,
			[2]int{3, 8}},
		{"as the answers ask", asking("10"), nil, 20 * time.Second, 30 * time.Second, [2]int{3, 3}},
		{"not when the answer asks for more", asking("31"), nil, 0, 0, [2]int{1, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl, tries := c.wire.client(t, c.opts...)
				begin := time.Now()
				require.ErrorIs(t, get(cl), niyanta.ErrUnavailable)
				assert.GreaterOrEqual(t, time.Since(begin), c.least)
				assert.LessOrEqual(t, time.Since(begin), c.most)
				assert.GreaterOrEqual(t, *tries, c.tries[0])
				assert.LessOrEqual(t, *tries, c.tries[1])
			})
		})
	}
}

func TestRetry_WhenTheContextEnds_SaysWhatTheLastTryMet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := wire(func(int, *http.Request) (int, string, error) { return 0, "", syscall.ECONNREFUSED }).client(t)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := c.Get(ctx, "wl_1")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, niyanta.ErrUnavailable)
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		assert.Equal(t, 3*time.Second, time.Since(begin))
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = c.Get(cancelled, "wl_1")
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestRetry_WhenACoordinatorIsSilent_WaitsLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var took []time.Duration
		c, _ := wire(func(_ int, r *http.Request) (int, string, error) {
			begin := time.Now()
			<-r.Context().Done()
			took = append(took, time.Since(begin))
			if len(took) == 6 {
				return http.StatusOK, "", nil
			}
			return 0, "", r.Context().Err()
		}).client(t, niyanta.RetryFor(niyanta.Forever))
		require.NoError(t, get(c))
		s := time.Second
		assert.Equal(t, []time.Duration{5 * s, 10 * s, 20 * s, 40 * s, 60 * s, 60 * s}, took)
	})
}

func TestOnConnection_TellsEachChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		c, _ := wire(func(try int, _ *http.Request) (int, string, error) {
			if try%5 != 0 {
				return 0, "", syscall.ECONNREFUSED
			}
			return http.StatusOK, "", nil
		}).client(t, niyanta.OnConnection(func(url string, err error) {
			told = append(told, fmt.Sprint(url, " ", errors.Is(err, syscall.ECONNREFUSED)))
		}))
		require.NoError(t, get(c))
		require.NoError(t, get(c))
		assert.Equal(t, []string{"http://a true", "http://a false", "http://a true", "http://a false"}, told)
	})
}

func TestWait_LastsAsLongAsItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		c, _ := wire(func(_ int, r *http.Request) (int, string, error) {
			if !up.Load() {
				return 0, "", syscall.ECONNREFUSED
			}
			wait, err := time.ParseDuration(r.URL.Query().Get("wait"))
			assert.NoError(t, err) //nolint:testifylint // in a handler
			assert.LessOrEqual(t, wait, time.Minute, "as the API allows")
			time.Sleep(wait)
			return http.StatusOK, "", nil
		}).client(t)
		time.AfterFunc(10*time.Minute, func() { up.Store(true) })
		begin := time.Now()
		w, err := c.Wait(t.Context(), "wl_1", time.Hour)
		require.NoError(t, err)
		assert.Equal(t, niyanta.StatusRunning, w.Status)
		assert.InDelta(t, time.Hour, time.Since(begin), float64(time.Millisecond),
			"a coordinator that was disconnected for a while included")
	})
}

// A balancer that sends http to https answers 301 or 302. Who follows it makes a GET of a POST, and would
// take the list of workloads for the workload that was submitted.
func TestClient_WhenSomethingRedirects_FollowsNothingAndSaysWhereItLeads(t *testing.T) {
	elsewhere := play(t, func(_ *script, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"workloads":[],"workload_id":"wl_elsewhere","status":"RUNNING"}`)
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := play(t, func(_ *script, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		})
		for name, c := range map[string]*niyanta.Client{
			"plain": s.client(t), "own": s.client(t, niyanta.WithHTTPClient(&http.Client{})),
			"later": s.client(t).With(niyanta.WithHTTPClient(&http.Client{})),
		} {
			_, err := c.Submit(t.Context(), niyanta.Submission{WorkloadType: "sleep"}, "")
			require.ErrorIs(t, err, niyanta.ErrUnavailable, "%d %s", status, name)
			require.ErrorContains(t, err, elsewhere.URL)
			_, err = c.Get(t.Context(), "wl_1")
			require.ErrorIs(t, err, niyanta.ErrUnavailable, "%d %s", status, name)
		}
	}
	require.Empty(t, elsewhere.calls, "the key and the input stay here")
	s := play(t, func(_ *script, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusFound)
	})
	chosen := s.client(t, niyanta.WithHTTPClient(&http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return nil },
	}))
	_, err := chosen.Get(t.Context(), "wl_1")
	require.NoError(t, err, "who wants it says so")
}
