package http

import "github.com/niyanta/niyanta/adapters/http/gen"

// maskedText replaces text that viewers may not read. They see that there is some.
const maskedText = "[masked]"

// maskText masks a text that is not empty.
func maskText(s *string) {
	if s != nil && *s != "" {
		*s = maskedText
	}
}

// maskWorkload removes from a workload what its customer or its program wrote. Viewers see what
// becomes of workloads, not what they work on. The reason of a failed run contains the program's
// message, so it is replaced by the type of the failure. One that a worker gave is masked.
func maskWorkload(w *gen.Workload, reasonByWorker bool) {
	w.InputParams, w.ResultData = raw(""), raw("")
	maskText(w.ProgressMessage)
	maskText(w.ErrorMessage)
	if reasonByWorker {
		maskText(w.StatusReason)
	} else if w.ErrorType != nil && w.StatusReason != nil {
		w.StatusReason = w.ErrorType
	}
}
