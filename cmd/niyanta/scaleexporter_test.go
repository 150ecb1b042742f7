package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// cloud is an Auto Scaling group with its metrics, as far as an exporter sees it.
type cloud struct {
	t  *testing.T
	mu sync.Mutex
	// state and protected are those of each machine.
	state     map[string]string
	protected map[string]bool
	calls     []string
	published int
	expired   bool // the credentials
}

func (c *cloud) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	assert.NoError(c.t, err)
	c.mu.Lock()
	defer c.mu.Unlock()
	refuse := func(code, message string) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, "<ErrorResponse><Error><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>", code,
			message)
	}
	if strings.HasSuffix(r.URL.Path, "PutMetricData") {
		c.published++
		w.Header().Set("Content-Type", "application/cbor")
		w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
		_, _ = io.WriteString(w, "\xbf\xff")
		return
	}
	q, err := url.ParseQuery(string(body))
	assert.NoError(c.t, err)
	action, id := q.Get("Action"), q.Get("InstanceId")
	switch {
	case c.expired:
		refuse("ExpiredToken", "The security token included in the request is expired")
		return
	case q.Get("AutoScalingGroupName") != "workers" && action != "DescribeAutoScalingGroups":
		refuse("ValidationError", "AutoScalingGroup name not found")
		return
	}
	switch action {
	case "DescribeAutoScalingGroups":
		_, _ = io.WriteString(w, "<DescribeAutoScalingGroupsResponse><DescribeAutoScalingGroupsResult><AutoScalingGroups>"+
			"<member><AutoScalingGroupName>workers</AutoScalingGroupName><Instances>")
		for id, state := range c.state {
			_, _ = fmt.Fprintf(w, "<member><InstanceId>%s</InstanceId><LifecycleState>%s</LifecycleState>"+
				"<ProtectedFromScaleIn>%t</ProtectedFromScaleIn></member>", id, state, c.protected[id])
		}
		_, _ = io.WriteString(w, "</Instances></member></AutoScalingGroups></DescribeAutoScalingGroupsResult>"+
			"</DescribeAutoScalingGroupsResponse>")
		return
	case "SetInstanceProtection":
		for i := 1; q.Has(fmt.Sprint("InstanceIds.member.", i)); i++ {
			id := q.Get(fmt.Sprint("InstanceIds.member.", i))
			c.protected[id] = q.Get("ProtectedFromScaleIn") == "true"
			c.calls = append(c.calls, fmt.Sprintf("protect %s %t", id, c.protected[id]))
		}
	case "RecordLifecycleActionHeartbeat":
		c.calls = append(c.calls, "hold "+id)
	case "CompleteLifecycleAction":
		if c.state[id] != "Terminating:Wait" {
			refuse("ValidationError", "No active Lifecycle Action found with instance ID "+id)
			return
		}
		c.state[id] = "Terminating:Proceed"
		c.calls = append(c.calls, "release "+id+" "+q.Get("LifecycleActionResult"))
	default:
		assert.Fail(c.t, "an exporter needs no right for", "%s", action)
	}
	_, _ = fmt.Fprintf(w, "<%[1]sResponse><%[1]sResult/></%[1]sResponse>", action)
}

func (c *cloud) has(call string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.calls, call)
}

func (c *cloud) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// TestScaleExporter_OfTwoProcesses_ProtectsWorkAndLetsDrainedMachinesGo runs two exporters beside real
// workers, on what stands for AWS.
func TestScaleExporter_OfTwoProcesses_ProtectsWorkAndLetsDrainedMachinesGo(t *testing.T) {
	f := newFleet(t, `NIYANTA_POOLS=[{"name":"cpu","types":["sleep"],"slots":2}]`)
	busy := f.worker("i-busy")
	f.worker("i-idle")
	id := f.submitTo("i-busy", `{"duration_ms":600000,"steps":6000}`)
	f.eventually(func() bool { return f.get(id).Status == "RUNNING" }, "it runs")

	c := &cloud{t: t, state: map[string]string{"i-busy": "InService", "i-idle": "InService", "i-new": "Pending"},
		protected: map[string]bool{"i-idle": true}}
	aws := httptest.NewServer(c)
	t.Cleanup(aws.Close)
	scaler, err := f.admin.CreateOperatorKey(t.Context(), niyanta.OperatorKeyInput{Name: "aws", Role: "scaler"})
	require.NoError(t, err)
	start := func() *process {
		p, _ := f.start([]string{
			"NIYANTA_COORDINATOR_URL=" + f.url, "NIYANTA_SCALER_KEY=" + scaler.Key, "NIYANTA_SCALER_POOL=cpu",
			"NIYANTA_SCALER_INTERVAL=1s", "NIYANTA_SCALER_HTTP_ADDR=127.0.0.1:0", "NIYANTA_AWS_AUTOSCALING_GROUP=workers",
			"NIYANTA_AWS_LIFECYCLE_HOOK=drain", "AWS_ENDPOINT_URL=" + aws.URL, "AWS_REGION=eu-central-1",
			"AWS_ACCESS_KEY_ID=AKID", "AWS_SECRET_ACCESS_KEY=canary-of-the-secret-key", "AWS_EC2_METADATA_DISABLED=true",
		}, "scale-exporter", "aws")
		return p
	}
	exporters := []*process{start(), start()}
	f.eventually(func() bool {
		return c.has("protect i-busy true") && c.has("protect i-idle false")
	}, "protection follows")
	f.eventually(func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.published >= 2 }, "figures")

	// The doctor asks the same with the same settings, and finds what is wrong with them.
	doctor := func(settings ...string) string {
		path, err := binary()
		require.NoError(t, err)
		cmd := exec.Command(path, "doctor", "--url", f.url, "--api-key", f.adminKey, "--as", "scale-exporter")
		cmd.Env = append(slices.Clone(exporters[0].Env), settings...)
		out, _ := cmd.CombinedOutput() // its status is that of its findings
		return string(out)
	}
	sound := doctor()
	assert.Regexp(t, "settings +ok +NIYANTA_SCALER_POOL: cpu desires", sound)
	assert.Regexp(t, "settings +ok +NIYANTA_AWS_AUTOSCALING_GROUP: workers has 3 machines", sound)
	assert.Regexp(t, "settings +problem .*gpu: no such pool", doctor("NIYANTA_SCALER_POOL=gpu"))
	assert.Regexp(t, "settings +problem .*a valid API key is required", doctor("NIYANTA_SCALER_KEY=nope"))
	assert.Regexp(t, "settings +problem .*no Auto Scaling group others", doctor("NIYANTA_AWS_AUTOSCALING_GROUP=others"))

	// The credentials expire, and are replaced.
	c.set(func() { c.expired = true })
	f.eventually(func() bool {
		return strings.Contains(exporters[0].log.String(), "the credentials have expired or are wrong")
	}, "it says why")
	c.set(func() { c.expired = false })
	f.eventually(func() bool {
		return strings.Contains(exporters[0].log.String(), "the group is informed again")
	}, "it goes on")

	// The busy machine is terminated all the same, as in a rebalance. Its service stops the worker.
	c.set(func() { c.state["i-busy"] = "Terminating:Wait" })
	f.eventually(func() bool {
		return strings.Contains(exporters[0].log.String()+exporters[1].log.String(), "its worker does not drain yet")
	}, "nothing happens before it drains")
	assert.False(t, c.has("release i-busy CONTINUE"))
	busy.signal(t, syscall.SIGTERM)
	require.NoError(t, busy.wait())
	f.eventually(func() bool { return c.has("release i-busy CONTINUE") }, "it may go")
	assert.Equal(t, 0, f.get(id).RedistributionCount, "nothing was lost")

	for _, p := range exporters {
		p.signal(t, syscall.SIGTERM)
		require.NoError(t, p.wait(), "%s", p.log)
		assert.NotContains(t, p.log.String(), "canary-of-the-secret-key")
		assert.NotContains(t, p.log.String(), scaler.Key)
	}
}

// submitTo submits a workload that prefers a worker.
func (c *fleet) submitTo(worker, input string) string {
	c.t.Helper()
	s := niyanta.Submission{WorkloadType: "sleep", InputParams: []byte(input)}
	rules := fmt.Sprintf(`{"soft_affinity":{"worker_id":%q}}`, worker)
	require.NoError(c.t, json.Unmarshal([]byte(rules), &s.AffinityRules))
	a, err := c.client.Submit(c.t.Context(), s, "")
	require.NoError(c.t, err)
	return a.WorkloadID
}

func TestScaleExporter_WithWrongSettings_NamesEach(t *testing.T) {
	for _, name := range []string{"NIYANTA_URL", "NIYANTA_API_KEY"} {
		t.Setenv(name, "")
	}
	t.Setenv("NIYANTA_AWS_METRIC_NAMESPACE", "AWS/Own")
	t.Setenv("NIYANTA_SCALER_HTTP_ADDR", "8082")
	_, errs, code := newDesk(t).run("", "scale-exporter", "aws")
	assert.Equal(t, exitUsage, code)
	for _, name := range []string{
		"COORDINATOR_URL: is required", "SCALER_KEY: is required", "SCALER_POOL: is required",
		"AWS_AUTOSCALING_GROUP: is required", "AWS_METRIC_NAMESPACE: must not begin with AWS/",
		"SCALER_HTTP_ADDR: must look like",
	} {
		assert.Contains(t, errs, "NIYANTA_"+name)
	}
}
