package contracttests

import (
	"errors"
	"io"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

// blobKeyCases are about the keys that values are encrypted with.
func blobKeyCases() []Case[BlobHarness] {
	const one, other domain.EncryptionKeyID = "arn:aws:kms:eu-central-1:1:key/one", "alias/other"
	return []Case[BlobHarness]{
		{"a value is stored under its key, or not at all", "A storage that does not encrypt with that key",
			func(t T, h BlobHarness) {
				s := h.Open()
				put(t, s, "old", "plain")
				for _, n := range []int{0, 100, largeBlob} {
					for key, under := range map[string]domain.EncryptionKeyID{"old": one, "new/one": other} {
						read := false
						_, err := s.Put(t.Context(), key, io.MultiReader(readerFunc(func([]byte) (int, error) {
							read = true
							return 0, io.EOF
						}), pattern('k', n)), under)
						if h.Under != nil {
							require.NoError(t, err)
							require.Equal(t, under, h.Under(key))
							require.Len(t, stored(t, h.Open(), key), n)
							continue
						}
						require.True(t, domain.IsNotEncrypted(err), "%v", err)
						require.NotContains(t, err.Error(), string(under), "keys are not for logs")
						require.False(t, read, "nothing is sent to where it cannot be encrypted")
						require.Equal(t, []string{"old"}, listed(t, h.Open(), "", "", 10))
						require.Equal(t, "plain", stored(t, h.Open(), "old"))
					}
				}
			}},
		{"values of several keys, and without one, are beside each other", "whatever it is encrypted with",
			func(t T, h BlobHarness) {
				s := h.Open()
				for key, under := range map[string]domain.EncryptionKeyID{"a": "", "b": one, "c": other} {
					_, err := s.Put(t.Context(), key, strings.NewReader(key), under)
					if h.Under == nil && under != "" {
						require.True(t, domain.IsNotEncrypted(err), "%v", err)
						continue
					}
					require.NoError(t, err)
				}
				require.Equal(t, "a", stored(t, s, "a"))
				if h.Under == nil {
					require.Equal(t, []string{"a"}, listed(t, s, "", "", 10))
					return
				}
				require.Equal(t, "b", stored(t, s, "b"))
				require.Equal(t, []domain.EncryptionKeyID{"", one, other},
					[]domain.EncryptionKeyID{h.Under("a"), h.Under("b"), h.Under("c")})
				// A key that is taken away, or changed, leaves what was written as it is.
				put(t, s, "a2", "x")
				require.Equal(t, "c", stored(t, s, "c"))
				put(t, s, "b", "again")
				require.Empty(t, h.Under("b"), "the key of the last Put counts")
			}},
		{"a value under a key whose source fails is not stored", "If r fails, Put returns its error and nothing is stored",
			func(t T, h BlobHarness) {
				s := h.Open()
				put(t, s, "old", "1")
				for _, n := range []int{100, largeBlob} {
					_, err := s.Put(t.Context(), "old", breaking(n, func() error { return errSource }), one)
					if h.Under == nil {
						require.True(t, domain.IsNotEncrypted(err), "%v", err)
					} else {
						require.ErrorIs(t, err, errSource)
					}
				}
				require.Equal(t, "1", stored(t, s, "old"))
			}},
		{"what is no id of a key is refused", "CodeInvalidInput if under is no id of a key", func(t T, h BlobHarness) {
			s := h.Open()
			for _, bad := range []domain.EncryptionKeyID{" ", "a b", "a\r\nX-Amz-Acl: public-read", "é", "\x00",
				domain.EncryptionKeyID(strings.Repeat("k", domain.MaxEncryptionKeyID+1))} {
				_, err := s.Put(t.Context(), "k", strings.NewReader("x"), bad)
				requireCode(t, err, domain.CodeInvalidInput)
			}
			require.Empty(t, listed(t, s, "", "", 10))
		}},
		{"many write under their keys at once", "It is safe for concurrent use", func(t T, h BlobHarness) {
			errs := race(8, func(i int) error {
				under := []domain.EncryptionKeyID{one, other}[i%2]
				key := "of-" + string(rune('a'+i))
				_, err := h.Open().Put(t.Context(), key, strings.NewReader(key), under)
				switch {
				case h.Under == nil && domain.IsNotEncrypted(err):
					return nil
				case err == nil && h.Under != nil && h.Under(key) != under:
					return errors.New(key + " is under another key")
				}
				return err
			})
			require.NoError(t, errors.Join(errs...))
		}},
	}
}
