package http

import "github.com/niyanta/niyanta/adapters/http/gen"

// maskedText stands for text that a viewer doesn't see: that there is one, it does see.
const maskedText = "[masked]"

// maskText masks a text that is there.
func maskText(s *string) {
	if s != nil && *s != "" {
		*s = maskedText
	}
}

// maskWorkload takes out of a workload what its customer or its program put there: viewers see what becomes of workloads, not
// what they work on. A reason that came with a failure holds its message; its type remains.
func maskWorkload(w *gen.Workload) {
	w.InputParams, w.ResultData = raw(""), raw("")
	maskText(w.ProgressMessage)
	maskText(w.ErrorMessage)
	if w.ErrorType != nil && w.StatusReason != nil {
		w.StatusReason = w.ErrorType
	}
}
