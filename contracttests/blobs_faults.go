package contracttests

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

var errSource = errors.New("the source broke")

// breaking delivers n bytes and then calls f, whose error it returns.
func breaking(n int, f func() error) io.Reader {
	return io.MultiReader(pattern('b', n), readerFunc(func([]byte) (int, error) { return 0, f() }))
}

type readerFunc func(p []byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// blobFaultCases are about what happens while values are written and read.
func blobFaultCases() []Case[BlobHarness] {
	sizes := []int{0, 100, largeBlob}
	return []Case[BlobHarness]{
		{"a value whose source fails is not stored", "If r fails, Put returns its error and nothing is stored",
			func(t T, h BlobHarness) {
				s := h.Open()
				put(t, s, "old", "1")
				for _, want := range []error{
					errSource, io.ErrUnexpectedEOF, fmt.Errorf("wrapped: %w", io.EOF), domain.NewError(domain.CodeConflict, "x"),
				} {
					for _, n := range sizes {
						for _, key := range []string{"old", "new/one"} {
							_, err := s.Put(t.Context(), key, breaking(n, func() error { return want }), "")
							require.ErrorIs(t, err, want, "after %d bytes", n)
						}
					}
				}
				require.Equal(t, []string{"old"}, listed(t, h.Open(), "", "", 10))
				require.Equal(t, "1", stored(t, s, "old"))
			}},
		{"a cancelled context stores nothing", "the same holds for a cancelled context", func(t T, h BlobHarness) {
			s := h.Open()
			put(t, s, "old", "1")
			for _, n := range sizes {
				ctx, cancelCtx := context.WithCancel(t.Context())
				_, err := s.Put(ctx, "old", breaking(n, func() error {
					cancelCtx()
					return nil
				}), "")
				cancelCtx()
				require.ErrorIs(t, err, context.Canceled)
				// It is over when the source is at its end.
				ctx, cancelCtx = context.WithCancel(t.Context())
				_, err = s.Put(ctx, "new", breaking(n, func() error {
					cancelCtx()
					return io.EOF
				}), "")
				cancelCtx()
				require.ErrorIs(t, err, context.Canceled)
			}
			ctx, cancelCtx := context.WithDeadline(t.Context(), time.Unix(0, 0))
			defer cancelCtx()
			_, err := s.Put(ctx, "new", strings.NewReader("x"), "")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			_, _, err = s.Get(ctx, "old")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, s.Delete(ctx, "old"), context.DeadlineExceeded)
			_, err = s.List(ctx, "", "", 1)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, []string{"old"}, listed(t, s, "", "", 10))
			require.Equal(t, "1", stored(t, s, "old"))
		}},
		{"a value that is being written is not seen", "The value becomes visible as a whole", func(t T, h BlobHarness) {
			s, other := h.Open(), h.Open()
			put(t, s, "old", "1")
			for _, key := range []string{"old", "new/one"} {
				seen := false
				_, err := s.Put(t.Context(), key, breaking(largeBlob, func() error {
					seen = true
					require.Equal(t, []string{"old"}, listed(t, other, "", "", 10)[:1])
					require.Equal(t, map[string]string{"old": "1"}[key], stored(t, other, key))
					return io.EOF
				}), "")
				require.NoError(t, err)
				require.True(t, seen)
				require.Len(t, stored(t, other, key), largeBlob)
			}
		}},
		{"a reader goes on with the value that it began", "even if the value is replaced or deleted meanwhile; otherwise",
			func(t T, h BlobHarness) {
				s := h.Open()
				for name, change := range map[string]func() error{
					"replaced": func() error {
						_, err := s.Put(t.Context(), "k", pattern('c', largeBlob), "")
						return err
					},
					"deleted": func() error { return s.Delete(t.Context(), "k") },
				} {
					_, err := s.Put(t.Context(), "k", pattern('b', largeBlob), "")
					require.NoError(t, err)
					r, _, err := s.Get(t.Context(), "k")
					require.NoError(t, err)
					begin := make([]byte, 1000)
					_, err = io.ReadFull(r, begin)
					require.NoError(t, err)
					require.NoError(t, change())
					rest, err := io.ReadAll(r)
					_ = r.Close() // what counts is what was read
					if err == nil {
						want, err := io.ReadAll(pattern('b', largeBlob))
						require.NoError(t, err)
						require.Equal(t, string(want), string(begin)+string(rest), "%s: a mixture was read", name)
					}
				}
			}},
		{"a cancelled context ends a reader", "A context that is cancelled ends it", func(t T, h BlobHarness) {
			s := h.Open()
			_, err := s.Put(t.Context(), "k", pattern('b', largeBlob), "")
			require.NoError(t, err)
			ctx, cancelCtx := context.WithCancel(t.Context())
			defer cancelCtx()
			r, _, err := s.Get(ctx, "k")
			require.NoError(t, err)
			_, err = io.ReadFull(r, make([]byte, 1000))
			require.NoError(t, err)
			cancelCtx()
			_, err = io.Copy(io.Discard, r)
			require.ErrorIs(t, err, context.Canceled)
			_ = r.Close() // it may say that it was cancelled
		}},
		{"of concurrent writers of a key one wins", "Of concurrent calls with one key, the value of one remains",
			func(t T, h BlobHarness) {
				const n = 16
				errs := race(n, func(i int) error {
					_, err := h.Open().Put(t.Context(), "a/k", pattern(byte(i), 100_000+i), "")
					return err
				})
				require.NoError(t, errors.Join(errs...))
				got := stored(t, h.Open(), "a/k")
				i := len(got) - 100_000
				want, err := io.ReadAll(pattern(byte(i), 100_000+i))
				require.NoError(t, err)
				require.Equal(t, string(want), got, "the value is a mixture")
			}},
		{"many write, read, list and delete at once", "It is safe for concurrent use", func(t T, h BlobHarness) {
			s := h.Open()
			put(t, s, "shared/always", "1")
			errs := race(16, func(i int) error {
				key := fmt.Sprintf("shared/of-%d/k", i)
				for range 5 {
					if _, err := s.Put(t.Context(), key, strings.NewReader(key), ""); err != nil {
						return err
					}
					if got := stored(t, s, key); got != key {
						return fmt.Errorf("%q has the value %q", key, got)
					}
					if all := listed(t, s, "shared/", "", 3); len(all) == 0 || all[0] != "shared/always" {
						return fmt.Errorf("unexpected list: %v", all)
					}
					if err := s.Delete(t.Context(), key); err != nil {
						return err
					}
				}
				return nil
			})
			require.NoError(t, errors.Join(errs...))
			require.Equal(t, []string{"shared/always"}, listed(t, s, "", "", 10))
		}},
		{"another handle has the same values", "Put stores all that r delivers", func(t T, h BlobHarness) {
			put(t, h.Open(), "a/b", "1")
			s := h.Open()
			require.Equal(t, "1", stored(t, s, "a/b"))
			require.NoError(t, s.Delete(t.Context(), "a/b"))
			require.Empty(t, listed(t, h.Open(), "", "", 10))
		}},
	}
}
