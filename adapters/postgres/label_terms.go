package postgres

import (
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/niyanta/niyanta/core/domain"
)

// labelTerms returns the terms under which the index finds labels of a customer's workloads: for
// each label the first 64 bits of a digest of the customer, the key and the value. So the index has
// short terms, and one customer's labels are not read for another. Migration 18 computes the same.
func labelTerms(customer domain.CustomerID, labels map[string]string) []int64 {
	terms := make([]int64, 0, len(labels))
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		sum := sha256.Sum256([]byte(strings.Join([]string{string(customer), k, labels[k]}, "\x1f")))
		terms = append(terms, int64(binary.BigEndian.Uint64(sum[:]))) //nolint:gosec // any 64 bits will do
	}
	return terms
}

// labelTermsOf returns the terms of a workload as the text of an array, nil if it has no labels.
func labelTermsOf(w *domain.Workload) *string {
	if len(w.Labels) == 0 {
		return nil
	}
	terms := each(labelTerms(w.CustomerID, w.Labels), func(t int64) string { return strconv.FormatInt(t, 10) })
	return new("{" + strings.Join(terms, ",") + "}")
}
