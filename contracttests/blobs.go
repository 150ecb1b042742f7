package contracttests

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// BlobHarness hooks a storage of blobs into the suite.
type BlobHarness struct {
	// Open returns a new handle on the same storage with each call, as another process would have.
	Open func() ports.BlobStore
	// Under returns the key that a value is encrypted with. Nil if the storage can encrypt none.
	Under func(key string) domain.EncryptionKeyID
}

// largeBlob is more than a storage sends or holds at once.
const largeBlob = 20<<20 + 7

// pattern returns a reader of n bytes of a text that depends on seed.
func pattern(seed byte, n int) io.Reader {
	text := bytes.Repeat([]byte{seed, 'n', 'i', 'y', 'a', 'n', 't', 'a', seed + 1}, 113)
	return io.LimitReader(&repeated{text: text}, int64(n))
}

// repeated delivers a text again and again.
type repeated struct {
	text []byte
	at   int
}

// Read implements io.Reader.
func (r *repeated) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}

// stored reads a value. It is empty if there is none.
func stored(t T, s ports.BlobStore, key string) string {
	t.Helper()
	r, is, err := s.Get(t.Context(), key)
	if domain.IsCode(err, domain.CodeNotFound) {
		return ""
	}
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, errors.Join(err, r.Close()))
	require.Equal(t, key, is.Key)
	require.EqualValues(t, len(b), is.Size)
	return string(b)
}

func put(t T, s ports.BlobStore, key, value string) {
	t.Helper()
	_, err := s.Put(t.Context(), key, strings.NewReader(value), "")
	require.NoError(t, err)
}

// listed returns the keys that List returns, page by page.
func listed(t T, s ports.BlobStore, prefix, after string, limit int) (keys []string) {
	t.Helper()
	for {
		page, err := s.List(t.Context(), prefix, after, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), limit)
		for _, b := range page {
			keys = append(keys, b.Key)
		}
		if len(page) < limit {
			return keys
		}
		after = page[len(page)-1].Key
	}
}

// badKeys are no keys.
var badKeys = []string{
	"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "a/./b", ".a", "a/.b", "a\x00", "a/\x00b", "a b",
	"a\\b", "a\n", "é", "a%2e", "C:a", "a\xff", strings.Repeat("a", 201),
	strings.Repeat("ab/", domain.MaxBlobKey/3) + "abcdef",
}

// BlobCases is the suite of the BlobStore port.
func BlobCases() []Case[BlobHarness] {
	return append([]Case[BlobHarness]{
		{"a value is read as it was written", "It delivers the whole value and then io.EOF", func(t T, h BlobHarness) {
			s := h.Open()
			for key, n := range map[string]int{
				"empty": 0, "one": 1, "a/b.c/month=2026-08/x_y-z.jsonl.zst": 1000, "part": 8 << 20, "large": largeBlob,
			} {
				before := time.Now().Add(-time.Minute)
				sum, err := s.Put(t.Context(), key, iotest.HalfReader(pattern('a', n)), "")
				require.NoError(t, err)
				want := sha256.New()
				_, err = io.Copy(want, pattern('a', n))
				require.NoError(t, err)
				require.Equal(t, ports.BlobSum{Size: int64(n), Checksum: [32]byte(want.Sum(nil))}, sum, "what r delivered")
				r, is, err := s.Get(t.Context(), key)
				require.NoError(t, err)
				got := sha256.New()
				read, err := io.Copy(got, r)
				require.NoError(t, errors.Join(err, r.Close()))
				require.EqualValues(t, n, read)
				require.Equal(t, want.Sum(nil), got.Sum(nil))
				require.EqualValues(t, n, is.Size)
				require.True(t, is.ModifiedAt.After(before) && is.ModifiedAt.Before(time.Now().Add(time.Minute)), is.ModifiedAt)
			}
		}},
		{"a key without a value is not found", "CodeNotFound when the key has no value", func(t T, h BlobHarness) {
			s := h.Open()
			put(t, s, "a/b", "1")
			for _, key := range []string{"a", "a/c", "a/b/c", "b"} {
				_, _, err := s.Get(t.Context(), key)
				requireCode(t, err, domain.CodeNotFound)
			}
		}},
		{"a value replaces the one before", "in place of what the key had", func(t T, h BlobHarness) {
			s := h.Open()
			put(t, s, "k", "a long value")
			put(t, s, "k", "short")
			require.Equal(t, "short", stored(t, h.Open(), "k"))
			require.Equal(t, []string{"k"}, listed(t, s, "", "", 10))
		}},
		{"a deleted value is gone, and deleting succeeds again", "It succeeds if there is none", func(t T, h BlobHarness) {
			s := h.Open()
			put(t, s, "a/b/c", "1")
			put(t, s, "a/d", "2")
			for range 2 {
				require.NoError(t, s.Delete(t.Context(), "a/b/c"))
			}
			require.NoError(t, s.Delete(t.Context(), "never/was"))
			require.Empty(t, stored(t, h.Open(), "a/b/c"))
			require.Equal(t, []string{"a/d"}, listed(t, s, "", "", 10))
			put(t, s, "a/b/c", "3")
			require.Equal(t, "3", stored(t, s, "a/b/c"))
		}},
		{"what is no key is refused", "any other is refused with CodeInvalidInput", func(t T, h BlobHarness) {
			s := h.Open()
			for _, key := range badKeys {
				_, err := s.Put(t.Context(), key, strings.NewReader("x"), "")
				requireCode(t, err, domain.CodeInvalidInput)
				_, _, err = s.Get(t.Context(), key)
				requireCode(t, err, domain.CodeInvalidInput)
				requireCode(t, s.Delete(t.Context(), key), domain.CodeInvalidInput)
				if key != "" && key != "a/" {
					_, err = s.List(t.Context(), key, "", 10)
					requireCode(t, err, domain.CodeInvalidInput)
				}
			}
			require.Empty(t, listed(t, s, "", "", 10), "nothing was stored")
		}},
		{"values are listed in order, by prefix, page by page",
			"whose keys begin with prefix and are greater than after, in the order of the bytes of their keys",
			func(t T, h BlobHarness) {
				s := h.Open()
				keys := []string{
					"a-b", "a.b", "a/1", "a/1-2/x", "a/1.5", "a/1=/y", "a/2/1/1", "a/2/1/2", "a/2/2", "a0", "aA", "b/c",
				}
				for i := range keys { // in another order
					put(t, s, keys[(i*5+3)%len(keys)], fmt.Sprint(i))
				}
				for _, limit := range []int{1, 2, 5, 1000} {
					require.Equal(t, keys, listed(t, s, "", "", limit))
					require.Equal(t, keys[2:9], listed(t, s, "a/", "", limit))
					require.Equal(t, keys[6:8], listed(t, s, "a/2/1", "", limit))
					require.Equal(t, keys[2:6], listed(t, s, "a/1", "", limit))
					require.Equal(t, keys[7:], listed(t, s, "", "a/2/1/1", limit))
					require.Equal(t, keys[8:9], listed(t, s, "a/2", "a/2/1/3", limit))
					require.Empty(t, listed(t, s, "a/3", "", limit))
					require.Empty(t, listed(t, s, "c/", "", limit))
				}
				none, err := s.List(t.Context(), "", "", 0)
				require.NoError(t, err)
				require.Empty(t, none)
				page, err := s.List(t.Context(), "b", "", 1)
				require.NoError(t, err)
				require.EqualValues(t, len(stored(t, s, "b/c")), page[0].Size)
			}},
	}, append(blobKeyCases(), blobFaultCases()...)...)
}
