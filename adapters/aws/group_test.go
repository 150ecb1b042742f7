package aws_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go/encoding/cbor"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	own "github.com/niyanta/niyanta/adapters/aws"
	"github.com/niyanta/niyanta/core/ports"
)

// recorded is an AWS endpoint that records each request and answers what the test prepared.
type recorded struct {
	t *testing.T

	mu       sync.Mutex
	requests []string // bodies of queries; CBOR as text
	headers  []http.Header
	answers  []answer // the next first; the last one stays
}

type answer struct {
	status int
	body   string
}

// done is the answer to an action that returns nothing.
func done(action string) string {
	return fmt.Sprintf(`<%[1]sResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><%[1]sResult/>`+
		`<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></%[1]sResponse>`, action)
}

func refused(status int, code, message string) answer {
	return answer{status, fmt.Sprintf(`<ErrorResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/"><Error>`+
		`<Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>r</RequestId></ErrorResponse>`,
		code, message)}
}

func (r *recorded) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	raw, err := io.ReadAll(req.Body)
	assert.NoError(r.t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	body := string(raw)
	if strings.HasSuffix(req.URL.Path, "PutMetricData") {
		if req.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(bytes.NewReader(raw))
			if !assert.NoError(r.t, err) {
				return
			}
			raw, err = io.ReadAll(z)
			assert.NoError(r.t, err)
		}
		body = req.URL.Path + " " + cborText(r.t, raw)
	}
	r.requests = append(r.requests, body)
	r.headers = append(r.headers, req.Header)
	q, _ := url.ParseQuery(body) // a request to publish is none
	a := answer{http.StatusOK, ""}
	if len(r.answers) > 0 {
		a = r.answers[0]
	}
	if len(r.answers) > 1 {
		r.answers = r.answers[1:]
	}
	if strings.HasSuffix(req.URL.Path, "PutMetricData") {
		w.Header().Set("Content-Type", "application/cbor")
		w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
		if a.status == http.StatusOK {
			a.body = "\xbf\xff"
		} else {
			a.body = string(cbor.Encode(cbor.Map{"__type": cbor.String(a.body), "message": cbor.String("no")}))
		}
	} else {
		w.Header().Set("Content-Type", "text/xml")
	}
	if a.body == "" {
		a.body = done(q.Get("Action"))
	}
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// cborText returns a request to publish as text: one line for each metric.
func cborText(t *testing.T, raw []byte) string {
	t.Helper()
	v, err := cbor.Decode(raw)
	require.NoError(t, err)
	m, ok := v.(cbor.Map)
	require.True(t, ok)
	lines := []string{fmt.Sprint(m["Namespace"])}
	list, ok := m["MetricData"].(cbor.List)
	require.True(t, ok)
	for _, item := range list {
		d, ok := item.(cbor.Map)
		require.True(t, ok)
		var dims []string
		all, ok := d["Dimensions"].(cbor.List)
		require.True(t, ok)
		for _, x := range all {
			pair, ok := x.(cbor.Map)
			require.True(t, ok)
			dims = append(dims, fmt.Sprintf("%s=%s", pair["Name"], pair["Value"]))
		}
		at, ok := d["Timestamp"].(*cbor.Tag)
		require.True(t, ok)
		lines = append(lines, fmt.Sprintf("%s %v %s at %v of %s", d["MetricName"], d["Value"], d["Unit"], at.Value,
			strings.Join(dims, ",")))
	}
	return strings.Join(lines, "\n")
}

func open(t *testing.T, answers ...answer) (*own.Group, *recorded) {
	t.Helper()
	r := &recorded{t: t, answers: answers}
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	g, err := own.Open(t.Context(), own.Options{
		Name: "workers", Hook: "drain", Namespace: "Niyanta", Pool: "cpu", Config: &aws.Config{
			Region: "eu-central-1", BaseEndpoint: &s.URL, HTTPClient: s.Client(),
			Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "SECRET", SessionToken: "SESSION"}, nil
			}),
		},
	})
	require.NoError(t, err)
	return g, r
}

func query(pairs ...string) string {
	q := url.Values{"Version": {"2011-01-01"}}
	for _, p := range pairs {
		name, value, _ := strings.Cut(p, "=")
		q.Set(name, value)
	}
	return q.Encode()
}

const described = `<DescribeAutoScalingGroupsResponse xmlns="http://autoscaling.amazonaws.com/doc/2011-01-01/">
<DescribeAutoScalingGroupsResult><AutoScalingGroups><member><AutoScalingGroupName>workers</AutoScalingGroupName>
<MinSize>0</MinSize><MaxSize>9</MaxSize><DesiredCapacity>3</DesiredCapacity><Instances>%s</Instances></member>
</AutoScalingGroups></DescribeAutoScalingGroupsResult></DescribeAutoScalingGroupsResponse>`

func instance(id, state string, protected bool) string {
	return fmt.Sprintf(`<member><InstanceId>%s</InstanceId><LifecycleState>%s</LifecycleState>`+
		`<HealthStatus>Healthy</HealthStatus><ProtectedFromScaleIn>%t</ProtectedFromScaleIn></member>`, id, state, protected)
}

func TestMachines_OfAGroup_AreThoseWithTheirStates(t *testing.T) {
	g, r := open(t, answer{200, fmt.Sprintf(described, instance("i-1", "InService", true)+
		instance("i-2", "Pending:Wait", false)+instance("i-3", "Terminating:Wait", false)+
		instance("i-4", "Terminating:Proceed", false)+instance("i-5", "Standby", false)+instance("i-6", "Pending", false))})
	machines, err := g.Machines(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []ports.Machine{
		{ID: "i-1", State: ports.MachineInService, Protected: true}, {ID: "i-2", State: ports.MachineStarting},
		{ID: "i-3", State: ports.MachineWaiting}, {ID: "i-4", State: ports.MachineLeaving},
		{ID: "i-5", State: ports.MachineLeaving}, {ID: "i-6", State: ports.MachineStarting},
	}, machines)
	assert.Equal(t, []string{
		query("Action=DescribeAutoScalingGroups", "AutoScalingGroupNames.member.1=workers"),
	}, r.requests)
	assert.Contains(t, r.headers[0].Get("Authorization"), "/eu-central-1/autoscaling/aws4_request")
	assert.Equal(t, "SESSION", r.headers[0].Get("X-Amz-Security-Token"))
	assert.NotContains(t, fmt.Sprint(r.headers, r.requests), "SECRET")

	g, _ = open(t, answer{200, strings.Replace(described, ">workers<", ">others<", 1)})
	_, err = g.Machines(t.Context())
	require.ErrorContains(t, err, "no Auto Scaling group workers in eu-central-1")
}

func TestPublish_OfFigures_SendsEachWithGroupAndPool(t *testing.T) {
	g, r := open(t)
	require.NoError(t, g.Publish(t.Context(), ports.GroupFigures{
		At: time.Unix(1_800_000_000, 0), Waiting: 30, Running: 12, Capacity: 20, Workers: 2, OldestWait: 90 * time.Second,
		Desired: 5, Missing: 3, WaitingPerWorker: 15,
	}))
	const of = " at 1.8e+09 of AutoScalingGroupName=workers,Pool=cpu"
	const operation = "/service/GraniteServiceVersion20100801/operation/PutMetricData"
	assert.Equal(t, []string{operation + " Niyanta\n" + strings.Join([]string{
		"WaitingPerWorker 15 Count" + of, "Waiting 30 Count" + of, "Running 12 Count" + of, "Capacity 20 Count" + of,
		"Workers 2 Count" + of, "DesiredWorkers 5 Count" + of, "MissingWorkers 3 Count" + of, "SpareWorkers 0 Count" + of,
		"OldestWait 90 Seconds" + of,
	}, "\n")}, r.requests)
	assert.Contains(t, r.headers[0].Get("Authorization"), "/eu-central-1/monitoring/aws4_request")
}

func TestProtect_OfManyMachines_SendsThemInParts(t *testing.T) {
	g, r := open(t)
	ids := make([]string, 51)
	for i := range ids {
		ids[i] = fmt.Sprintf("i-%02d", i)
	}
	require.NoError(t, g.Protect(t.Context(), true, ids...))
	require.Len(t, r.requests, 2)
	first, err := url.ParseQuery(r.requests[0])
	require.NoError(t, err)
	assert.Equal(t, "i-49", first.Get("InstanceIds.member.50"))
	assert.Equal(t, query("Action=SetInstanceProtection", "AutoScalingGroupName=workers", "InstanceIds.member.1=i-50",
		"ProtectedFromScaleIn=true"), r.requests[1])
}

func TestProtect_WhenOneMachineHasGone_ProtectsTheOthers(t *testing.T) {
	away := refused(400, "ValidationError", "The instance i-1 is not part of Auto Scaling group workers.")
	g, r := open(t, away, away, answer{200, ""})
	require.NoError(t, g.Protect(t.Context(), false, "i-1", "i-2"))
	require.Len(t, r.requests, 3, "both, then each")
	assert.Equal(t, query("Action=SetInstanceProtection", "AutoScalingGroupName=workers", "InstanceIds.member.1=i-2",
		"ProtectedFromScaleIn=false"), r.requests[2])

	g, _ = open(t, refused(400, "ValidationError", "AutoScalingGroup name not found - AutoScalingGroup workers not found"))
	require.ErrorContains(t, g.Protect(t.Context(), true, "i-1", "i-2"), "name not found", "a mistake that must show")
}

func TestLifecycle_OfAMachine_IsHeldAndReleasedOnce(t *testing.T) {
	g, r := open(t)
	require.NoError(t, g.Hold(t.Context(), "i-1"))
	require.NoError(t, g.Release(t.Context(), "i-1"))
	about := []string{"AutoScalingGroupName=workers", "InstanceId=i-1", "LifecycleHookName=drain"}
	assert.Equal(t, []string{
		query(append(slices.Clone(about), "Action=RecordLifecycleActionHeartbeat")...),
		query(append(slices.Clone(about), "Action=CompleteLifecycleAction", "LifecycleActionResult=CONTINUE")...),
	}, r.requests)

	again, _ := open(t, refused(400, "ValidationError", "No active Lifecycle Action found with instance ID i-1"))
	require.NoError(t, again.Release(t.Context(), "i-1"), "another exporter was first")
	require.NoError(t, again.Hold(t.Context(), "i-1"))
	wrong, _ := open(t, refused(400, "ValidationError", "Lifecycle Hook not found for this group"))
	require.ErrorContains(t, wrong.Release(t.Context(), "i-1"), "Lifecycle Hook not found")
}

func TestGroup_WhenAWSRefuses_SaysWhyAndTriesOnlyWhatMayHelp(t *testing.T) {
	for code, x := range map[string]struct {
		status int
		kind   ports.CloudFailure
		advice string
		tries  int
	}{
		"Throttling":           {400, ports.CloudThrottled, "too many requests", 3},
		"RequestLimitExceeded": {503, ports.CloudThrottled, "too many requests", 3},
		"ExpiredToken":         {400, ports.CloudCredentials, "credentials have expired", 1},
		"InvalidClientTokenId": {403, ports.CloudCredentials, "credentials have expired", 1},
		"AccessDenied":         {403, ports.CloudDenied, "lacks a right", 1},
		"InternalFailure":      {500, ports.CloudOther, "InternalFailure", 3},
	} {
		t.Run(code, func(t *testing.T) {
			g, r := open(t, refused(x.status, code, "no"))
			_, err := g.Machines(t.Context())
			require.ErrorContains(t, err, x.advice)
			assert.Equal(t, x.kind, ports.FailureOf(err))
			assert.Len(t, r.requests, x.tries)
		})
	}
	g, r := open(t, answer{400, "ThrottlingException"})
	err := g.Publish(t.Context(), ports.GroupFigures{At: time.Unix(1, 0)})
	assert.Equal(t, ports.CloudThrottled, ports.FailureOf(err), "%v", err)
	assert.Len(t, r.requests, 3)

	g, r = open(t, refused(400, "Throttling", "no"), answer{200, fmt.Sprintf(described, "")})
	machines, err := g.Machines(t.Context())
	require.NoError(t, err, "one that was throttled is tried again")
	assert.Empty(t, machines)
	assert.Len(t, r.requests, 2)
}

func TestGroup_WhenNothingAnswers_SaysSo(t *testing.T) {
	r := httptest.NewServer(http.NotFoundHandler())
	r.Close()
	g, err := own.Open(t.Context(), own.Options{Name: "workers", Config: &aws.Config{
		Region: "eu-central-1", BaseEndpoint: &r.URL, HTTPClient: &http.Client{}, Credentials: aws.AnonymousCredentials{},
	}})
	require.NoError(t, err)
	_, err = g.Machines(t.Context())
	assert.Equal(t, ports.CloudUnreachable, ports.FailureOf(err), "%v", err)
}

func TestGroup_WithoutCredentials_SaysSo(t *testing.T) {
	g, err := own.Open(t.Context(), own.Options{Name: "workers", Config: &aws.Config{
		Region: "eu-central-1", HTTPClient: &http.Client{},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{}, errors.New("no role")
		}),
	}})
	require.NoError(t, err)
	_, err = g.Machines(t.Context())
	require.ErrorContains(t, err, "no credentials were found")
	assert.Equal(t, ports.CloudCredentials, ports.FailureOf(err))
}
