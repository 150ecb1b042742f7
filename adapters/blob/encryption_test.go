package blob_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	sseHeader = "X-Amz-Server-Side-Encryption"
	keyHeader = "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"
	secretKey = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd"
)

// kms stands before an S3 server. It says of each value that it was encrypted if its request asks for
// that, and remembers the key. The server behind it takes no notice of keys.
type kms struct {
	*httptest.Server

	mu       sync.Mutex
	requests []string                           // what asked for encryption: method, kind
	under    map[string]string                  // the key of each object
	uploads  map[string]string                  // the key of each upload in parts
	answer   func(*http.Request) *http.Response // instead of the server's; nil: none
	mute     bool                               // says nothing of encryption
}

// startKMS returns it, and the URL of its bucket.
func startKMS(t *testing.T) (*kms, func(prefix, more string) string) {
	t.Helper()
	behind, _ := startS3(t)
	to, err := url.Parse(behind.Endpoint())
	require.NoError(t, err)
	k := &kms{under: map[string]string{}, uploads: map[string]string{}}
	pool := &http.Transport{}
	t.Cleanup(pool.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{
		Transport: pool,
		// The Host stays as it is: the client has signed it.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = to.Scheme, to.Host
			r.Out.Host = r.In.Host
		},
		ModifyResponse: k.note,
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	k.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.mu.Lock()
		answer := k.answer
		k.mu.Unlock()
		if answer != nil {
			if a := answer(r); a != nil {
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(a.StatusCode)
				_, _ = io.Copy(w, a.Body)
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(k.Close)
	return k, func(prefix, more string) string {
		return fmt.Sprintf("s3://%s/%s?endpoint=%s&region=us-east-1&path_style=true%s", bucket, prefix,
			url.QueryEscape(k.URL), more)
	}
}

// note remembers what an answered request has asked for.
func (k *kms) note(a *http.Response) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	r, q := a.Request, a.Request.URL.Query()
	begins, ends := r.Method == http.MethodPost && q.Has("uploads"), r.Method == http.MethodPost && q.Has("uploadId")
	single := r.Method == http.MethodPut && !q.Has("uploadId")
	if a.StatusCode != http.StatusOK || !begins && !ends && !single {
		return nil
	}
	under := ""
	if r.Header.Get(sseHeader) == "aws:kms" {
		under = r.Header.Get(keyHeader)
	}
	if under != "" && !ends {
		k.requests = append(k.requests, map[bool]string{true: "parts", false: "single"}[begins])
		if !k.mute {
			a.Header.Set(sseHeader, "aws:kms")
		}
	}
	switch {
	case single:
		k.under[r.URL.Path] = under
	case begins:
		b, err := io.ReadAll(a.Body)
		_ = a.Body.Close()
		a.Body = io.NopCloser(bytes.NewReader(b))
		_, id, _ := strings.Cut(string(b), "<UploadId>")
		id, _, _ = strings.Cut(id, "<")
		k.uploads[id] = under
		return err
	case ends:
		k.under[r.URL.Path] = k.uploads[q.Get("uploadId")]
	}
	return nil
}

func (k *kms) set(answer func(*http.Request) *http.Response) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answer = answer
}

// asked returns what asked for encryption since the last call.
func (k *kms) asked() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	is := k.requests
	k.requests = nil
	return is
}

// of returns the key that a value was stored under.
func (k *kms) of(prefix string) func(key string) domain.EncryptionKeyID {
	return func(key string) domain.EncryptionKeyID {
		k.mu.Lock()
		defer k.mu.Unlock()
		return domain.EncryptionKeyID(k.under["/"+bucket+"/"+prefix+"/"+key])
	}
}

func TestS3_ThatEncrypts_KeepsItsContract(t *testing.T) {
	k, location := startKMS(t)
	n := 0
	contracttests.Run(t, "BlobStore", "s3-keys", contracttests.BlobCases(), func(t *testing.T) contracttests.BlobHarness {
		n++
		prefix := fmt.Sprintf("of/case-%d", n)
		return contracttests.BlobHarness{
			Open: func() ports.BlobStore { return open(t, location(prefix, "")) }, Under: k.of(prefix),
		}
	})
}

func TestS3_SmallAndLargeValues_AskForTheirKeyOnceItIsKnownToBeUsed(t *testing.T) {
	k, location := startKMS(t)
	s := open(t, location("a", ""))
	_, err := s.Put(t.Context(), "small", strings.NewReader("x"), secretKey)
	require.NoError(t, err)
	assert.Equal(t, []string{"parts", "single"}, k.asked(), "the first asks before it sends")
	_, err = s.Put(t.Context(), "small", strings.NewReader("x"), "alias/other")
	require.NoError(t, err)
	assert.Equal(t, []string{"single"}, k.asked())
	_, err = s.Put(t.Context(), "large", io.LimitReader(zeros{}, 20<<20), secretKey)
	require.NoError(t, err)
	assert.Equal(t, []string{"parts"}, k.asked())
	_, err = s.Put(t.Context(), "none", strings.NewReader("x"), "")
	require.NoError(t, err)
	assert.Empty(t, k.asked())
	assert.Equal(t, []domain.EncryptionKeyID{"alias/other", secretKey, ""},
		[]domain.EncryptionKeyID{k.of("a")("small"), k.of("a")("large"), k.of("a")("none")})
}

func TestS3_WithADefaultKey_UsesItForValuesWithoutTheirOwn(t *testing.T) {
	k, location := startKMS(t)
	s := open(t, location("a", "&kms_key_id="+"alias%2Fall"))
	for key, under := range map[string]domain.EncryptionKeyID{"own": secretKey, "default": ""} {
		_, err := s.Put(t.Context(), key, strings.NewReader("x"), under)
		require.NoError(t, err)
	}
	assert.Equal(t, domain.EncryptionKeyID(secretKey), k.of("a")("own"))
	assert.Equal(t, domain.EncryptionKeyID("alias/all"), k.of("a")("default"))
}

// TestS3_ThatEncryptsNoMore_KeepsNothing: a server that did encrypt may be replaced by one that does not.
func TestS3_ThatEncryptsNoMore_KeepsNothing(t *testing.T) {
	k, location := startKMS(t)
	s := open(t, location("a", ""))
	_, err := s.Put(t.Context(), "first", strings.NewReader("x"), secretKey)
	require.NoError(t, err)
	k.mu.Lock()
	k.mute = true
	k.mu.Unlock()
	for key, n := range map[string]int64{"small": 10, "large": 20 << 20} {
		_, err = s.Put(t.Context(), key, io.LimitReader(zeros{}, n), secretKey)
		require.True(t, domain.IsNotEncrypted(err), "%s: %v", key, err)
		require.Len(t, list(t, s), 1, "%s is removed", key)
		k.asked()
	}
	_, err = s.Put(t.Context(), "again", strings.NewReader("x"), secretKey)
	require.True(t, domain.IsNotEncrypted(err))
	assert.Equal(t, []string{"parts"}, k.asked(), "it asks first again, and sends nothing")
}

func TestS3_WhenTheKeyCannotBeUsed_SaysSoWithoutItsNameAndComesBack(t *testing.T) {
	k, location := startKMS(t)
	for _, warm := range []bool{false, true} {
		s := open(t, location("a", ""))
		if warm {
			k.set(nil)
			_, err := s.Put(t.Context(), "k", strings.NewReader("1"), secretKey)
			require.NoError(t, err)
		}
		for _, refusal := range []struct {
			status        int
			code, message string
		}{
			{403, "AccessDenied", "User: arn:aws:sts::1:assumed-role/x is not authorized to perform: " +
				"kms:GenerateDataKey on resource: " + secretKey + " because no policy allows it"},
			{400, "KMS.NotFoundException", "Key '" + secretKey + "' does not exist"},
			{400, "KMS.DisabledException", secretKey + " is disabled."},
			{400, "InvalidArgument", "Invalid " + secretKey},
			{501, "NotImplemented", "A header you provided implies functionality that is not implemented: " + secretKey},
		} {
			k.set(func(r *http.Request) *http.Response {
				if r.Header.Get(sseHeader) == "" {
					return nil
				}
				return &http.Response{StatusCode: refusal.status, Body: io.NopCloser(strings.NewReader(
					"<?xml version=\"1.0\"?><Error><Code>" + refusal.code + "</Code><Message>" + refusal.message +
						"</Message></Error>"))}
			})
			for _, n := range []int64{10, 20 << 20} {
				_, err := s.Put(t.Context(), "k", io.LimitReader(zeros{}, n), secretKey)
				require.True(t, domain.IsNotEncrypted(err), "%s: %v", refusal.code, err)
				require.ErrorContains(t, err, refusal.code)
				require.NotContains(t, err.Error(), "1234abcd")
			}
			_, err := s.Put(t.Context(), "other", strings.NewReader("1"), "")
			require.NoError(t, err, "values of others are stored")
		}
		k.set(nil)
		_, err := s.Put(t.Context(), "k", strings.NewReader("2"), secretKey)
		require.NoError(t, err)
	}
}

// TestS3_ReadingUnderAKeyThatIsTakenAway_IsUnavailableWithoutItsName: what cannot be decrypted now is
// not missing.
func TestS3_ReadingUnderAKeyThatIsTakenAway_IsUnavailableWithoutItsName(t *testing.T) {
	k, location := startKMS(t)
	s := open(t, location("a", ""))
	_, err := s.Put(t.Context(), "k", strings.NewReader("1"), secretKey)
	require.NoError(t, err)
	k.set(func(r *http.Request) *http.Response {
		if r.Method != http.MethodGet {
			return nil
		}
		return &http.Response{StatusCode: 403, Body: io.NopCloser(strings.NewReader("<?xml version=\"1.0\"?><Error>" +
			"<Code>AccessDenied</Code><Message>kms:Decrypt on resource: " + secretKey + "</Message></Error>"))}
	})
	_, _, err = s.Get(t.Context(), "k")
	require.True(t, domain.IsCode(err, domain.CodeUnavailable), "%v", err)
	require.NotContains(t, err.Error(), "1234abcd")
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
