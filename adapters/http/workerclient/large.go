package workerclient

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/niyanta/niyanta/api/client"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// bodyOf returns the bytes of a checkpoint, and what else a request that sends them needs. Before
// large ones, the coordinator is asked whether it takes them.
func bodyOf(up *ports.CheckpointUpload) (io.Reader, client.RequestEditorFn, error) {
	if up.Body == nil {
		large := len(up.Data) > domain.MaxInlineCheckpoint
		return bytes.NewReader(up.Data), func(_ context.Context, req *http.Request) error {
			if large {
				req.Header.Set("Expect", "100-continue")
			}
			return nil
		}, nil
	}
	body, err := up.Body.Open()
	if err != nil {
		return nil, nil, err
	}
	return body, func(_ context.Context, req *http.Request) error {
		req.Header.Set("Expect", "100-continue")
		req.ContentLength, req.GetBody = up.Body.Size, up.Body.Open
		return nil
	}, nil
}

// resumed reads what has been read of a body already, and then the rest.
func resumed(begin []byte, body io.ReadCloser) io.ReadCloser {
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(begin), body), body}
}

// received is the body of an answer. That it breaks off means that the coordinator did not answer.
type received struct{ io.ReadCloser }

// Read implements io.Reader.
func (r received) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = unanswered(err)
	}
	return n, err
}
