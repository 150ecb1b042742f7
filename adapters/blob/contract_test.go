package blob_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/niyanta/niyanta/adapters/blob"
	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/contracttests/servers"
	"github.com/niyanta/niyanta/core/ports"
)

func TestMain(m *testing.M) {
	os.Exit(servers.Run(m, func() error {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		return goleak.Find()
	}))
}

// open opens the storage that a URL names. It is closed with the test.
func open(t *testing.T, location string) ports.BlobStore {
	t.Helper()
	s, closeIt, err := blob.Open(location)
	require.NoError(t, err)
	t.Cleanup(closeIt)
	return s
}

func TestFiles_KeepTheirContract(t *testing.T) {
	contracttests.Run(t, "BlobStore", "files", contracttests.BlobCases(), func(t *testing.T) contracttests.BlobHarness {
		dir := "file://" + filepath.ToSlash(filepath.Join(t.TempDir(), "blobs"))
		return contracttests.BlobHarness{Open: func() ports.BlobStore { return open(t, dir) }}
	})
}

const bucket = "niyanta"

// startS3 starts a server, and returns the URL of its bucket.
func startS3(t *testing.T) (*servers.S3, func(prefix string) string) {
	t.Helper()
	s := servers.StartS3(t, bucket)
	t.Setenv("AWS_ACCESS_KEY_ID", servers.S3Key)
	t.Setenv("AWS_SECRET_ACCESS_KEY", servers.S3Secret)
	return s, func(prefix string) string {
		return fmt.Sprintf("s3://%s/%s?endpoint=%s&region=us-east-1&path_style=true", bucket, prefix,
			url.QueryEscape(s.Endpoint()))
	}
}

func TestS3_KeepsItsContract(t *testing.T) {
	_, location := startS3(t)
	n := 0
	contracttests.Run(t, "BlobStore", "s3", contracttests.BlobCases(), func(t *testing.T) contracttests.BlobHarness {
		n++
		prefix := fmt.Sprintf("of/case-%d", n)
		return contracttests.BlobHarness{Open: func() ports.BlobStore { return open(t, location(prefix)) }}
	})
}

func TestOpen_OfAURLThatNamesNoStorage_SaysWhatIsWrong(t *testing.T) {
	for location, want := range map[string]string{
		"":                               "must begin with",
		"archive":                        "must begin with",
		"ftp://host/folder":              "must begin with",
		"file://relative/folder":         "a folder looks like",
		"file:///":                       "a folder looks like",
		"file:///a?b=c":                  "a folder looks like",
		"s3:///prefix":                   "the bucket is missing",
		"s3://key:secret@bucket":         "credentials do not belong here",
		"s3://bucket/../x":               "the prefix must be",
		"s3://bucket?zone=1":             "unknown parameter",
		"s3://bucket?endpoint=host:9000": "endpoint must look like",
		"s3://bucket?path_style=1":       "path_style must be",
		"s3://bucket?kms_key_id=":        "kms_key_id must have",
		"s3://bucket?kms_key_id=a%0Ab":   "kms_key_id must have",
		"file:///a\x00b":                 "not a URL",
	} {
		require.ErrorContains(t, blob.Validate(location), want, location)
		_, _, err := blob.Open(location)
		require.ErrorContains(t, err, want, location)
	}
	for _, location := range []string{
		"file:///var/lib/niyanta", "s3://bucket", "s3://bucket/a/b/?region=eu-central-1",
		"s3://bucket?endpoint=https%3A%2F%2Fhost%3A9000&path_style=true",
		"s3://bucket?kms_key_id=arn%3Aaws%3Akms%3Aeu-central-1%3A1%3Akey%2Fa-b",
	} {
		assert.NoError(t, blob.Validate(location))
	}
}
