package blob

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/niyanta/niyanta/adapters/internal/summed"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// partSize is the size of the parts in which large values are sent. At most two of them are in
// memory. S3 takes 10,000 parts, so a value may have 80 GB.
const partSize = 8 << 20

// answerTimeout bounds how long a server may take to begin an answer.
const answerTimeout = 20 * time.Second

// S3 implements ports.BlobStore in a bucket. It is safe for concurrent use.
type S3 struct {
	client *minio.Core
	bucket string
	prefix string // empty, or ends in "/"
	// key is that of values without one of their own.
	key domain.EncryptionKeyID
	// encrypts is set once the server has said that it has encrypted.
	encrypts atomic.Bool
}

// s3Place is what a URL says about a bucket.
type s3Place struct {
	bucket, prefix, endpoint, region string
	secure, pathStyle                bool
	key                              domain.EncryptionKeyID
}

// parseS3 reads s3://bucket/prefix?endpoint=URL&region=NAME&path_style=true&kms_key_id=ID.
func parseS3(u *url.URL) (p s3Place, err error) {
	p = s3Place{bucket: u.Host, endpoint: "s3.amazonaws.com", secure: true}
	if p.prefix = strings.Trim(u.Path, "/"); p.prefix != "" {
		if domain.ValidateBlobKey(p.prefix) != nil {
			return p, errors.New(`the prefix must be names of letters, digits, ".", "_", "=" and "-"`)
		}
		p.prefix += "/"
	}
	if p.bucket == "" {
		return p, errors.New("the bucket is missing: it looks like s3://bucket/prefix?region=eu-central-1")
	}
	if u.User != nil {
		return p, errors.New("credentials do not belong here: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, " +
			"or use a role or a credentials file")
	}
	for name, values := range u.Query() {
		value := values[len(values)-1]
		switch name {
		case "region":
			p.region = value
		case "path_style":
			p.pathStyle = value == "true"
			if value != "true" && value != "false" {
				return p, errors.New("path_style must be true or false")
			}
		case "endpoint":
			e, err := url.Parse(value)
			if err != nil || e.Host == "" || e.Scheme != "http" && e.Scheme != "https" || strings.Trim(e.Path, "/") != "" {
				return p, errors.New("endpoint must look like https://host:9000")
			}
			p.endpoint, p.secure = e.Host, e.Scheme == "https"
		case "kms_key_id":
			p.key = domain.EncryptionKeyID(value)
			if p.key.Validate("") != nil || p.key == "" {
				return p, errors.New("kms_key_id must have 1 to 2048 printable ASCII characters and no spaces")
			}
		default:
			return p, fmt.Errorf("unknown parameter %q: there are endpoint, region, path_style and kms_key_id", name)
		}
	}
	return p, nil
}

// openS3 returns the bucket of a URL. It does not ask the server for anything. Credentials come from
// the places where AWS's own tools look for them.
func openS3(u *url.URL) (*S3, error) {
	p, err := parseS3(u)
	if err != nil {
		return nil, err
	}
	transport, err := minio.DefaultTransport(p.secure)
	if err != nil {
		return nil, err
	}
	transport.ResponseHeaderTimeout = answerTimeout
	options := &minio.Options{
		Transport: noting{transport},
		Creds:     newKeys(transport),
		Secure:    p.secure, Region: p.region, MaxRetries: 3,
	}
	if p.pathStyle {
		options.BucketLookup = minio.BucketLookupPath
	}
	c, err := minio.NewCore(p.endpoint, options)
	if err != nil {
		return nil, err
	}
	return &S3{client: c, bucket: p.bucket, prefix: p.prefix, key: p.key}, nil
}

// Encrypts implements ports.BlobStore. A server that does not is found out by Put.
func (*S3) Encrypts() bool { return true }

// Put implements ports.BlobStore. A value that fits in one part is sent at once.
func (s *S3) Put(
	ctx context.Context, key string, r io.Reader, id domain.EncryptionKeyID,
) (ports.BlobSum, error) {
	if err := errors.Join(domain.ValidateBlobKey(key), id.Validate("under")); err != nil {
		return ports.BlobSum{}, err
	}
	to, e, err := under(ctx, cmp.Or(id, s.key))
	if err == nil {
		err = s.probe(to, key, e)
	}
	if err != nil {
		return ports.BlobSum{}, err
	}
	sum := summed.New(ctx, r)
	var first bytes.Buffer
	n, err := io.Copy(&first, io.LimitReader(sum, partSize))
	if err == nil {
		value, size := io.Reader(bytes.NewReader(first.Bytes())), n // can be sent again
		if n == partSize {
			value, size = io.MultiReader(&first, sum), -1
		}
		_, err = s.client.Client.PutObject(to, s.bucket, s.prefix+key, value, size, e.options)
	}
	switch {
	case sum.Err() != nil:
		return ports.BlobSum{}, sum.Err()
	case err != nil:
		return ports.BlobSum{}, translate(ctx, "write", e.id, err)
	}
	return sum.Sum(), s.check(ctx, key, e)
}

// Get implements ports.BlobStore.
func (s *S3) Get(ctx context.Context, key string) (io.ReadCloser, domain.Blob, error) {
	if err := domain.ValidateBlobKey(key); err != nil {
		return nil, domain.Blob{}, err
	}
	r, info, _, err := s.client.GetObject(ctx, s.bucket, s.prefix+key, minio.GetObjectOptions{})
	if err != nil {
		return nil, domain.Blob{}, translate(ctx, "read", "", err)
	}
	return answer{ctx, r}, domain.Blob{Key: key, Size: info.Size, ModifiedAt: info.LastModified.UTC()}, nil
}

// answer is the body of an answer.
type answer struct {
	ctx context.Context //nolint:containedctx // it belongs to the call that returned it
	io.ReadCloser
}

// Read implements io.Reader.
func (a answer) Read(p []byte) (int, error) {
	n, err := a.ReadCloser.Read(p)
	if err != nil && err != io.EOF { //nolint:errorlint // a wrapped io.EOF is not the end
		err = translate(a.ctx, "read", "", err)
	}
	return n, err
}

// Delete implements ports.BlobStore.
func (s *S3) Delete(ctx context.Context, key string) error {
	if err := domain.ValidateBlobKey(key); err != nil {
		return err
	}
	err := s.client.Client.RemoveObject(ctx, s.bucket, s.prefix+key, minio.RemoveObjectOptions{})
	if err = translate(ctx, "remove", "", err); domain.IsCode(err, domain.CodeNotFound) {
		return nil
	}
	return err
}

// List implements ports.BlobStore.
func (s *S3) List(ctx context.Context, prefix, after string, limit int) ([]domain.Blob, error) {
	if err := domain.ValidateBlobPrefix(prefix); err != nil {
		return nil, err
	}
	options := minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true, MaxKeys: min(limit, 1000)}
	if after != "" {
		options.StartAfter = s.prefix + after
	}
	var out []domain.Blob
	if limit <= 0 {
		return out, ctx.Err()
	}
	for o := range s.client.Client.ListObjectsIter(ctx, s.bucket, options) {
		if o.Err != nil {
			return nil, translate(ctx, "list", "", o.Err)
		}
		key := strings.TrimPrefix(o.Key, s.prefix)
		if domain.ValidateBlobKey(key) != nil {
			continue // somebody else put it there
		}
		if out = append(out, domain.Blob{Key: key, Size: o.Size, ModifiedAt: o.LastModified.UTC()}); len(out) == limit {
			break
		}
	}
	return out, ctx.Err()
}

// translate gives an error of the client its code. id is the key of a write. Names of keys are left out.
func translate(ctx context.Context, what string, id domain.EncryptionKeyID, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case minio.ToErrorResponse(err).Code == minio.NoSuchKey:
		return domain.NotFound("blob")
	case refusesKey(id, err) != "":
		return domain.ErrNotEncrypted(refusesKey(id, err), withoutKeys(id, err))
	}
	return unavailable(what, withoutKeys(id, err))
}
