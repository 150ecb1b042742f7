//go:build linux || darwin

package workloads

import (
	"encoding/json"
	"strings"

	"github.com/niyanta/niyanta/core/domain"
)

// visibleDevices returns the ids of the devices that the run holds. If there are none, CUDA shows
// the program none: it must not use what others hold.
func (p *program) visibleDevices() string {
	ids := make([]string, len(p.task.Devices))
	for i, d := range p.task.Devices {
		ids[i] = d.ID
	}
	return strings.Join(ids, ",")
}

// devices returns what the run holds of each device, as JSON.
func (p *program) devices() string {
	shares := p.task.Devices
	if shares == nil {
		shares = []domain.DeviceShare{}
	}
	b, err := json.Marshal(shares)
	if err != nil {
		return "[]" // cannot happen: it was JSON
	}
	return string(b)
}
