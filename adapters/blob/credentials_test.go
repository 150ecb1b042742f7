package blob_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// signed is an S3 server that takes all that is signed and refuses the rest, as a bucket that is not
// public does.
type signed struct {
	unsigned, puts atomic.Int32
	token          atomic.Value // what the last request had as a session token
}

// start returns the URL of its bucket.
func (s *signed) start(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s.token.Store(r.Header.Get("X-Amz-Security-Token"))
		w.Header().Set(sseHeader, r.Header.Get(sseHeader))
		switch {
		case r.Header.Get("Authorization") == "":
			s.unsigned.Add(1)
			w.WriteHeader(http.StatusForbidden)
			_, _ = fmt.Fprint(w, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
		case r.Method == http.MethodPost:
			_, _ = fmt.Fprint(w, "<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>")
		case r.Method == http.MethodPut:
			s.puts.Add(1)
			w.Header().Set("Etag", `"1"`)
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	t.Cleanup(server.Close)
	return "s3://" + bucket + "/a?path_style=true&region=us-east-1&endpoint=" + url.QueryEscape(server.URL)
}

// noCredentials leaves no place in which there are any.
func noCredentials(t *testing.T) (file string) {
	t.Helper()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_SESSION_TOKEN",
		"AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN",
		"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
	} {
		t.Setenv(name, "")
	}
	dir := t.TempDir()
	file = filepath.Join(dir, "credentials")
	t.Setenv("HOME", dir)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(dir, "config"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	// The metadata service of the machine that the tests run on is not asked.
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1")
	return file
}

// role is the metadata service of a machine with a role.
type role struct {
	lasts  time.Duration // how long what it gives is valid
	broken atomic.Bool
	asked  atomic.Int32
}

func (r *role) start(t *testing.T) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := r.asked.Add(1)
		if r.broken.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = fmt.Fprintf(w, `{"AccessKeyId":"role","SecretAccessKey":"of the machine","Token":"%d","Expiration":%q}`,
			n, time.Now().Add(r.lasts).UTC().Format(time.RFC3339))
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", server.URL)
}

// TestS3_WhileItsFileOfCredentialsIsWritten_SignsWithTheLast: the file is read again for each request,
// so a request may find it empty.
func TestS3_WhileItsFileOfCredentialsIsWritten_SignsWithTheLast(t *testing.T) {
	file := noCredentials(t)
	(&role{lasts: time.Hour}).start(t) // may do other things than those of the file
	const text = "[default]\naws_access_key_id = key\naws_secret_access_key = secret\naws_session_token = file\n"
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	var server signed
	s := open(t, server.start(t))
	for _, now := range []string{text, "", "[default]\naws_access_key_id = key\n", "[other]\n"} {
		require.NoError(t, os.WriteFile(file, []byte(now), 0o600))
		_, err := s.Put(t.Context(), "k", strings.NewReader("1"), secretKey)
		require.NoError(t, err, now)
		assert.Equal(t, "file", server.token.Load(), now)
	}
	assert.Zero(t, server.unsigned.Load())
}

// TestS3_WhenItsRoleCannotBeAsked_SendsNothingUnsigned: the storage would say AccessDenied, which under
// a customer's key means that the key may not be used.
func TestS3_WhenItsRoleCannotBeAsked_SendsNothingUnsigned(t *testing.T) {
	noCredentials(t)
	r := &role{lasts: -time.Second}
	r.start(t)
	for _, later := range []bool{false, true} {
		var server signed
		s := open(t, server.start(t))
		r.broken.Store(!later)
		if later {
			_, err := s.Put(t.Context(), "k", strings.NewReader("1"), secretKey)
			require.NoError(t, err)
			r.broken.Store(true)
		}
		_, err := s.Put(t.Context(), "k", strings.NewReader("2"), secretKey)
		require.True(t, domain.IsCode(err, domain.CodeUnavailable), "%v", err)
		require.False(t, domain.IsNotEncrypted(err), "%v", err)
		require.ErrorContains(t, err, "500 Internal Server Error", "it says why")
		_, _, err = s.Get(t.Context(), "k")
		require.True(t, domain.IsCode(err, domain.CodeUnavailable), "%v", err)
		assert.Zero(t, server.unsigned.Load())
	}
}

func TestS3_WithHalfOfAKey_SendsNothingUnsigned(t *testing.T) {
	noCredentials(t)
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	var server signed
	_, err := open(t, server.start(t)).Put(t.Context(), "k", strings.NewReader("1"), "")
	require.True(t, domain.IsCode(err, domain.CodeUnavailable), "%v", err)
	require.ErrorContains(t, err, "AWS_SECRET_ACCESS_KEY")
	assert.Zero(t, server.unsigned.Load())
}
