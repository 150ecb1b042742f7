package messaging

import "github.com/niyanta/niyanta/core/ports"

// reportsMessage is the payload of a batch of reports. Reports[i].Invalid says what is wrong with
// the encoding of one.
type reportsMessage struct {
	ports.SessionRef
	Reports []ports.Report `json:"reports"`
}

// plainReports is a reportsMessage whose reports are encoded and decoded with the batch, in one
// pass, and not each by its own methods.
type plainReports struct {
	ports.SessionRef
	Reports []plainReport `json:"reports"`
}

type plainReport ports.Report

// plainly returns the payload of reports. It encodes them as their own methods do.
func plainly(s ports.SessionRef, reports []ports.Report) plainReports {
	m := plainReports{SessionRef: s, Reports: make([]plainReport, len(reports))}
	for i, r := range reports {
		m.Reports[i] = plainReport(r.Clean())
	}
	return m
}

// openReports reads the payload of a batch of reports. If one is not encoded well, each is read by
// itself, so that the others are not refused with it.
func openReports(e *Envelope) (reportsMessage, error) {
	plain, err := open[plainReports](e)
	if err != nil {
		return open[reportsMessage](e)
	}
	m := reportsMessage{SessionRef: plain.SessionRef, Reports: make([]ports.Report, len(plain.Reports))}
	for i, r := range plain.Reports {
		m.Reports[i] = ports.Report(r)
	}
	return m, nil
}
