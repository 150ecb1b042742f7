package execution

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// CheckpointStream implements ports.Progress. What write writes is kept in a file until it is durable,
// because it may have to be sent again.
func (r *run) CheckpointStream(
	ctx context.Context, write func(w io.Writer) error, percent *float64, message string,
) error {
	s := r.begin(ctx)
	defer s.close()
	return r.agent.saveStream(s, write, percent, message)
}

// saveStream stores what write writes as a checkpoint.
func (a *Agent) saveStream(s *saving, write func(w io.Writer) error, percent *float64, message string) error {
	f, err := a.spoolFile()
	if err != nil {
		return err
	}
	s.file = f
	if err := write(f); err != nil {
		return err
	}
	up, err := inMemory(f.Body())
	if err != nil {
		return err
	}
	return a.save(s, up, percent, message)
}

// inMemory returns an upload of bytes: in memory if they fit, so that every transport takes them.
func inMemory(b *ports.Body) (up ports.CheckpointUpload, err error) {
	if b.Size > domain.MaxInlineCheckpoint {
		return ports.CheckpointUpload{Body: b}, nil
	}
	from, err := b.Open()
	if err != nil {
		return up, err
	}
	defer func() { _ = from.Close() }() // it was read
	up.Data, err = io.ReadAll(from)
	return up, err
}

// errNoSpool says that this worker has no place for large values.
var errNoSpool = &ports.RunError{Type: "checkpoint", Err: errors.New("this worker keeps no large checkpoints")}

func (a *Agent) spoolFile() (ports.SpoolFile, error) {
	if a.deps.Spool == nil {
		return nil, errNoSpool
	}
	f, err := a.deps.Spool.Create()
	if err != nil {
		return nil, fmt.Errorf("keep a checkpoint in a file: %w", err)
	}
	return f, nil
}

// kept is a checkpoint that was loaded: in memory, or in a file.
type kept struct {
	data []byte
	file ports.SpoolFile // nil: data has it
}

func (k *kept) close() {
	if k.file != nil {
		_ = k.file.Close() // nobody needs it any more
	}
}

// into gives a checkpoint to a run.
func (k *kept) into(t *ports.Task, w ports.Workload) {
	if _, streams := w.(ports.StreamWorkload); !streams {
		t.Checkpoint = k.data
		return
	}
	switch {
	case k.file != nil:
		t.Stored = k.file.Body()
	case k.data != nil:
		t.Stored = &ports.Body{Size: int64(len(k.data)), Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(k.data)), nil
		}}
	}
}

// receive takes what was loaded. local is an error of this worker, for which it makes no sense to load
// again.
func (a *Agent) receive(r *run, c ports.CheckpointData) (k kept, local, err error) {
	if c.Body == nil {
		return kept{data: c.Data}, nil, nil
	}
	defer func() { _ = c.Body.Close() }() // it was read
	if _, streams := r.workload.(ports.StreamWorkload); !streams {
		k.data, err = io.ReadAll(c.Body)
		return k, nil, err
	}
	if k.file, err = a.spoolFile(); err != nil {
		return k, err, nil
	}
	to := &noting{w: k.file}
	if _, err = io.Copy(to, c.Body); err != nil {
		k.close()
		if to.failed != nil {
			return kept{}, fmt.Errorf("keep the checkpoint in a file: %w", to.failed), nil
		}
		return kept{}, nil, err
	}
	return k, nil, nil
}

// noting notes why it could not write.
type noting struct {
	w      io.Writer
	failed error
}

// Write implements io.Writer.
func (n *noting) Write(p []byte) (int, error) {
	m, err := n.w.Write(p)
	n.failed = err
	return m, err
}
