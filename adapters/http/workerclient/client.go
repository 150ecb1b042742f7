// Package workerclient is the driven side of the worker protocol over HTTP: ports.ControlPlane on the generated client.
// Checkpoints and polls go over connections of their own, so that neither can delay a heartbeat.
package workerclient

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/niyanta/niyanta/api/client"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Client implements ports.ControlPlane. Safe for concurrent use.
type Client struct {
	control, poll, data *client.Client
	pool                []*http.Transport
}

var _ ports.ControlPlane = (*Client)(nil)

// maxPoll is the longest poll that coordinators take.
const maxPoll = 30 * time.Second

// pollSlack is how much longer than it asked for a poll may take.
const pollSlack = 10 * time.Second

// New returns a client of the coordinators at these addresses, one or several separated by commas, that authenticates with a worker key.
func New(urls, key string) (*Client, error) {
	all, err := parse(urls)
	if err != nil {
		return nil, err
	}
	c := &Client{}
	for _, target := range []**client.Client{&c.control, &c.poll, &c.data} {
		t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // documented to be one
		t.MaxIdleConnsPerHost = 16
		c.pool = append(c.pool, t)
		sender := &http.Client{Transport: &failover{all, t}}
		if *target, err = client.NewClient(all.urls[0].String(), client.WithHTTPClient(sender), client.WithKey(key)); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Close drops idle connections.
func (c *Client) Close() {
	for _, t := range c.pool {
		t.CloseIdleConnections()
	}
}

// Register implements ports.ControlPlane.
func (c *Client) Register(ctx context.Context, r domain.Registration) (ports.Grant, error) {
	var g ports.Grant
	resp, err := c.control.WorkerRegister(ctx, r)
	err = client.Answer(ctx, resp, err, &g)
	return g, err
}

// Heartbeat implements ports.ControlPlane.
func (c *Client) Heartbeat(ctx context.Context, h ports.Heartbeat) (ports.HeartbeatAnswer, error) {
	var a ports.HeartbeatAnswer
	resp, err := c.control.WorkerHeartbeat(ctx, h)
	err = client.Answer(ctx, resp, err, &a)
	return a, err
}

// End implements ports.ControlPlane.
func (c *Client) End(ctx context.Context, e domain.SessionEnd) error {
	resp, err := c.control.WorkerEnd(ctx, e)
	return client.Answer(ctx, resp, err, nil)
}

// Poll implements ports.ControlPlane.
func (c *Client) Poll(ctx context.Context, s ports.SessionRef, wait time.Duration) ([]ports.Command, error) {
	bounded, cancel := context.WithTimeout(ctx, wait+pollSlack)
	defer cancel()
	ms := min(wait, maxPoll).Milliseconds()
	resp, err := c.poll.WorkerPoll(bounded, client.WorkerPollJSONRequestBody{
		WorkerID: string(s.WorkerID), SessionID: string(s.SessionID), WaitMs: &ms,
	})
	var out struct {
		Commands []ports.Command `json:"commands"`
	}
	err = client.Answer(bounded, resp, err, &out)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = domain.Unavailable(0, "the coordinator does not answer polls")
	}
	return out.Commands, err
}

// Report implements ports.ControlPlane.
func (c *Client) Report(ctx context.Context, s ports.SessionRef, reports []ports.Report) ([]ports.ReportAnswer, error) {
	if len(reports) == 0 {
		return nil, nil
	}
	resp, err := c.control.WorkerReport(ctx, client.WorkerReportJSONRequestBody{
		WorkerID: string(s.WorkerID), SessionID: string(s.SessionID), Reports: reports,
	})
	var out struct {
		Answers []ports.ReportAnswer `json:"answers"`
	}
	err = client.Answer(ctx, resp, err, &out)
	return out.Answers, err
}

// SaveCheckpoint implements ports.ControlPlane.
func (c *Client) SaveCheckpoint(ctx context.Context, s ports.SessionRef, up ports.CheckpointUpload) (ports.ReportAnswer, error) {
	params := &client.WorkerSaveCheckpointParams{
		WorkerID: string(s.WorkerID), SessionID: string(s.SessionID), Generation: up.Generation, ProgressPercent: up.Percent,
	}
	if message := domain.CleanAndCut(up.Message, domain.MaxProgressMessage); message != "" {
		params.ProgressMessage = &message
	}
	var a ports.ReportAnswer
	resp, err := c.data.WorkerSaveCheckpointWithBody(ctx, string(up.WorkloadID), up.Sequence, params,
		"application/octet-stream", bytes.NewReader(up.Data))
	err = client.Answer(ctx, resp, err, &a)
	return a, err
}

// LoadCheckpoint implements ports.ControlPlane.
func (c *Client) LoadCheckpoint(ctx context.Context, s ports.SessionRef, id domain.WorkloadID, generation, sequence int64) (ports.CheckpointData, error) {
	resp, err := c.data.WorkerLoadCheckpoint(ctx, string(id), sequence, &client.WorkerLoadCheckpointParams{
		WorkerID: string(s.WorkerID), SessionID: string(s.SessionID), Generation: generation,
	})
	if err != nil || resp.StatusCode != http.StatusOK {
		return ports.CheckpointData{}, client.Answer(ctx, resp, err, nil)
	}
	defer func() { _ = resp.Body.Close() }() // read to its end below
	data, err := io.ReadAll(io.LimitReader(resp.Body, domain.MaxInlineCheckpoint+1))
	if err != nil {
		return ports.CheckpointData{}, client.Answer(ctx, nil, err, nil)
	}
	got, err := strconv.ParseInt(resp.Header.Get("Niyanta-Checkpoint-Sequence"), 10, 64)
	if err != nil {
		return ports.CheckpointData{}, domain.Unavailable(0, "the answer does not name the checkpoint")
	}
	return ports.CheckpointData{Sequence: got, Data: data}, nil
}
