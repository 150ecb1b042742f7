package blob

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/niyanta/niyanta/core/domain"
)

// algorithm is what the header encrypt.SseGenericHeader says of a value under a key.
const algorithm = "aws:kms"

// encrypted gives a request its headers, and notes whether a server says that it has encrypted. There
// are servers that take no notice of the headers, and store values as they come.
type encrypted struct {
	id      domain.EncryptionKeyID
	options minio.PutObjectOptions
	plain   atomic.Bool
}

// under returns what belongs to a write under a key, and the context of its requests. Without a key,
// it adds nothing.
func under(ctx context.Context, id domain.EncryptionKeyID) (context.Context, *encrypted, error) {
	e := &encrypted{id: id, options: minio.PutObjectOptions{
		PartSize: partSize, ContentType: "application/octet-stream",
	}}
	if id == "" {
		return ctx, e, nil
	}
	var err error
	e.options.ServerSideEncryption, err = encrypt.NewSSEKMS(string(id), nil)
	return context.WithValue(ctx, noted{}, e), e, err
}

// noted is the key of encrypted in a context.
type noted struct{}

// noting is the transport of the requests. It looks at the answers to those that begin or make a value.
type noting struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (n noting) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := n.RoundTripper.RoundTrip(r)
	e, ok := r.Context().Value(noted{}).(*encrypted)
	if !ok || err != nil || answer.StatusCode >= 300 || r.Header.Get(encrypt.SseGenericHeader) == "" {
		return answer, err
	}
	q := r.URL.Query()
	if makes := r.Method == http.MethodPut || r.Method == http.MethodPost && q.Has("uploads"); makes &&
		answer.Header.Get(encrypt.SseGenericHeader) != algorithm {
		e.plain.Store(true)
	}
	return answer, err
}

// errPlain is the error of a server that does not encrypt.
func errPlain() error {
	return domain.ErrNotEncrypted("the storage does not say that it encrypts with keys", nil)
}

// probe makes sure, once, that the server encrypts: it begins an upload that it gives up. So nothing
// is ever sent to a server that takes no notice of keys.
func (s *S3) probe(ctx context.Context, key string, e *encrypted) error {
	if e.id == "" || s.encrypts.Load() {
		return nil
	}
	id, err := s.client.NewMultipartUpload(ctx, s.bucket, s.prefix+key, e.options)
	if err != nil {
		return translate(ctx, "write", e.id, err)
	}
	if err := s.client.AbortMultipartUpload(ctx, s.bucket, s.prefix+key, id); err != nil {
		return translate(ctx, "write", e.id, err)
	}
	if e.plain.Load() {
		return errPlain()
	}
	s.encrypts.Store(true)
	return nil
}

// check removes a value that a server did not encrypt all the same.
func (s *S3) check(ctx context.Context, key string, e *encrypted) error {
	if !e.plain.Load() {
		return nil
	}
	s.encrypts.Store(false)
	return errors.Join(errPlain(), s.Delete(context.WithoutCancel(ctx), key))
}

// keyNames are names of keys in the texts of servers.
var keyNames = regexp.MustCompile(`arn:[a-z0-9-]+:kms:[^\s'"<>]*`)

// withoutKeys returns the error of a server without the names of keys.
func withoutKeys(id domain.EncryptionKeyID, err error) error {
	text, code := err.Error(), minio.ToErrorResponse(err).Code
	if strings.HasPrefix(code, "KMS.") {
		return errors.New(code) // its text is about the key
	}
	hidden := keyNames.ReplaceAllString(text, "(a key)")
	if id != "" {
		hidden = strings.ReplaceAll(hidden, string(id), "(a key)")
	}
	if hidden == text {
		return err
	}
	return errors.New(hidden)
}

// refusesKey returns why a write under a key was refused, or "" if that is not the key's fault. A
// server says AccessDenied for a key that it may not use, and also for a bucket.
func refusesKey(id domain.EncryptionKeyID, err error) string {
	is := minio.ToErrorResponse(err)
	switch {
	case id == "":
		return ""
	case strings.HasPrefix(is.Code, "KMS."), is.Code == minio.AccessDenied, is.Code == minio.InvalidArgument,
		is.StatusCode == http.StatusNotImplemented:
		return fmt.Sprintf("the storage answers %s", is.Code)
	}
	return ""
}
