package bootstrap

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/dear"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/contracttests/testfiles"
	niyanta "github.com/niyanta/niyanta/sdk"
)

const stormReaders = 24

// stormSize returns how many workloads the reader has, and how many another customer submits during
// the storm.
func stormSize(t *testing.T) (rows, submissions int) {
	t.Helper()
	if dear.Whole() {
		return 60_000, 80
	}
	dear.Left(t, "a quarter of the rows, half of the submissions")
	return 15_000, 40
}

// unlimited makes a customer without limits, or lifts the limits of an existing one. It returns a
// key of the customer.
func unlimited(t *testing.T, d *Dev, id string) string {
	t.Helper()
	admin, err := niyanta.NewClient(d.App.URL(), d.AdminKey)
	require.NoError(t, err)
	defer admin.Close()
	if _, err := admin.GetCustomer(t.Context(), id); err != nil {
		_, err = admin.CreateCustomer(t.Context(), niyanta.CustomerInput{CustomerID: &id, Name: "C",
			Tier: "enterprise"})
		require.NoError(t, err)
	}
	_, err = admin.UpdateCustomer(t.Context(), id, niyanta.CustomerPatch{Limits: &niyanta.LimitsPatch{
		RateLimitPerSec: niyanta.To(1e6), Burst: niyanta.To(1_000_000),
		MaxQueueDepth: niyanta.To(10_000_000), MaxConcurrentWorkloads: niyanta.To(1000),
	}})
	require.NoError(t, err)
	k, err := admin.CreateKey(t.Context(), id, niyanta.KeyInput{Role: "customer"})
	require.NoError(t, err)
	return k.Key
}

func TestReads_WhenOneCustomerStormsTheAPI_OthersSubmitAndNoLeaseIsMissed(t *testing.T) {
	rows, submissions := stormSize(t)
	t.Run("memory", func(t *testing.T) {
		d, _ := startDev(t, 2)
		reader := unlimited(t, d, "cust_reader")
		c, err := niyanta.NewClient(d.App.URL(), reader)
		require.NoError(t, err)
		defer c.Close()
		batch := make([]niyanta.BatchSubmission, 1000)
		for i := range batch {
			at := time.Now().Add(time.Hour)
			batch[i].Submission = niyanta.Submission{WorkloadType: "sleep", InputParams: []byte(`{"duration_ms":0}`), RunAt: &at}
		}
		for range rows / len(batch) {
			_, err := c.SubmitBatch(t.Context(), batch, "")
			require.NoError(t, err)
		}
		storm(t, d, reader, rows, submissions)
	})
	t.Run("postgres", func(t *testing.T) {
		d, cluster := onPostgres(t, 2)
		reader := unlimited(t, d, "cust_reader")
		seedFinished(t, cluster, "cust_reader", rows)
		storm(t, d, reader, rows, submissions)
	})
}

// seedFinished inserts the rows of finished workloads of a customer.
func seedFinished(t *testing.T, c *servers.Postgres, customer string, n int) {
	t.Helper()
	c.Exec(t, "postgres", fmt.Sprintf(`INSERT INTO workloads (workload_id, customer_id, lane_id, workload_type,
    config_id, priority, max_retries, timeout_us,
  created_at, queue_at, status, generation, finished_at, updated_at)
 SELECT 'wl_done_' || lpad(g::text, 9, '0'), '%s', '%[1]s/sleep@10', 'sleep', '', 10, 3, 3600000000,
    now() - g * interval '1 s', now(), 'COMPLETED', 1, now(), now()
 FROM generate_series(1, %d) g`, customer, n),
		`INSERT INTO workload_specs SELECT workload_id, '{}', NULL, NULL, '', 1, 512, 1024, 300000000, NULL
    FROM workloads WHERE workload_id LIKE 'wl\_done\_%'`,
		"ANALYZE")
}

// storm lets one customer read deep pages as fast as it can while another one works. It compares
// the other one's times with those before the storm.
func storm(t *testing.T, d *Dev, reader string, rows, submissions int) {
	t.Helper()
	innocent, err := niyanta.NewClient(d.App.URL(), unlimited(t, d, string(DevCustomer)))
	require.NoError(t, err)
	defer innocent.Close()
	before := submitTimes(t, innocent, 20)

	reading, stop := context.WithCancel(t.Context())
	defer stop()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: stormReaders}}
	defer client.CloseIdleConnections()
	var wg sync.WaitGroup
	for range stormReaders {
		wg.Go(func() {
			for reading.Err() == nil {
				url := fmt.Sprintf("%s/v1/workloads?limit=100&offset=%d", d.App.URL(), rows*9/10)
				req, err := http.NewRequestWithContext(reading, http.MethodGet, url, nil)
				if err != nil {
					t.Error(err)
					return
				}
				req.Header.Set("Authorization", "Bearer "+reader)
				if res, err := client.Do(req); err == nil {
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
				}
			}
		})
	}
	during := submitTimes(t, innocent, submissions)
	stop()
	wg.Wait()
	t.Logf("submit of another customer, p95: %v alone, %v while %d clients read", before, during, stormReaders)
	assert.Less(t, during, time.Second, "a submission must not wait behind another customer's reads")

	workers, err := d.App.coordinator.Plane.ListWorkers(t.Context())
	require.NoError(t, err)
	for _, w := range workers {
		events, err := d.App.backends.Audit.Worker(t.Context(), w.ID, 0, 100)
		require.NoError(t, err)
		assert.Len(t, events, 1, "%s registered once and never missed its lease: %v", w.ID, events)
	}
}

// submitTimes submits n workloads one after the other, waits until each is done, and returns the
// 95th percentile of the submissions.
func submitTimes(t *testing.T, c *niyanta.Client, n int) time.Duration {
	t.Helper()
	took, watch := make([]time.Duration, n), testfiles.StartStopwatch(t)
	for i := range took {
		begun := watch.Took()
		a, err := c.Submit(t.Context(), sleepers(1, 0, 1)[0], "")
		require.NoError(t, err)
		took[i] = watch.Took() - begun
		w, err := c.Wait(t.Context(), a.WorkloadID, 20*time.Second)
		require.NoError(t, err)
		require.Equal(t, niyanta.Status("COMPLETED"), w.Status)
	}
	slices.Sort(took)
	return took[n*95/100]
}

func TestRequests_WhenOneCustomerIsAtItsLimit_OthersAndHealthAreServed(t *testing.T) {
	d, dev := startDev(t, 1)
	greedy := unlimited(t, d, "cust_greedy")
	c, err := niyanta.NewClient(d.App.URL(), greedy)
	require.NoError(t, err)
	defer c.Close()
	at := time.Now().Add(time.Hour)
	waiting, err := c.Submit(t.Context(), niyanta.Submission{WorkloadType: "sleep",
		InputParams: []byte(`{"duration_ms":0}`), RunAt: &at}, "")
	require.NoError(t, err)

	polling, stop := context.WithCancel(t.Context())
	transport := &http.Transport{}
	client := &http.Client{Transport: transport}
	get := func(ctx context.Context, path string) int {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.App.URL()+path, nil)
		if err != nil {
			return 0
		}
		req.Header.Set("Authorization", "Bearer "+greedy)
		res, err := client.Do(req)
		if err != nil {
			return 0
		}
		_ = res.Body.Close()
		return res.StatusCode
	}
	var wg sync.WaitGroup
	defer func() { stop(); wg.Wait(); transport.CloseIdleConnections() }()
	for range 700 {
		wg.Go(func() {
			// A refused request is sent again, so that all places are taken in the end.
			for get(polling, "/v1/workloads/"+waiting.WorkloadID+"?wait=60s") == http.StatusServiceUnavailable {
				select {
				case <-time.After(100 * time.Millisecond):
				case <-polling.Done():
				}
			}
		})
	}
	require.Eventually(t, func() bool {
		return get(t.Context(), "/v1/workloads/"+waiting.WorkloadID+"?wait=1s") == http.StatusServiceUnavailable
	}, 30*time.Second, 10*time.Millisecond)
	assert.Equal(t, http.StatusOK, get(t.Context(), "/v1/customer"), "its own short requests")
	_, err = dev.Customer(t.Context())
	require.NoError(t, err, "another customer")
	assert.Equal(t, http.StatusOK, get(t.Context(), "/health"))
}
