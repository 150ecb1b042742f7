package niyanta

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/niyanta/niyanta/core/ports"
)

// Stream is a State that need not fit in memory: bytes of the author's own format instead of JSON. A
// type that is defined with it, as Define[In, Stream, Out], saves
//
//	task.Checkpoint(ctx, niyanta.StreamFrom(func(w io.Writer) error { … }), progress)
//
// and reads what was saved with task.State().Open(). The worker keeps both in a file in the folder for
// temporary files, which needs room for them. Coordinators take up to 10 MiB, or more where their
// operator has set NIYANTA_CHECKPOINT_URL.
//
// After a pause or a drain a handler has 10 seconds to save, which large states may exceed: save them
// at intervals, and return at once when the context ends.
type Stream struct {
	write func(w io.Writer) error
	body  *ports.Body
}

// StreamFrom returns a state that write writes. Checkpoint calls it once. If it fails, nothing is saved.
func StreamFrom(write func(w io.Writer) error) Stream { return Stream{write: write} }

// StreamOf returns a state of these bytes.
func StreamOf(data []byte) Stream {
	return streamOf(&ports.Body{Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}})
}

func streamOf(b *ports.Body) Stream {
	return Stream{body: b, write: func(w io.Writer) error {
		r, err := b.Open()
		if err != nil {
			return err
		}
		_, err = io.Copy(w, r)
		return errors.Join(err, r.Close())
	}}
}

// Size is how many bytes Open delivers.
func (s Stream) Size() int64 {
	if s.body == nil {
		return 0
	}
	return s.body.Size
}

// Open returns a reader of the state from its first byte on: of what Task.State returned, until the
// handler returns, or of StreamOf. It may be called several times. The zero Stream is empty.
func (s Stream) Open() (io.ReadCloser, error) {
	switch {
	case s.body != nil:
		return s.body.Open()
	case s.write != nil:
		return nil, errors.New("niyanta: this state can only be saved")
	}
	return io.NopCloser(bytes.NewReader(nil)), nil
}

func (s Stream) writeTo(w io.Writer) error {
	if s.write == nil {
		return nil
	}
	return s.write(w)
}

// streamed is a run whose State is Stream.
type streamed[In, State, Out any] struct{ *run[In, State, Out] }

// Init implements ports.Workload.
func (r streamed[In, State, Out]) Init(ctx context.Context, t ports.Task) error {
	if err := r.run.Init(ctx, t); err != nil {
		return err
	}
	if state, ok := any(&r.task.state).(*Stream); ok && t.Stored != nil {
		*state, r.task.resumed = streamOf(t.Stored), true
	}
	return nil
}

// CheckpointTo implements ports.StreamWorkload.
func (r streamed[In, State, Out]) CheckpointTo(_ context.Context, w io.Writer) error {
	snapshot := r.task.snapshotFunc()
	if snapshot == nil {
		return ports.ErrNoCheckpoint
	}
	s, _ := any(snapshot()).(Stream)
	return s.writeTo(w)
}
