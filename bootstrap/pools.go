package bootstrap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/niyanta/niyanta/adapters/hardware"
	"github.com/niyanta/niyanta/core/domain"
)

// defaultSlots is the number of slots of a worker that states none; see Config.WorkerSlots.
const defaultSlots = 10

// poolSetting is one pool as NIYANTA_POOLS states it. What it says of a worker is written as in the
// settings of workers. An amount that is missing is not limited.
type poolSetting struct {
	Name          string            `json:"name"`
	Types         []string          `json:"types"`
	Tags          map[string]string `json:"tags"`
	Slots         int               `json:"slots"`
	CPU           json.Number       `json:"cpu"`
	MemoryMB      json.Number       `json:"memory_mb"`
	DiskMB        json.Number       `json:"disk_mb"`
	Devices       string            `json:"devices"`
	Resources     string            `json:"resources"`
	MinWorkers    int               `json:"min_workers"`
	MaxWorkers    int               `json:"max_workers"`
	TargetPercent int               `json:"target_percent"`
}

// ParsePools parses NIYANTA_POOLS. Empty is no pools.
func ParsePools(s string) ([]domain.Pool, error) {
	if s == "" {
		return nil, nil
	}
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	d.DisallowUnknownFields()
	var raw []json.RawMessage
	err := d.Decode(&raw)
	if err == nil {
		if _, err = d.Token(); errors.Is(err, io.EOF) {
			err = nil
		} else {
			err = errors.New("something follows the list")
		}
	}
	if err != nil {
		return nil, fmt.Errorf(`must be a JSON list like [{"name":"cpu","types":["render"]}]: %w`, err)
	}
	pools := make([]domain.Pool, len(raw))
	for i := range raw {
		setting := poolSetting{
			Slots: defaultSlots, MaxWorkers: domain.DefaultMaxWorkers, TargetPercent: domain.DefaultTargetPercent,
		}
		d := json.NewDecoder(bytes.NewReader(raw[i]))
		d.DisallowUnknownFields()
		if err := d.Decode(&setting); err != nil {
			return nil, fmt.Errorf("pool %d: %w", i+1, err)
		}
		if pools[i], err = setting.pool(); err != nil {
			return nil, fmt.Errorf("pool %d (%s): %w", i+1, setting.Name, err)
		}
	}
	return pools, domain.ValidatePools(pools)
}

func (p *poolSetting) pool() (domain.Pool, error) {
	out := domain.Pool{
		Name: p.Name, Types: p.Types, Tags: p.Tags, Slots: p.Slots,
		MinWorkers: p.MinWorkers, MaxWorkers: p.MaxWorkers, TargetPercent: p.TargetPercent,
	}
	var errs [5]error
	out.Resources.CPUCores, errs[0] = hardware.ParseCPU(p.CPU.String())
	out.Resources.MemoryMB, errs[1] = hardware.ParseMB(p.MemoryMB.String())
	out.Resources.DiskMB, errs[2] = hardware.ParseMB(p.DiskMB.String())
	out.Resources.Devices, errs[3] = hardware.ParseDevices(p.Devices)
	out.Resources.Custom, errs[4] = hardware.ParseCustom(p.Resources)
	for i, field := range []string{"cpu", "memory_mb", "disk_mb", "devices", "resources"} {
		if errs[i] != nil {
			return out, fmt.Errorf("%s: %s", field, message(errs[i]))
		}
	}
	return out, nil
}
