package execution_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/execution"
)

// large is more than a transport takes in memory.
var large = bytes.Repeat([]byte("0123456789abcdef"), domain.MaxInlineCheckpoint/16+1)

// streaming is a script that streams its state.
type streaming struct {
	*script
	to func(w io.Writer) error
}

func (s streaming) CheckpointTo(_ context.Context, w io.Writer) error { return s.to(w) }

// streams has the worker run s as type "t".
func streams(s streaming) func(*execution.Config) {
	return func(c *execution.Config) { c.Types["t"] = func() ports.Workload { return s } }
}

// bytesOf reads an upload.
func bytesOf(c ports.CheckpointUpload) []byte {
	if c.Body == nil {
		return c.Data
	}
	r, err := c.Body.Open()
	if err != nil {
		return nil
	}
	defer func() { _ = r.Close() }()
	data, _ := io.ReadAll(r)
	return data
}

func TestCheckpointStream_WhenItsAnswerIsLost_SendsTheSameBytesAgain(t *testing.T) {
	wrote := 0
	b := newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
		return "", p.CheckpointStream(ctx, func(w io.Writer) error {
			wrote++
			_, err := w.Write(large)
			return err
		}, nil, "")
	}}))
	tries := 0
	b.plane.save = func(c ports.CheckpointUpload) (domain.Outcome, error) {
		assert.Empty(t, c.Data, "never whole in memory")
		assert.Equal(t, int64(len(large)), c.Body.Size)
		assert.True(t, bytes.Equal(large, bytesOf(c)))
		if tries++; tries < 3 {
			return "", errDisconnected
		}
		return domain.OutcomeAlready, nil
	}
	b.assign("wl_1", 1)
	b.settle()
	assert.Equal(t, []int{3, 1}, []int{tries, wrote})
	assert.Equal(t, domain.EventComplete, b.plane.last("wl_1").Event)
}

func TestCheckpointStream_WhenItIsNotWrittenToItsEnd_SavesNothing(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
		err := p.CheckpointStream(ctx, func(w io.Writer) error {
			_, _ = w.Write(large)
			return errors.New("half way")
		}, nil, "")
		if err == nil || !strings.Contains(err.Error(), "half way") {
			return "", fmt.Errorf("a stream that failed half way was saved: %w", err)
		}
		return "", p.CheckpointStream(ctx, func(w io.Writer) error {
			_, err := w.Write([]byte("small"))
			return err
		}, nil, "")
	}}))
	b.assign("wl_1", 1)
	b.settle()
	require.Len(t, b.plane.checkpoints, 1)
	assert.Equal(t, "small", string(b.plane.checkpoints[0].Data), "small ones need no stream")
	assert.Equal(t, int64(1), b.plane.checkpoints[0].Sequence)
}

// TestRestore_OfALargeCheckpoint_IsWholeBeforeTheRunSeesIt also covers a workload that takes bytes.
func TestRestore_OfALargeCheckpoint_IsWholeBeforeTheRunSeesIt(t *testing.T) {
	for name, takesStreams := range map[string]bool{"as a stream": true, "as bytes": false} {
		t.Run(name, func(t *testing.T) {
			var got []byte
			s := &script{init: func(task ports.Task) error {
				if got = task.Checkpoint; task.Stored != nil {
					got = bytesOf(ports.CheckpointUpload{Body: task.Stored})
				}
				assert.Equal(t, takesStreams, task.Stored != nil)
				return nil
			}}
			change := func(*execution.Config) {}
			if takesStreams {
				change = streams(streaming{script: s})
			}
			b := newBench(t, 1, one(s), change)
			b.plane.loads = func(n int) io.ReadCloser {
				if n == 1 {
					return io.NopCloser(io.MultiReader(bytes.NewReader(large[:len(large)/2]), cutOff{}))
				}
				return io.NopCloser(bytes.NewReader(large))
			}
			b.assign("wl_1", 1, func(a *ports.Assignment) { a.CheckpointSequence = 4 })
			b.settle()
			assert.True(t, bytes.Equal(large, got), "%d bytes", len(got))
			assert.Equal(t, domain.EventComplete, b.plane.last("wl_1").Event)
		})
	}
}

type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, fmt.Errorf("cut off: %w", io.ErrUnexpectedEOF) }

func TestRestore_OfASmallCheckpoint_IsAStreamForWhoTakesStreams(t *testing.T) {
	var got []byte
	s := &script{init: func(task ports.Task) error {
		got = bytesOf(ports.CheckpointUpload{Body: task.Stored})
		assert.Nil(t, task.Checkpoint)
		return nil
	}}
	b := newBench(t, 1, one(s), streams(streaming{script: s}))
	b.plane.stored["wl_1"] = ports.CheckpointData{Sequence: 4, Data: []byte("state")}
	b.assign("wl_1", 1, func(a *ports.Assignment) { a.CheckpointSequence = 4 })
	b.settle()
	assert.Equal(t, "state", string(got))
}
