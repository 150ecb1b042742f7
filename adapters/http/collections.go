package http

func mapSlice[In, Out any](in []In, f func(*In) Out) []Out {
	out := make([]Out, len(in))
	for i := range in {
		out[i] = f(&in[i])
	}
	return out
}

func emptyIfNil[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return m
}

func emptyIfNone[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
