package http

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/services/lifecycle"
)

// once makes the answer to a batch, or repeats the one that a request with the same idempotency key
// got before; see lifecycle.Service.Once. Answers belong to customers: the one to an administrator
// who acts for several is not kept.
func once[T any](ctx context.Context, a *api, key string, do func() (T, error)) (out T, err error) {
	s := scopeOf(ctx)
	if key == "" || s.principal.CustomerID == "" {
		return do()
	}
	body, err := a.Lifecycle.Once(ctx, s.principal.CustomerID, lifecycle.RepeatableRequest{
		Key: key, Operation: http.MethodPost + " " + s.op.path, Digest: s.digest,
	}, func() (domain.JSON, error) {
		out, err := do()
		if err != nil {
			return "", err
		}
		text, err := json.Marshal(out)
		return domain.JSON(text), err
	})
	if err == nil {
		err = json.Unmarshal([]byte(body), &out)
	}
	return out, err
}

// digestOf identifies a body by its value. White space and the order of fields do not matter. Of an
// item that was refused, the error counts.
func digestOf(value any, refused map[int]error) [32]byte {
	h := sha256.New()
	_ = json.NewEncoder(h).Encode(value) // it was read from JSON; a hash never fails to write
	for _, i := range slices.Sorted(maps.Keys(refused)) {
		_, _ = fmt.Fprintln(h, i, refused[i])
	}
	return [32]byte(h.Sum(nil))
}
