// Package workerclient is the worker protocol over HTTP, from the worker's side: a route to one
// coordinator, on the generated client. Heartbeats, polls, checkpoints and everything else use
// connections of their own, so that none delays another.
package workerclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/niyanta/niyanta/api/client"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Client is a worker's route to one coordinator. As a ports.ControlPlane it sends each request
// once, with defaultTimeout. adapters/failover combines several clients to try again or elsewhere.
// Safe for concurrent use.
type Client struct {
	view
	url, key                    string
	beats, control, polls, data *line
}

var _ ports.ControlPlane = (*Client)(nil)

// maxPoll is the longest poll that coordinators accept.
const maxPoll = 30 * time.Second

// defaultTimeout is how long a Client that is used as a control plane waits without sending or
// receiving a byte.
const defaultTimeout = 10 * time.Second

// New returns a client of the coordinator at this address that authenticates with a worker key. equip
// prepares each transport for TLS.
func New(address, key string, equip func(*http.Transport)) (*Client, error) {
	u, err := url.Parse(strings.TrimRight(strings.TrimSpace(address), "/"))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("a coordinator's url must look like http://host:port")
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the worker key has a space, a line break or another character that no key has")
	}
	c := &Client{
		url: u.String(), key: key, beats: newLine(equip), control: newLine(equip), polls: newLine(equip),
		data: newLine(equip),
	}
	c.view = view{c, defaultTimeout, false}
	return c, nil
}

// NewAll returns clients of the coordinators at these addresses, one or several separated by
// commas.
func NewAll(addresses, key string, equip func(*http.Transport)) ([]*Client, error) {
	var all []*Client
	for address := range strings.SplitSeq(addresses, ",") {
		c, err := New(address, key, equip)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (c *Client) lines() []*line { return []*line{c.beats, c.control, c.polls, c.data} }

// Close drops idle connections.
func (c *Client) Close() {
	for _, l := range c.lines() {
		l.close()
	}
}

// renew makes all later requests use new connections, of every kind. What silences one connection
// mostly silences all.
func (c *Client) renew() {
	for _, l := range c.lines() {
		l.renew()
	}
}

// String names the route in logs.
func (c *Client) String() string { return c.url }

// Connected reports true: only a request shows whether a coordinator answers.
func (c *Client) Connected() bool { return true }

// Try returns a view of the coordinator in which each call is one request. A request fails with
// CodeUnavailable and ports.ErrUnanswered if nothing was sent or received for timeout. With fresh,
// the calls use new connections.
func (c *Client) Try(timeout time.Duration, fresh bool) ports.ControlPlane {
	return view{c, timeout, fresh}
}

// view implements ports.ControlPlane.
type view struct {
	client  *Client
	timeout time.Duration
	fresh   bool
}

// over returns the generated client on one kind of connections. more is added to the timeout where
// something other than the network takes time.
func (v view) over(l *line, more time.Duration) *client.Client {
	c := v.client
	if v.fresh {
		c.renew()
	}
	api := &client.Client{Server: c.url + "/", Client: sender{l, v.timeout + more}}
	_ = client.WithKey(c.key)(api) // adds to api, never fails
	return api
}

// read decodes a response into out. It returns ports.ErrUnanswered if there is none or it is cut
// off.
func read(ctx context.Context, resp *http.Response, err error, out any) error {
	if err != nil && ctx.Err() == nil {
		return unanswered(err)
	}
	return client.Answer(ctx, resp, err, out)
}

func unanswered(err error) error {
	return &domain.Error{
		Code: domain.CodeUnavailable, Message: "the coordinator does not answer",
		Cause: fmt.Errorf("%w: %w", ports.ErrUnanswered, err),
	}
}

// lacks returns the error of a success that lacks what every coordinator tells: something on the way has
// answered instead, and nothing is known of what was asked for.
func lacks(what string) error {
	return domain.Unavailable(0, "the answer has no %s: it is none of a coordinator's", what)
}

// Register implements ports.ControlPlane.
func (v view) Register(ctx context.Context, r domain.Registration) (ports.Grant, error) {
	var g ports.Grant
	resp, err := v.over(v.client.control, 0).WorkerRegister(ctx, r)
	err = read(ctx, resp, err, &g)
	if err == nil && (g.LeaseMS <= 0 || g.HeartbeatIntervalMS <= 0) {
		err = lacks("lease_ms and heartbeat_interval_ms")
	}
	return g, err
}

// Heartbeat implements ports.ControlPlane.
func (v view) Heartbeat(ctx context.Context, h ports.Heartbeat) (ports.HeartbeatAnswer, error) {
	var a ports.HeartbeatAnswer
	resp, err := v.over(v.client.beats, 0).WorkerHeartbeat(ctx, h)
	err = read(ctx, resp, err, &a)
	if err == nil && a.LeaseMS <= 0 { // it would end the session
		err = lacks("lease_ms")
	}
	return a, err
}

// End implements ports.ControlPlane.
func (v view) End(ctx context.Context, e domain.SessionEnd) error {
	resp, err := v.over(v.client.control, 0).WorkerEnd(ctx, e)
	return read(ctx, resp, err, nil)
}

// Poll implements ports.ControlPlane.
func (v view) Poll(ctx context.Context, s ports.SessionRef, wait time.Duration) ([]ports.Command, error) {
	wait = min(wait, maxPoll)
	ms := wait.Milliseconds()
	resp, err := v.over(v.client.polls, wait).WorkerPoll(ctx, client.WorkerPollJSONRequestBody{
		WorkerID: string(s.WorkerID), SessionID: string(s.SessionID), WaitMs: &ms,
	})
	var out struct {
		Commands []ports.Command `json:"commands"`
	}
	err = read(ctx, resp, err, &out)
	if err == nil && out.Commands == nil { // without an error, the next poll would follow at once
		err = lacks("commands")
	}
	return out.Commands, err
}

// Report implements ports.ControlPlane.
func (v view) Report(ctx context.Context, s ports.SessionRef, reports []ports.Report) ([]ports.ReportAnswer, error) {
	if len(reports) == 0 {
		return nil, nil
	}
	resp, err := v.over(v.client.control, 0).WorkerReport(ctx, client.WorkerReportJSONRequestBody{
		WorkerID: string(s.WorkerID), SessionID: string(s.SessionID), Reports: reports,
	})
	var out struct {
		Answers []ports.ReportAnswer `json:"answers"`
	}
	err = read(ctx, resp, err, &out)
	if err == nil && (len(out.Answers) != len(reports) || slices.ContainsFunc(out.Answers, unsettled)) {
		err = lacks(fmt.Sprintf("answers to %d reports", len(reports)))
	}
	return out.Answers, err
}

// SaveCheckpoint implements ports.ControlPlane.
func (v view) SaveCheckpoint(
	ctx context.Context, s ports.SessionRef, up ports.CheckpointUpload,
) (ports.ReportAnswer, error) {
	params := &client.WorkerSaveCheckpointParams{
		WorkerID: string(s.WorkerID), SessionID: string(s.SessionID), Generation: up.Generation, ProgressPercent: up.Percent,
	}
	if message := domain.CleanAndCut(up.Message, domain.MaxProgressMessage); message != "" {
		params.ProgressMessage = &message
	}
	var a ports.ReportAnswer
	body, edit, err := bodyOf(&up)
	if err != nil {
		return a, err
	}
	resp, err := v.over(v.client.data, 0).WorkerSaveCheckpointWithBody(ctx, string(up.WorkloadID), up.Sequence, params,
		"application/octet-stream", body, edit)
	err = read(ctx, resp, err, &a)
	if err == nil && unsettled(a) {
		err = lacks("outcome")
	}
	return a, err
}

// unsettled reports whether an answer does not say what has become of a report.
func unsettled(a ports.ReportAnswer) bool { return a.Outcome == "" }

// LoadCheckpoint implements ports.ControlPlane.
func (v view) LoadCheckpoint(
	ctx context.Context, s ports.SessionRef, id domain.WorkloadID, generation, sequence int64,
) (ports.CheckpointData, error) {
	resp, err := v.over(v.client.data, 0).WorkerLoadCheckpoint(ctx, string(id), sequence,
		&client.WorkerLoadCheckpointParams{
			WorkerID: string(s.WorkerID), SessionID: string(s.SessionID), Generation: generation,
		})
	if err != nil || resp.StatusCode/100 != 2 {
		return ports.CheckpointData{}, read(ctx, resp, err, nil)
	}
	got, err := strconv.ParseInt(resp.Header.Get("Niyanta-Checkpoint-Sequence"), 10, 64)
	if err != nil {
		_ = resp.Body.Close() // nothing of it is used
		return ports.CheckpointData{}, lacks("name of the checkpoint")
	}
	if resp.ContentLength > domain.MaxInlineCheckpoint {
		return ports.CheckpointData{Sequence: got, Body: received{resp.Body}, Size: resp.ContentLength}, nil
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, domain.MaxInlineCheckpoint+1))
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case err != nil:
		err = unanswered(err)
	case len(data) > domain.MaxInlineCheckpoint: // who passed it on left its length out
		return ports.CheckpointData{Sequence: got, Body: received{resumed(data, resp.Body)}, Size: -1}, nil
	}
	_ = resp.Body.Close() // nothing more of it is used
	if err != nil {
		return ports.CheckpointData{}, err
	}
	return ports.CheckpointData{Sequence: got, Data: data}, nil
}

// errSilent is why a request was given up.
var errSilent = errors.New("nothing was sent or received for too long")
