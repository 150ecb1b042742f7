package bootstrap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/netfault"
	"github.com/niyanta/niyanta/contracttests/servers"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// persistent follows a path like a client that connects again, at one coordinator after the other,
// with the id of the last event that it has seen.
func persistent(ctx context.Context, key, path string, urls []string, seen func(liveEvent) (done bool)) error {
	last := ""
	for try := 0; ctx.Err() == nil; try++ {
		done, err := func() (bool, error) {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, urls[try%len(urls)]+path, nil)
			if err != nil {
				return false, err
			}
			req.Header.Set("Authorization", "Bearer "+key)
			if last != "" {
				req.Header.Set("Last-Event-ID", last)
			}
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := client.Do(req)
			if err != nil {
				return false, nil // the coordinator has gone: the next one
			}
			defer func() { _ = resp.Body.Close() }()
			switch resp.StatusCode {
			case http.StatusOK:
			case http.StatusNoContent:
				return true, nil
			default:
				return false, fmt.Errorf("%s answers %d", path, resp.StatusCode)
			}
			f := newFollower(nil, resp)
			for {
				e, err := f.next()
				if err != nil {
					return false, nil // cut off, or ended
				}
				last = e.EventID
				if seen(e) {
					return true, nil
				}
			}
		}()
		if done || err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return errors.Join(ctx.Err(), io.ErrUnexpectedEOF)
}

// newCustomer returns a client of a new customer, and its key.
func newCustomer(t *testing.T, at *App) (*niyanta.Client, string) {
	t.Helper()
	admin, err := niyanta.NewClient(at.URL(), testAdminKey)
	require.NoError(t, err)
	defer admin.Close()
	customer, err := admin.CreateCustomer(t.Context(), niyanta.CustomerInput{Name: "Test", Tier: "enterprise"})
	require.NoError(t, err)
	key, err := admin.CreateKey(t.Context(), customer.CustomerID, niyanta.KeyInput{Role: "customer"})
	require.NoError(t, err)
	client, err := niyanta.NewClient(at.URL(), key.Key)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client, key.Key
}

// join starts a worker that uses a coordinator over HTTP.
func join(t *testing.T, at *App) {
	t.Helper()
	cfg, err := Load([]string{"NIYANTA_WORKER_ID=w", "NIYANTA_WORKER_SLOTS=20", "NIYANTA_COORDINATOR_URL=" + at.URL(),
		"NIYANTA_WORKER_HTTP_ADDR="})
	require.NoError(t, err)
	cfg.WorkerKeys = []string{testWorkerKey}
	w, err := NewWorker(context.Background(), cfg, "test", silent)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
}

// twoCoordinators starts two coordinators on one database.
func twoCoordinators(t *testing.T, url string) (first, second *App) {
	t.Helper()
	start := func() *App {
		cfg, err := Load([]string{
			"NIYANTA_HTTP_ADDR=127.0.0.1:0", "NIYANTA_STORE=postgres", "NIYANTA_POSTGRES_URL=" + url,
		})
		require.NoError(t, err)
		cfg.AdminKey, cfg.WorkerKeys = testAdminKey, []string{testWorkerKey}
		app, err := NewCoordinator(t.Context(), cfg, silent)
		require.NoError(t, err)
		require.NoError(t, app.Start(t.Context()))
		t.Cleanup(func() { require.NoError(t, app.Close(context.Background())) })
		return app
	}
	return start(), start()
}

// TestLiveUpdates_WhenACoordinatorVanishes_GoOnWithAnother has clients follow workloads at the
// first of two coordinators on one database. In the middle all connections to it are cut and no new
// ones are accepted, as when its process is killed. Everybody goes on with the other.
func TestLiveUpdates_WhenACoordinatorVanishes_GoOnWithAnother(t *testing.T) {
	cluster := servers.SharedPostgres(t, preparePostgres)
	first, second := twoCoordinators(t, cluster.SocketURL(cluster.Database(t)))
	cut := netfault.NewProxy(t, portOf(t, first.URL()))
	urls := []string{fmt.Sprintf("http://127.0.0.1:%d", cut.Port), second.URL()}
	client, key := newCustomer(t, second)

	const workloads = 12
	ids := make([]string, workloads)
	for i, s := range sleepers(workloads, 4000, 40) {
		a, err := client.Submit(t.Context(), s, "")
		require.NoError(t, err)
		ids[i] = a.WorkloadID
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	told, errs := map[string][]string{}, make([]error, workloads+1)
	half := make(chan struct{})
	var once sync.Once
	for i, id := range ids {
		wg.Go(func() {
			errs[i] = persistent(ctx, key, "/v1/workloads/"+id+"/events", urls, func(e liveEvent) bool {
				mu.Lock()
				defer mu.Unlock()
				told[id] = append(told[id], fmt.Sprintf("%s %g", e.EventType, e.ProgressPercent))
				if e.ProgressPercent >= 50 {
					once.Do(func() { close(half) })
				}
				return e.Type == "completed"
			})
		})
	}
	finished := 0
	wg.Go(func() {
		errs[workloads] = persistent(ctx, key, "/v1/events", urls, func(e liveEvent) bool {
			mu.Lock()
			defer mu.Unlock()
			told[""] = append(told[""], e.EventID)
			if e.Type == "completed" {
				finished++
			}
			return finished == workloads
		})
	})
	// Nothing runs before all follow, as a stream of a customer tells what happens from then on.
	require.Eventually(t, func() bool { return first.coordinator.Live.Streams() == workloads+1 }, 30*time.Second,
		time.Millisecond)
	join(t, second)
	select {
	case <-half:
	case <-ctx.Done():
	}
	cut.Down()
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	seen := map[string]bool{}
	for _, id := range told[""] {
		require.False(t, seen[id], "an event was told twice")
		seen[id] = true
	}
	for _, id := range ids {
		var audited []string
		for e, err := range client.Audit(t.Context(), id) {
			require.NoError(t, err)
			audited = append(audited, e.EventType)
		}
		require.Len(t, told[id], len(audited), "nothing is lost or repeated")
		for i := range audited {
			require.Contains(t, told[id][i], audited[i])
		}
	}
}
