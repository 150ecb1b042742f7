package http

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// checkpointBody returns the bytes of a request, or what streams them if they are too many for
// memory. length is how many the request states; -1: it does not.
func checkpointBody(from io.Reader, length int64) ([]byte, *ports.Body, error) {
	if length > domain.MaxInlineCheckpoint {
		return nil, bodyOnce(length, from), nil
	}
	data, err := io.ReadAll(io.LimitReader(from, domain.MaxInlineCheckpoint+1))
	switch {
	case err != nil:
		return nil, nil, domain.Invalid("body", "could not be read to its end")
	case len(data) > domain.MaxInlineCheckpoint:
		return nil, bodyOnce(-1, io.MultiReader(&spent{data}, from)), nil
	}
	return data, nil, nil
}

// bodyOnce returns a body that can be opened once.
func bodyOnce(size int64, from io.Reader) *ports.Body {
	return &ports.Body{Size: size, Open: func() (io.ReadCloser, error) { return io.NopCloser(from), nil }}
}

// spent reads bytes and lets go of them.
type spent struct{ data []byte }

// Read implements io.Reader.
func (s *spent) Read(p []byte) (int, error) {
	n := copy(p, s.data)
	if s.data = s.data[n:]; len(s.data) == 0 {
		s.data = nil
		return n, io.EOF
	}
	return n, nil
}

// moving is the body of a request that may take as long as it moves.
type moving struct {
	io.ReadCloser
	out *http.ResponseController
}

// Read implements io.Reader. What has no deadlines needs none.
func (m moving) Read(p []byte) (int, error) {
	now := time.Now()
	_ = m.out.SetReadDeadline(now.Add(readTimeout))
	_ = m.out.SetWriteDeadline(now.Add(writeTimeout))
	return m.ReadCloser.Read(p)
}

// streamed answers with a large checkpoint. It may take as long as it moves. Without a Body it says
// what one would be, which answers HEAD.
type streamed struct{ ports.CheckpointData }

// VisitWorkerLoadCheckpointResponse implements gen.WorkerLoadCheckpointResponseObject.
func (s streamed) VisitWorkerLoadCheckpointResponse(w http.ResponseWriter) error {
	w.Header().Set("Niyanta-Checkpoint-Sequence", strconv.FormatInt(s.Sequence, 10))
	return s.VisitGetWorkloadCheckpointResponse(w)
}

// VisitGetWorkloadCheckpointResponse implements gen.GetWorkloadCheckpointResponseObject. An answer that
// has begun can't turn into an error: it is broken off, so that nobody takes it for whole.
func (s streamed) VisitGetWorkloadCheckpointResponse(w http.ResponseWriter) error {
	if s.Body != nil {
		defer func() { _ = s.Body.Close() }() // it was read
	}
	w.Header().Set("Content-Type", mediaBytes)
	w.Header().Set("Content-Length", strconv.FormatInt(s.Size, 10))
	w.WriteHeader(http.StatusOK)
	if s.Body == nil {
		return nil
	}
	if _, err := io.Copy(paced{w, http.NewResponseController(w)}, io.LimitReader(s.Body, s.Size)); err != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}

// paced writes an answer that may take as long as it moves.
type paced struct {
	io.Writer
	out *http.ResponseController
}

// Write implements io.Writer.
func (p paced) Write(b []byte) (int, error) {
	_ = p.out.SetWriteDeadline(time.Now().Add(writeTimeout)) // what has no deadlines needs none
	return p.Writer.Write(b)
}
