package niyanta_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestRetry_WhenACallIsNotRepeated_LaterOnesAskAnotherCoordinator(t *testing.T) {
	for fault, always := range map[string]act{
		"503": unavailable, "502": refuse(http.StatusBadGateway, "", "", ""), "cut before": cutBefore, "cut after": cutAfter,
	} {
		for name, call := range map[string]func(*niyanta.Client) error{"pause": pause, "onboard": onboard} {
			t.Run(name+"/"+fault, func(t *testing.T) {
				t.Parallel()
				leaving, staying := play(t, always), play(t, serve)
				c, err := niyanta.NewClient(leaving.URL+","+staying.URL, "key")
				require.NoError(t, err)
				defer c.Close()
				require.ErrorIs(t, call(c), niyanta.ErrUnavailable, "it may have been served")
				require.NoError(t, call(c))
				require.NoError(t, call(c))
				calls, _ := leaving.served()
				assert.Equal(t, 1, calls)
				calls, _ = staying.served()
				assert.Equal(t, 2, calls)
			})
		}
	}
	t.Run("a certificate that is not trusted", func(t *testing.T) {
		t.Parallel()
		strange := httptest.NewUnstartedServer(http.NotFoundHandler())
		strange.Config.ErrorLog = log.New(io.Discard, "", 0)
		strange.StartTLS()
		defer strange.Close()
		staying := play(t, serve)
		c, err := niyanta.NewClient(strange.URL+","+staying.URL, "key")
		require.NoError(t, err)
		defer c.Close()
		var e *tls.CertificateVerificationError
		require.ErrorAs(t, get(c), &e, "it is said, not passed over")
		require.NoError(t, get(c))
	})
}

func TestRetry_WhenCallersWaitLessThanATry_LeavesASilentCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		c, err := niyanta.NewClient("http://a,http://b", "key", niyanta.WithHTTPClient(&http.Client{
			Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				asked = append(asked, r.URL.Host)
				if wait, _ := time.ParseDuration(r.URL.Query().Get("wait")); wait == 0 && r.URL.Host == "b" {
					return &http.Response{StatusCode: http.StatusOK, Request: r,
						Body: io.NopCloser(strings.NewReader(`{"workload_id":"wl_1","status":"RUNNING"}`))}, nil
				}
				<-r.Context().Done()
				return nil, r.Context().Err()
			}),
		}))
		require.NoError(t, err)
		call := func(limit time.Duration, do func(ctx context.Context) error) error {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			return do(ctx)
		}
		read := func(ctx context.Context) error { _, err := c.Get(ctx, "wl_1"); return err }
		wait := func(ctx context.Context) error { _, err := c.Wait(ctx, "wl_1", time.Minute); return err }
		require.ErrorIs(t, call(3*time.Second, read), context.DeadlineExceeded)
		require.NoError(t, call(3*time.Second, read))
		require.ErrorIs(t, call(3*time.Second, wait), context.DeadlineExceeded)
		require.NoError(t, call(3*time.Second, read))
		assert.Equal(t, []string{"a", "b", "b", "b"}, asked, "who is asked to wait may be silent meanwhile")
	})
}
