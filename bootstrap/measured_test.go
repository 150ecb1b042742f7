//go:build noisy || streams

package bootstrap

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// submitted holds the results of the submissions of one customer.
type submitted struct {
	took    []time.Duration // of those that were accepted, sorted
	refused int             // by the rate limit
}

// at returns a percentile.
func (s submitted) at(percent int) time.Duration {
	if len(s.took) == 0 {
		return 0
	}
	return s.took[min(len(s.took)*percent/100, len(s.took)-1)].Round(time.Microsecond)
}

// submitFor submits at a steady rate. Each submission begins when it is due, even if earlier ones
// are not answered yet.
func submitFor(t *testing.T, d *Dev, key string, perSecond float64, length time.Duration) submitted {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	body := fmt.Sprintf(`{"workload_type":"sleep","input_params":{},"run_at":%q}`,
		time.Now().Add(time.Hour).Format(time.RFC3339))
	one := func() (status int, took time.Duration, err error) {
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost,
			d.App.URL()+"/v1/workloads", strings.NewReader(body))
		if err != nil {
			return 0, 0, err
		}
		req.Header.Set("Authorization", "Bearer "+key)
		req.Header.Set("Content-Type", "application/json")
		begun := time.Now()
		resp, err := client.Do(req)
		if err != nil {
			return 0, 0, err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		took = time.Since(begun)
		_ = resp.Body.Close()
		return resp.StatusCode, took, err
	}
	var mu sync.Mutex
	var out submitted
	var wg sync.WaitGroup
	begun := time.Now()
	for n := range int(perSecond * length.Seconds()) {
		// A ticker would leave out what is due while the machine is busy.
		time.Sleep(time.Until(begun.Add(time.Duration(float64(n) / perSecond * float64(time.Second)))))
		wg.Go(func() {
			status, took, err := one()
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				t.Error(err)
			case status == http.StatusTooManyRequests:
				out.refused++
			case status == http.StatusAccepted:
				out.took = append(out.took, took)
			default:
				t.Errorf("unexpected status %d", status)
			}
		})
	}
	wg.Wait()
	slices.Sort(out.took)
	require.NotEmpty(t, out.took)
	return out
}
